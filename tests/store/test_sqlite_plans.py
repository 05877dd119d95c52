"""Each statement of the hot path goes by its index, and touches only what is due."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import duly.store
from duly.job import Filter, Job, WorkerInfo
from duly.store import Store
from duly.store.sql.looking import UNANSWERED
from duly.store.sqlite.sql import SQL
from duly.testing.clock import START, ManualClock

FUTURE = 100_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100,000 jobs due tomorrow."""
    path = tmp_path_factory.mktemp("plans") / "jobs.db"
    store = duly.store.open(f"sqlite:///{path}", clock=ManualClock())
    tomorrow = START + 86_400_000_000
    store.enqueue([Job(id=f"f{i}", task="t", due=tomorrow + i, priority=i % 10) for i in range(FUTURE)])
    store.close()
    return path


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path)
    yield db
    db.close()


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = duly.store.open(f"sqlite:///{path}", clock=ManualClock())
    yield store
    store.close()


PLANS = {
    "levels": {"jobs": "jobs_waiting"},
    "queues": {"jobs": "jobs_waiting"},
    "due": {"jobs": "jobs_waiting"},
    "reserve": {"jobs": "INTEGER PRIMARY KEY"},
    "expire": {"jobs": "INTEGER PRIMARY KEY"},
    "finish": {"jobs": "INTEGER PRIMARY KEY"},
    "again": {"jobs": "INTEGER PRIMARY KEY"},
    "release": {"jobs": "INTEGER PRIMARY KEY"},
    "set_progress": {"jobs": "INTEGER PRIMARY KEY"},
    "set_log": {"jobs": "INTEGER PRIMARY KEY"},
    "holds": {"jobs": "INTEGER PRIMARY KEY"},
    "key_holder": {"jobs": "jobs_key"},
    "cancels": {"jobs": "jobs_running"},
    "held": {"jobs": "jobs_running"},
    "results": {"j": "jobs_id"},
    "old": {"jobs": "jobs_done"},
    "count_ready": {"jobs": "jobs_waiting"},
    "count_scheduled": {"jobs": "jobs_waiting"},
    "count_due": {"jobs": "jobs_waiting"},
    "count_parked": {"jobs": "jobs_parked"},
    "effects": {"jobs": "jobs_id", "effects": "PRIMARY KEY"},
    "current_attempt": {"j": "jobs_id"},
    "attempts": {"a": "attempts_job"},
    "delete_attempts": {"attempts": "attempts_job"},
    "delete_jobs": {"jobs": "INTEGER PRIMARY KEY"},
    "count_ended": {"members": "members_job", "gates": "PRIMARY KEY", "jobs": "INTEGER PRIMARY KEY"},
    "count_down": {"gates": "PRIMARY KEY"},
    "release_held": {"jobs": "jobs_parked"},
    "fail_held": {"jobs": "jobs_parked", "m": "jobs_id", "g": "PRIMARY KEY"},
    "unwanted": {"jobs": "jobs_parked"},
    "held_downstream": {"m": "members_job", "j": "jobs_parked"},
    "counted_members": {"m": "members_job", "g": "PRIMARY KEY"},
    "next_failed": {"m": "members_failed", "j": "INTEGER PRIMARY KEY"},
    "hold_again": {"jobs": "jobs_after"},
    "members": {"m": "PRIMARY KEY", "j": "INTEGER PRIMARY KEY"},
    "unneeded": {"m": "members_job", "f": "jobs_after"},
}


def plan(db: sqlite3.Connection, sql: str) -> list[str]:
    named = re.findall(r":([a-z_]+)", re.sub(r"'[^']*'", "", sql))
    values = dict.fromkeys(named) if named else [None] * sql.count("?")
    return [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql, values)]


@pytest.mark.parametrize("name", PLANS)
def test_a_statement_searches_by_its_index(db: sqlite3.Connection, name: str) -> None:
    steps = plan(db, SQL[name])
    for table, index in PLANS[name].items():
        mine = [step for step in steps if step.split()[:2] in (["SEARCH", table], ["SCAN", table])]
        assert mine, steps
        for step in mine:
            assert step.startswith("SEARCH"), steps
            assert index in step, steps


@pytest.mark.parametrize("name", ["due", "old"])
def test_rows_come_in_order_from_the_index_without_sorting(db: sqlite3.Connection, name: str) -> None:
    assert not [step for step in plan(db, SQL[name]) if "TEMP B-TREE" in step]


def cost(store: Store, call: object) -> int:
    """Hundreds of SQLite's own steps that a call takes: exact, where a time would not be."""
    connection = store._db._open()  # type: ignore[attr-defined]
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    connection.set_progress_handler(tick, 100)
    try:
        call()  # type: ignore[operator]
    finally:
        connection.set_progress_handler(None, 0)
    return ticks


def test_reserving_beside_a_large_backlog_touches_only_what_is_due(store: Store) -> None:
    worker = store.register(WorkerInfo(name="w", host="h", pid=1), 10_000_000)
    store.enqueue([Job(id=f"d{i}", task="t", due=START, priority=i % 10) for i in range(50)])
    taken = []
    exchange = cost(store, lambda: taken.extend(store.exchange(worker, 0, [], 100, ["default"]).leases))
    assert len(taken) == 50
    assert exchange < 150, "that is 15,000 steps for 50 jobs and 10 priorities"
    assert cost(store, lambda: store.exchange(worker, 0, [], 100, ["default"])) < 20
    assert cost(store, lambda: store.next_due(["default"])) < 20


def test_pages_by_state_touch_only_a_page(store: Store) -> None:
    assert cost(store, lambda: store.jobs(Filter(states=("failed",)))) < 20
    assert cost(store, lambda: store.jobs(Filter(states=("succeeded", "failed", "cancelled")))) < 40
    assert cost(store, lambda: store.jobs(Filter(states=("running",)))) < 50
    assert cost(store, lambda: store.retry(Filter(states=("failed",)))) < 30
    assert cost(store, lambda: store.jobs(Filter(states=("scheduled",)), order="due", limit=20)) < 500
    assert cost(store, lambda: store.jobs(Filter(ids=("f7",)))) < 20
    assert cost(store, lambda: store.jobs(Filter(), limit=20)) < 50


def test_prune_touches_only_what_is_old(store: Store) -> None:
    assert cost(store, lambda: store.prune(START, START, 1000)) < 20
    assert cost(store, store.maintain) < 20


def test_cancelling_one_of_many_touches_one(store: Store) -> None:
    assert cost(store, lambda: store.cancel(Filter(ids=("f9",)))) < 30


def test_ends_to_be_told_are_found_by_their_index(db: sqlite3.Connection) -> None:
    """The condition is written where it is asked; SQLite has to see that it is the index's."""
    sql = f"{SQL['view']} WHERE {UNANSWERED} ORDER BY j.finished LIMIT 10"
    assert any("jobs_unanswered" in step for step in plan(db, sql)), plan(db, sql)
