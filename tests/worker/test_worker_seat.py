"""What cannot be written is settled as failed; a thread that meets a mistake says so and goes on."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import eventually

from duly import store as stores
from duly.clock import MICROS, SYSTEM
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Outcome, State, WorkerInfo
from duly.store.sqlite import SqliteStore
from duly.worker.heartbeat import Heartbeat
from duly.worker.maintenance import Maintenance, Terms
from duly.worker.seat import Seat

LIMIT = 50_000  # bytes of a value, in place of SQLite's thousand million


def test_an_outcome_that_the_store_refuses_for_good_is_a_failure(tmp_path: Path) -> None:
    store = stores.open(f"sqlite:///{tmp_path}/jobs.db")
    assert isinstance(store, SqliteStore)
    worker = store.register(WorkerInfo(name="w", host="h", pid=1), 60 * MICROS)
    ids = [new_id() for _ in range(3)]
    store.enqueue([Job(id=id, task="t", due=store.now()) for id in ids])
    seat = Seat(store, worker, 0, ("default",), 1.0, SYSTEM)
    leases = seat.exchange([], 3)
    store._db._open().setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LIMIT)
    now = store.now()
    sizes = {ids[0]: 10, ids[1]: LIMIT * 2, ids[2]: 10}
    outcomes = [Outcome(one, Kind.SUCCEEDED, now, now, b"1" * sizes[one.id]) for one in leases]
    seat.exchange(outcomes, 0)
    views = {view.id: view for view in store.jobs(Filter()).jobs}
    assert [views[id].state for id in ids] == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED]
    error = json.loads(views[ids[1]].error or b"")
    assert error["type"] == "EncodeError"
    assert "too big" in error["message"]
    seat.listener.close()
    store.close()


class Broken:
    """A store whose every method raises what no store should."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        self.calls += 1
        raise ZeroDivisionError(name)


def test_threads_of_the_supervisor_outlive_a_mistake(caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = Broken()
    beat = Heartbeat(broken, 0.3, SYSTEM, lambda: None)
    beat.adopt(1, SYSTEM.monotonic())
    terms = Terms(lease=0.3, max_lost=3, keep=None, keep_failed=None)
    upkeep = Maintenance(broken, terms, SYSTEM)
    with caplog.at_level(logging.ERROR):
        beat.start()
        upkeep.start()
        eventually(lambda: broken.calls > 6)
        alive = {thread.name for thread in threading.enumerate()}
        beat.close()
        upkeep.close()
    assert {"heartbeat", "maintenance"} <= alive
    assert caplog.text.count("ZeroDivisionError: renew") == 1
    assert caplog.text.count("ZeroDivisionError: workers") == 1


def test_a_heartbeat_that_never_began_can_be_ended() -> None:
    """The store refused to register the worker, and that is what is to be said."""
    Heartbeat(Broken(), 0.3, SYSTEM, lambda: None).close()  # type: ignore[arg-type]
