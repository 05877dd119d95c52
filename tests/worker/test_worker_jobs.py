"""What becomes of one job: results, errors, retries, limits, cancellation; in each pool."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
from tests.conftest import on_every_store
from tests.waiting import eventually
from worker_kit import Shop

from duly.ids import new_id
from duly.job import Filter, Job, State

POOLS = ("process", "thread", "async")


def error_type(shop: Shop, job: str) -> str:
    return str(shop.error(job)["type"])


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_ends_of_all_kinds(shop: Shop, pool: str) -> None:
    """One worker, many jobs: none of them hurts another."""
    shop.worker(pool=pool, concurrency=2 if pool != "process" else 1)
    good = shop.add("add", 4, 4)
    rested = shop.add("anap", 0.01)
    bad_result = shop.add("unencodable")
    hostile = shop.add("hostile")
    wrong = shop.add("add", args=b'{"not": "a call"}')
    too_many = shop.add("add", 1, 2, 3)
    flaky = shop.add("flaky", 2)
    ignored = shop.add("ignored", flags=2)
    talk = shop.add("talk", 3)
    softly = shop.add("exit_softly")

    assert shop.wait(good).result == b"8"
    assert shop.wait(rested).result == b'"rested"'
    assert shop.wait(bad_result).state == State.FAILED
    assert error_type(shop, bad_result) == "EncodeError"
    assert shop.wait(hostile).state == State.FAILED
    assert error_type(shop, hostile) == "Hostile"
    assert shop.wait(wrong).state == State.FAILED
    assert error_type(shop, wrong) == "DecodeError"
    assert shop.wait(too_many).state == State.FAILED
    assert error_type(shop, too_many) == "TypeError"
    assert shop.wait(flaky).result == b"3"
    assert shop.outcomes(flaky) == ["retry", "retry", "succeeded"]
    assert shop.wait(ignored).result is None
    assert shop.wait(softly).state == State.FAILED
    shop.wait(talk)
    assert (shop.job(talk).log or b"").count(b"shop: line") == 3
    assert shop.job(good).log is None


def test_what_a_long_job_logs_can_be_read_while_it_runs_and_outlives_its_process(shop: Shop) -> None:
    worker, gate = shop.worker(), shop.folder / "gate"
    job = shop.add("murmur", str(gate))
    eventually(lambda: b"shop: page 1" in (shop.job(job).log or b""))
    assert shop.job(job).state == State.RUNNING
    [executor] = worker.executors()
    os.kill(executor, signal.SIGKILL)
    eventually(lambda: shop.outcomes(job) == ["lost", "running"])
    assert b"shop: page 1" in (shop.store.attempts(job)[0].log or b"")
    gate.touch()
    assert shop.wait(job).state == State.SUCCEEDED
    assert (shop.job(job).log or b"").count(b"page 1") == 1


@on_every_store
def test_unknown_task_waits_for_a_worker_that_knows_it(shop: Shop) -> None:
    before = shop.add("add", 1, 1)
    job = shop.add("ad", 1, 2)
    worker = shop.worker(concurrency=1)
    eventually(lambda: "postponed" in shop.outcomes(job))
    waiting = shop.job(job)
    assert waiting.state == State.WAITING
    assert waiting.retries == 0
    assert waiting.due > waiting.created
    help_text = json.loads(shop.store.attempts(job)[0].error or b"{}")["help"]
    assert "did you mean 'worker_tasks.add'?" in help_text
    assert "duly retry" in help_text
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"
    [line] = [line for line in worker.text().splitlines() if "no task named" in line]
    assert before not in line, "it is not said as if by the job that ran before"


@pytest.mark.parametrize("task", ["soft_busy", "asoft"])
def test_soft_limit(shop: Shop, pool: str, task: str) -> None:
    worker = shop.worker(pool=pool, concurrency=1)
    job = shop.add(task)
    assert shop.wait(job).state == State.FAILED
    assert error_type(shop, job) == "SoftTimeLimitExceeded"
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"
    assert worker.process.poll() is None
    assert "executor 1, pid" not in worker.text()  # none was killed


def test_soft_limit_ends_a_system_call_and_lets_the_task_clean_up(shop: Shop) -> None:
    shop.worker()
    job = shop.add("soft")
    assert shop.wait(job).state == State.FAILED
    assert shop.notes(job) == ["cleaned up"]


@pytest.mark.parametrize("task", ["hard", "ahard"])
def test_hard_limit(shop: Shop, pool: str, task: str) -> None:
    shop.worker(pool=pool, concurrency=1)
    began = time.monotonic()
    job = shop.add(task)
    assert shop.wait(job).state == State.FAILED
    assert time.monotonic() - began < 3
    assert error_type(shop, job) == "TimeLimitExceeded"
    assert shop.notes(job) == ["began"]
    assert shop.outcomes(job) == ["failed"]
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"


@on_every_store
def test_hard_limit_releases_the_neighbours(shop: Shop) -> None:
    shop.worker(pool="thread", concurrency=4)
    neighbour = shop.add("hold", str(shop.folder / "go"))
    shop.wait_note(neighbour)
    job = shop.add("hard")
    assert shop.wait(job).state == State.FAILED
    shop.wait_note(neighbour, count=2)
    (shop.folder / "go").touch()
    assert shop.wait(neighbour).state == State.SUCCEEDED
    assert shop.job(neighbour).lost == 0


def test_hard_limit_is_retried_only_if_the_task_says_so(shop: Shop) -> None:
    shop.worker()
    job = shop.add("hard_retried")
    assert shop.wait(job).state == State.FAILED
    assert shop.outcomes(job) == ["retry", "failed"]


def test_limits_of_the_call_go_before_those_of_the_task(shop: Shop) -> None:
    shop.worker()
    job = shop.add("nap", 20, options=b'{"time_limit":0.3}')
    assert shop.wait(job).state == State.FAILED
    assert error_type(shop, job) == "TimeLimitExceeded"


@on_every_store
@pytest.mark.parametrize("task", ["busy", "abusy"])
def test_cancel_a_running_job(shop: Shop, pool: str, task: str) -> None:
    worker = shop.worker(pool=pool, concurrency=1, lease=10.0)
    pid = eventually(worker.executors)
    job = shop.add(task, *([str(shop.folder / "never")] if task == "busy" else []))
    shop.wait_note(job)
    began = time.monotonic()
    assert shop.store.cancel(Filter(ids=(job,)))[0].verdict == "signalled"
    assert shop.wait(job).state == State.CANCELLED
    assert time.monotonic() - began < 2  # it did not wait for the next renewal, at 3.3 s
    assert worker.executors() == pid


def test_a_cancelled_job_that_is_retried_runs(shop: Shop) -> None:
    shop.worker()
    go = shop.folder / "go"
    job = shop.add("busy", str(go))
    shop.wait_note(job)
    shop.store.cancel(Filter(ids=(job,)))
    assert shop.wait(job).state == State.CANCELLED
    go.touch()
    assert shop.store.retry(Filter(ids=(job,)))[0].verdict == "retried"
    assert shop.wait(job).state == State.SUCCEEDED


def test_cancel_of_a_job_that_takes_no_notice(shop: Shop) -> None:
    worker = shop.worker(env={"GRACE": "0.3"})
    job = shop.add("stubborn", str(shop.folder / "never"))
    shop.wait_note(job)
    shop.store.cancel(Filter(ids=(job,)))
    shop.wait_note(job, "swallowed")
    assert shop.wait(job).state == State.CANCELLED
    assert "did not end within worker_cancel_grace" in shop.error(job)["message"]
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"
    assert "is killed: a cancelled job did not end in time" in worker.text()


@on_every_store
def test_terminate(shop: Shop) -> None:
    worker = shop.worker()
    pid = eventually(worker.executors)
    job = shop.add("hold_gil", 20_000)
    shop.wait_note(job)
    shop.store.cancel(Filter(ids=(job,)), terminate=True)
    view = shop.wait(job)
    assert (view.state, view.lost) == (State.CANCELLED, 0)
    assert (error_type(shop, job), shop.error(job)["message"][:18]) == ("JobCancelled", "terminated at once")
    assert eventually(worker.executors) != pid
    assert "is killed: a job was terminated" in worker.text()


def test_a_slow_job_holds_up_nobody(shop: Shop) -> None:
    shop.worker(concurrency=2)
    learn = [shop.add("touch") for _ in range(200)]
    for job in learn:
        shop.wait(job)
    slow = shop.add("hold", str(shop.folder / "go"))
    short = [shop.add("touch") for _ in range(500)]
    for job in short:
        assert shop.wait(job).state == State.SUCCEEDED
    assert shop.job(slow).state == State.RUNNING
    (shop.folder / "go").touch()
    assert shop.wait(slow).attempt == 1
    assert shop.notes().count("ran") == 700


def test_one_executor_releases_what_waits_behind_a_slow_job(shop: Shop) -> None:
    """With nobody else to run them they wait, but as jobs of the store, free for others."""
    shop.worker()
    for job in [shop.add("touch") for _ in range(300)]:
        shop.wait(job)
    slow = shop.add("hold", str(shop.folder / "go"))
    short = [shop.add("touch") for _ in range(20)]
    shop.wait_note(slow)
    eventually(lambda: all(shop.job(job).state == State.WAITING for job in short))
    other = shop.worker()
    for job in short:
        assert shop.wait(job).worker == f"{_name(other)}@{_host()}"
    (shop.folder / "go").touch()
    shop.wait(slow)


def test_a_flooded_queue_does_not_starve_another(shop: Shop) -> None:
    now = shop.store.now()
    args = b"[[0.01],{}]"
    flood = [Job(id=new_id(), task="worker_tasks.nap", due=now, args=args, queue="flood") for _ in range(2000)]
    shop.store.enqueue(flood)
    shop.worker(queues=["flood", "calm"])
    shop.wait_note(flood[10].id)
    shop.wait(shop.add("touch", queue="calm"), patience=2.0)
    left = {count.queue: count.ready for count in shop.store.counts()}
    assert left["flood"] > 1000


def test_jobs_start_when_due_and_not_before(shop: Shop, pool: str) -> None:
    shop.worker(pool=pool, concurrency=1)
    now = shop.store.now()
    jobs = [shop.add("add", 1, i, due=now + 300_000 + i * 50_000) for i in range(10)]
    views = [shop.wait(job) for job in jobs]
    lateness = sorted((view.started or 0) - view.due for view in views)
    assert lateness[0] >= 0
    assert lateness[5] < 20_000


def _name(worker: Any) -> str:
    return str(worker.ready.read_text())


def _host() -> str:
    import socket

    return socket.gethostname()
