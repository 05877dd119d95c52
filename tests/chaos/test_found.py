"""What chaos runs, and reading for them, found. Each test is the smallest form of one find."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from chaos_run import Run

from duly.errors import StoreUnavailable
from duly.job import Filter, Flag, Job, Kind, Lease, Outcome, State, WorkerInfo
from duly.store.sqlite import SqliteStore
from duly.testing.clock import ManualClock
from duly.worker.board import Board, make


def outcome(id: str) -> Outcome:
    lease = Lease(1, 1, id, "t", b"", "default", 0, 0, None, 1, 0, 0, 0, None, None)
    return Outcome(lease, Kind.SUCCEEDED)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(make(), 1)
    yield board
    board.close()


def test_what_ends_while_the_journal_is_shortened_stays_in_it(board: Board) -> None:
    """A job of a thread ended after the coordinator had looked what is unsettled, and before it shortened the
    journal: then it stood nowhere, and a kill made it run again."""
    looked, noting = threading.Event(), threading.Event()

    def end_a_job() -> None:
        assert looked.wait(5)
        noting.set()
        board.note(outcome("late"))

    def look() -> list[Outcome]:
        looked.set()
        assert noting.wait(5)
        thread.join(0.05)  # a note that does not wait its turn gets all the time it needs
        return [outcome("early")]

    thread = threading.Thread(target=end_a_job)
    thread.start()
    board.keep(look)
    thread.join()
    assert [found.lease.id for found in board.unsettled()] == ["early", "late"]


def test_an_exchange_that_could_not_reach_the_disk_has_reserved_nothing(tmp_path: Path) -> None:
    """An at-most-once job was reserved in one transaction and made safe in a second. When somebody locked the file
    in between, nobody had the lease, and the job was "running" for as long as its worker lived."""
    store = SqliteStore(f"sqlite:///{tmp_path}/jobs.db?timeout=0.1")
    worker = store.register(WorkerInfo(name="w", host="h", pid=1), 60_000_000)
    store.enqueue([Job(id="once", task="t", due=0, flags=int(Flag.AT_MOST_ONCE))])
    other = sqlite3.connect(store.path, isolation_level=None)
    begun = []

    def lock_before_the_second(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            begun.append(statement)
            if len(begun) == 2:
                other.execute(statement)

    connection = store._db.write(lambda connection: connection)  # it keeps its connection
    connection.set_trace_callback(lock_before_the_second)
    with pytest.raises(StoreUnavailable):
        store.exchange(worker, 0, [], 1, ["default"])
    other.execute("ROLLBACK")
    connection.set_trace_callback(None)
    other.close()
    assert store.jobs(Filter(ids=("once",))).jobs[0].state == State.WAITING
    [lease] = store.exchange(worker, 0, [], 1, ["default"]).leases
    assert lease.id == "once"
    store.close()


def test_a_job_that_expired_while_the_lock_was_waited_for_does_not_start(tmp_path: Path) -> None:
    """The clock was read before the transaction began, and that may wait for seconds."""
    clock = ManualClock()
    store = SqliteStore(f"sqlite:///{tmp_path}/jobs.db", clock=clock)
    worker = store.register(WorkerInfo(name="w", host="h", pid=1), 60_000_000)
    now = clock.now()
    store.enqueue([Job(id="short-lived", task="t", due=now, expires=now + 1_000_000)])
    connection = store._db.write(lambda connection: connection)
    wait = {"BEGIN IMMEDIATE": lambda: clock.advance(2)}
    connection.set_trace_callback(lambda statement: wait.pop(statement, lambda: None)())
    assert store.exchange(worker, 0, [], 1, ["default"]).leases == []
    assert store.jobs(Filter(ids=("short-lived",))).jobs[0].state == State.CANCELLED
    store.close()


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_task_whose_children_end_with_the_lease_has_not_failed(run: Run, pool: str) -> None:
    """When the lease ran out, the executor ended what its tasks had started and then itself. In between, a task could
    see its child die, and its failure was settled, as if it had been the task's own."""
    worker = run.start_worker(pool, 1.0)
    args = json.dumps([["serial", 2], {}]).encode()
    run.store.enqueue([Job(id="minds", task="chaos_tasks.mind", due=0, args=args)])
    end = time.monotonic() + 60
    while not (children := [p for p in psutil.Process(worker.pid).children(recursive=True) if p.name() == "sleep"]):
        assert time.monotonic() < end
        time.sleep(0.01)
    executor = psutil.Process(children[0].ppid())
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        while executor.status() != psutil.STATUS_ZOMBIE:  # its parent, who would bury it, is frozen
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    while not (job := run.store.jobs(Filter(ids=("minds",))).jobs[0]).state.final:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert job.state == State.SUCCEEDED, job.error
