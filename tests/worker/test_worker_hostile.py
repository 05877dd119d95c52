"""Tasks that do what tasks do not do; none of it reaches the executor or the next job."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

import pytest
from tests.waiting import eventually
from worker_kit import Shop

from duly.job import Filter, State

POOLS = ("process", "thread", "async")


@pytest.mark.parametrize("pool", POOLS)
def test_nothing_a_task_does_ends_the_executor(shop: Shop, pool: str) -> None:
    worker = shop.worker(pool=pool, concurrency=1)
    (pid,) = eventually(worker.executors)
    wrong: list[tuple[str, Any, str]] = [
        ("take_odd", {"how": "exit"}, "SystemExit"),
        ("take_odd", {"how": "memory"}, "MemoryError"),
        ("take_odd", {"how": "runtime"}, "RuntimeError"),
        ("give_odd", "items", "EncodeError"),
        ("give_odd", "memory", "MemoryError"),
        ("raise_odd", "text", "ExitingText"),
        ("raise_odd", "name", "Odd\\udcff"),
    ]
    for task, argument, kind in wrong:
        job = shop.add(task, argument)
        assert shop.wait(job).state == State.FAILED, task
        assert shop.error(job)["type"] == kind
        assert shop.outcomes(job) == ["failed"]
    job = shop.add("exit_in_subtask")
    assert shop.wait(job).state == State.FAILED
    assert shop.error(job)["type"] == "SystemExit"
    stopped = shop.wait(shop.add("stop_loop"))
    assert stopped.state == (State.SUCCEEDED if pool == "async" else State.FAILED)  # there the loop is duly's own
    assert shop.wait(shop.add("anap", 0.01)).result == b'"rested"'
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"
    assert worker.executors() == [pid], worker.text()


@pytest.mark.parametrize("pool", POOLS)
def test_a_forked_child_that_comes_back_is_no_second_executor(shop: Shop, pool: str) -> None:
    worker = shop.worker(pool=pool, concurrency=1)
    for how in ("return", "raise", "exit"):
        job = shop.add("fork", "", how)  # the parent waits for its child's end
        assert shop.wait(job).result == b'"parent"'
        assert shop.notes(job) == ["child"]
        assert shop.outcomes(job) == ["succeeded"]
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"
    assert "in the child" in worker.text()


def test_signals_do_not_leak_from_job_to_job(shop: Shop) -> None:
    worker = shop.worker()
    (pid,) = eventually(worker.executors)
    shop.wait(shop.add("leave_alarm", 0.3))
    assert shop.wait(shop.add("nap", 0.6)).state == State.SUCCEEDED
    shop.wait(shop.add("drop_handlers"))
    soft = shop.add("soft")
    assert shop.wait(soft).state == State.FAILED
    assert shop.error(soft)["type"] == "SoftTimeLimitExceeded"
    shop.wait(shop.add("drop_handlers"))
    job = shop.add("busy", str(shop.folder / "never"))
    shop.wait_note(job)
    shop.store.cancel(Filter(ids=(job,)))
    assert shop.wait(job).state == State.CANCELLED
    assert shop.outcomes(job) == ["cancelled"]
    assert worker.executors() == [pid]


def test_what_a_coroutine_left_running_logs_to_nobodys_history(shop: Shop) -> None:
    shop.worker(pool="async", concurrency=2)
    shop.wait(shop.add("log_later"))
    shop.wait(shop.add("anap", 0.1))
    assert shop.wait(shop.add("tails")).result == b"0"


def test_a_job_that_was_tried_often_is_postponed_all_the_same(shop: Shop) -> None:
    """Only tries just before this one count as tries of a worker that does not know the task."""
    shop.worker()
    job = shop.add("flaky", 13)
    shop.wait(job)
    with contextlib.closing(sqlite3.connect(shop.folder / "duly.db")) as db, db:
        db.execute("UPDATE jobs SET task = 'gone.task', state = 3 WHERE id = ?", (job,))  # a release without it
    assert shop.store.retry(Filter(ids=(job,)))[0].verdict == "retried"
    eventually(lambda: "postponed" in shop.outcomes(job))
    assert shop.job(job).state == State.WAITING


def test_the_log_tells_what_did_not_succeed(shop: Shop) -> None:
    worker = shop.worker(loglevel="WARNING")
    failed, again, slow = shop.add("exit_softly"), shop.add("flaky", 1), shop.add("hard")
    good = shop.add("add", 1, 1)
    for job in (failed, again, slow, good):
        shop.wait(job)
    cancelled = shop.add("busy", str(shop.folder / "never"))
    shop.wait_note(cancelled)
    shop.store.cancel(Filter(ids=(cancelled,)))
    shop.wait(cancelled)
    text = worker.text()
    assert f"job {failed} (worker_tasks.exit_softly) failed: SystemExit: no more" in text
    assert 'in exit_softly\n    sys.exit("no more")' in text
    assert f"job {again} (worker_tasks.flaky) is retried in 0." in text
    assert f"job {slow} (worker_tasks.hard) failed: TimeLimitExceeded: killed at its hard time limit" in text
    assert f"job {cancelled} (worker_tasks.busy) ended cancelled: JobCancelled" in text
    assert good not in text
    assert "failed" not in (shop.job(failed).log or b"").decode()
    assert json.loads(shop.job(failed).error or b"")["message"] == "no more"


def test_at_debug_each_start_and_success_is_told(shop: Shop) -> None:
    worker = shop.worker(loglevel="DEBUG")
    good = shop.add("add", 1, 1)
    shop.wait(good)
    assert f"job {good} (worker_tasks.add) starts, attempt 1" in worker.text()
    assert f"job {good} (worker_tasks.add) succeeded in 0.0" in worker.text()


def test_a_job_that_has_no_room_on_the_board_fails_before_it_runs(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("exit_hard", id="x" * 40_000)
    assert shop.wait(job).state == State.FAILED
    assert "cannot run" in shop.error(job)["message"]
    assert shop.notes() == []
    assert shop.wait(shop.add("add", 1, 1)).result == b"2", worker.text()
