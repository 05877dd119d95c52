"""Executors and supervisors that die, freeze or lose their store."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from tests.conftest import on_every_store
from tests.waiting import eventually
from worker_kit import Shop, Worker, alive, kill

from duly.ids import new_id
from duly.job import Job, State


def finish(shop: Shop, name: str = "go") -> str:
    """Make the file that ``hold`` waits for."""
    path = str(shop.folder / name)
    with open(path, "w"):
        pass
    return path


def path(shop: Shop, name: str = "go") -> str:
    return str(shop.folder / name)


def executor(worker: Worker) -> int:
    return eventually(worker.executors)[0]


def test_executor_killed_in_the_middle_of_a_job(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("hold", path(shop))
    shop.wait_note(job)
    killed = time.monotonic()
    kill(executor(worker))
    shop.wait_note(job, count=2)
    assert time.monotonic() - killed < 3
    finish(shop)
    assert shop.wait(job).state == State.SUCCEEDED
    assert shop.outcomes(job) == ["lost", "succeeded"]
    assert shop.job(job).lost == 1


@on_every_store
def test_executor_killed_with_a_batch_reserved_loses_only_the_running_job(shop: Shop) -> None:
    ids = [new_id() for _ in range(200)]
    worker = shop.worker()
    warm = [shop.add("touch") for _ in range(300)]  # so that it has learnt to take batches
    for id_ in warm:
        shop.wait(id_)
    args = b'[["' + path(shop).encode() + b'"],{}]'
    now = shop.store.now()
    jobs = [Job(id=ids[0], task="worker_tasks.hold", due=now, args=args)]
    jobs += [Job(id=id_, task="worker_tasks.touch", due=now) for id_ in ids[1:]]
    shop.store.enqueue(jobs)
    shop.wait_note(ids[0])
    kill(executor(worker))
    finish(shop)
    for id_ in ids:
        assert shop.wait(id_).state == State.SUCCEEDED
    assert shop.job(ids[0]).lost == 1
    assert [shop.job(id_).lost for id_ in ids[1:]] == [0] * 199
    assert [shop.notes(id_) for id_ in ids[1:]] == [["ran"]] * 199


@on_every_store
def test_what_ended_before_the_executor_died_does_not_run_again(shop: Shop) -> None:
    worker = shop.worker()
    for id_ in [shop.add("touch") for _ in range(300)]:  # so that it has learnt to take batches
        shop.wait(id_)
    now = shop.store.now()
    before = [new_id() for _ in range(50)]
    killer = new_id()
    jobs = [Job(id=id_, task="worker_tasks.touch", due=now) for id_ in before]
    jobs.append(Job(id=killer, task="worker_tasks.exit_hard", due=now))
    shop.store.enqueue(jobs)
    assert shop.wait(killer).state == State.FAILED
    for id_ in before:
        assert shop.wait(id_).state == State.SUCCEEDED
    assert [shop.notes(id_) for id_ in before] == [["ran"]] * 50
    assert [shop.job(id_).attempt for id_ in before] == [1] * 50
    assert worker.process.poll() is None


def test_supervisor_killed_and_its_executors_with_it(shop: Shop) -> None:
    worker = shop.worker(concurrency=2, lease=30.0)
    job = shop.add("hold", path(shop))
    shop.wait_note(job)
    pids = eventually(lambda: len(worker.executors()) == 2 and worker.executors())
    worker.end(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids))
    assert shop.job(job).state == State.RUNNING  # nobody has rescued it yet
    shop.worker(lease=30.0)  # on the same host: it need not wait for the lease
    shop.wait_note(job, count=2)
    finish(shop)
    assert shop.wait(job).state == State.SUCCEEDED
    assert shop.job(job).lost == 1


@on_every_store
def test_supervisor_and_executor_killed_together(shop: Shop) -> None:
    worker, other = shop.worker(), shop.worker()
    job = shop.add("hold", path(shop))
    pid = int(shop.wait_note(job).split()[-1])
    owner = worker if pid in worker.executors() else other
    kill(pid)
    kill(owner.pid)
    shop.wait_note(job, count=2)
    finish(shop)
    assert shop.wait(job).state == State.SUCCEEDED
    owner.process.wait()


@on_every_store
def test_worker_frozen_for_longer_than_its_lease(shop: Shop) -> None:
    frozen = shop.worker()
    job = shop.add("hold", path(shop))
    pid = int(shop.wait_note(job).split()[-1])
    frozen.send(signal.SIGSTOP)
    kill(pid, signal.SIGSTOP)
    other = shop.worker()
    shop.wait_note(job, count=2)  # rescued, and running elsewhere
    finish(shop)
    shop.wait(job)
    kill(pid, signal.SIGCONT)
    frozen.send(signal.SIGCONT)
    eventually(lambda: not alive(pid))
    done = shop.job(job)
    assert done.state == State.SUCCEEDED
    assert done.attempt == 2
    assert done.result == b"2"
    other.end()
    again = shop.add("add", 1, 2)  # the frozen one has begun anew
    assert shop.wait(again).result == b"3"


def test_frozen_supervisor_does_not_keep_its_executor(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("hold", path(shop))
    pid = int(shop.wait_note(job).split()[-1])
    worker.send(signal.SIGSTOP)
    eventually(lambda: not alive(pid))
    worker.send(signal.SIGCONT)
    finish(shop)
    assert shop.wait(job).state == State.SUCCEEDED
    assert len([text for text in shop.notes(job) if text.startswith("began")]) == 2
    assert len([text for text in shop.notes(job) if text.startswith("ended")]) == 1


def test_os_exit_fails_after_three_losses(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("exit_hard")
    assert shop.wait(job).state == State.FAILED
    assert shop.notes(job) == ["began 1", "began 2", "began 3"]
    assert shop.error(job)["type"] == "WorkerLost"
    assert shop.outcomes(job) == ["lost", "lost", "lost"] or shop.outcomes(job)[:2] == ["lost", "lost"]
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"
    assert "exit status 3" in worker.text()


def test_segfault(shop: Shop) -> None:
    shop.worker()
    job = shop.add("segfault")
    assert shop.wait(job).state == State.FAILED
    assert shop.job(job).lost == 3
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"


@pytest.mark.parametrize("task", ["exit_softly", "keyboard"])
def test_a_task_that_wants_the_process_to_end(shop: Shop, task: str) -> None:
    worker = shop.worker()
    pid = executor(worker)
    job = shop.add(task)
    assert shop.wait(job).state == State.FAILED
    assert shop.error(job)["type"] in ("SystemExit", "KeyboardInterrupt")
    assert json_int(shop.wait(shop.add("where")).result) == pid


def json_int(data: bytes | None) -> int:
    assert data is not None
    return int(data)


@on_every_store
def test_at_most_once_ends_uncertain(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("hold_once", path(shop), flags=1)
    pid = int(shop.wait_note(job).split()[-1])
    kill(pid)
    assert shop.wait(job).state == State.UNCERTAIN
    assert len([text for text in shop.notes(job) if text.startswith("began")]) == 1
    assert worker.process.poll() is None


def test_at_most_once_is_settled_before_the_next_job_begins(shop: Shop) -> None:
    """Or a crash of the next one would leave nobody knowing that it had run."""
    now = shop.store.now()
    jobs = [Job(id=new_id(), task="worker_tasks.touch", due=now) for _ in range(300)]
    once = [Job(id=new_id(), task="worker_tasks.touch_once", due=now, flags=1) for _ in range(20)]
    crash = Job(id=new_id(), task="worker_tasks.exit_hard", due=now)
    shop.store.enqueue([*jobs, *once, crash])
    shop.worker()
    shop.wait(crash.id)
    for job in once:
        assert shop.wait(job.id).state == State.SUCCEEDED
        assert shop.notes(job.id) == ["ran"]


def test_memory_limit(shop: Shop) -> None:
    worker = shop.worker(max_memory_per_child=200 * 1024)
    job = shop.add("eat", 400)
    assert shop.wait(job).state == State.FAILED
    assert shop.error(job)["type"] == "MemoryError"
    assert "max_memory_per_child" in shop.error(job)["message"]
    assert shop.wait(shop.add("add", 1, 1)).result == b"2"
    assert worker.process.poll() is None


def grandchild_of(shop: Shop) -> int:
    file = shop.folder / "pids"
    return int(eventually(lambda: file.exists() and file.read_text()))


def test_children_go_with_their_executor(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("leave_children", path(shop, "pids"))
    shop.wait_note(job)
    pids = [int(text.split()[1]) for text in shop.notes(job) if text.startswith("child")]
    grandchild = grandchild_of(shop)
    assert alive(grandchild)
    kill(executor(worker))
    eventually(lambda: not alive(grandchild) and not any(alive(pid) for pid in pids))


def test_guardian_ends_what_a_killed_supervisor_leaves(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("leave_children", path(shop, "pids"))
    shop.wait_note(job)
    grandchild = grandchild_of(shop)
    worker.end(signal.SIGKILL)
    eventually(lambda: not alive(grandchild))


def test_the_next_worker_ends_what_a_supervisor_killed_with_its_guardian_leaves(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("leave_children", path(shop, "pids"))
    shop.wait_note(job)
    grandchild = grandchild_of(shop)
    guardian = {child.pid for child in psutil.Process(worker.pid).children()} - set(worker.executors())
    for pid in guardian:
        kill(pid)
    worker.end(signal.SIGKILL)
    assert alive(grandchild)
    shop.worker()
    eventually(lambda: not alive(grandchild))


@pytest.mark.parametrize(
    ("task", "argument"), [("hold_gil", 3000), ("block_loop", 3), ("nap", 3)], ids=["gil", "loop", "sleep"]
)
def test_a_job_three_times_longer_than_the_lease_runs_once(shop: Shop, task: str, argument: int) -> None:
    shop.worker()
    shop.worker()
    job = shop.add(task, argument)
    assert shop.wait(job).state == State.SUCCEEDED
    assert shop.notes(job) == ["began", "ended"]
    assert shop.job(job).attempt == 1


def test_store_taken_away_for_longer_than_the_lease(shop: Shop) -> None:
    """The worker ends its jobs before others may run them, and goes on when the store is back."""
    import sqlite3

    worker = shop.worker(store=shop.url + "?timeout=0.2")
    job = shop.add("hold", path(shop))
    pid = int(shop.wait_note(job).split()[-1])
    lock = sqlite3.connect(shop.folder / "duly.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    eventually(lambda: not alive(pid))
    assert time.monotonic() - began < 1.5
    lock.execute("ROLLBACK")
    lock.close()
    shop.wait_note(job, count=2)
    finish(shop)
    assert shop.wait(job).state == State.SUCCEEDED
    assert shop.job(job).lost == 0
    assert "could not be renewed" in worker.text()


def test_outcome_survives_a_short_lock(shop: Shop) -> None:
    import sqlite3

    worker = shop.worker(store=shop.url + "?timeout=0.1", lease=10.0)
    job = shop.add("hold", path(shop))
    shop.wait_note(job)
    lock = sqlite3.connect(shop.folder / "duly.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    finish(shop)
    shop.wait_note(job, "ended")
    eventually(lambda: "does not answer" in worker.text())
    lock.execute("ROLLBACK")
    lock.close()
    assert shop.wait(job).state == State.SUCCEEDED
    assert shop.job(job).attempt == 1
    assert worker.text().count("does not answer") == 1


def test_no_executor_is_left_when_the_worker_has_gone(shop: Shop) -> None:
    worker = shop.worker(concurrency=2)
    pids = eventually(lambda: len(worker.executors()) == 2 and worker.executors())
    assert worker.end() == 0
    assert not any(alive(pid) for pid in pids)
    assert os.path.exists(shop.folder / "duly.db")


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
def test_executor_killed_while_it_waits_to_be_given_a_job(shop: Shop) -> None:
    """The next job is not given to it: an executor that lives has it at once, as the first try."""
    worker = shop.worker(concurrency=2)
    for _ in range(2):
        shop.wait(shop.add("touch"))
    kill(eventually(lambda: len(worker.executors()) == 2 and worker.executors())[0])
    job = shop.add("touch")
    assert shop.wait(job).state == State.SUCCEEDED
    assert shop.job(job).lost == 0


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
def test_what_is_given_to_a_worker_that_is_frozen_is_run_by_another(shop: Shop) -> None:
    """As what it had reserved would be: when its lease has lapsed."""
    frozen = shop.worker(name="frozen")
    shop.wait(shop.add("touch"))
    stopped = [frozen.pid, *frozen.executors()]
    for pid in stopped:
        kill(pid, signal.SIGSTOP)
    job = shop.add("touch")
    shop.worker(name="other")
    assert shop.wait(job).state == State.SUCCEEDED
    for pid in stopped:
        kill(pid, signal.SIGCONT)
