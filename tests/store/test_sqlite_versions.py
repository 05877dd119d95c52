"""A file of an older release is brought up to date by the first to open it, and keeps its jobs."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

import duly.store
from duly.job import Gate, Job, WorkerInfo
from duly.store.sqlite.database import APPLICATION_ID
from duly.store.sqlite.sql import SCHEMA
from duly.testing.clock import START, ManualClock


def made_by(version: int, path: Path) -> None:
    """A file as a release with that schema made it, with one job in it."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    for step in SCHEMA[:version]:
        db.executescript(step)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute(f"PRAGMA user_version={version}")
    db.execute(
        "INSERT INTO jobs (id, task, args, queue, priority, due, created) VALUES ('old', 't', x'5b5b5d2c7b7d5d', "
        f"'default', 0, {START}, {START})"
    )
    db.close()


def schema(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()
    db.close()
    return [(name, " ".join(sql.split())) for name, sql in rows]


@pytest.mark.parametrize("version", range(1, len(SCHEMA)))
def test_an_older_file_becomes_one_of_today(tmp_path: Path, version: int) -> None:
    made_by(version, tmp_path / "old.db")
    store = duly.store.open(f"sqlite:///{tmp_path}/old.db", clock=ManualClock())
    store.enqueue([Job(id="m", task="t", due=START, gates=(("g", 0),)), Job(id="b", task="t", due=START, after="g")],
                  [Gate("g", 1)])  # fmt: skip
    worker = store.register(WorkerInfo(name="w", host="h", pid=1), 10_000_000)
    assert [lease.id for lease in store.exchange(worker, 0, [], 9, ["default"]).leases] == ["old", "m"]
    store.close()
    duly.store.open(f"sqlite:///{tmp_path}/new.db", clock=ManualClock()).enqueue([Job(id="x", task="t", due=START)])
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")


def test_many_may_come_first(tmp_path: Path) -> None:
    made_by(1, tmp_path / "old.db")
    stores = [duly.store.open(f"sqlite:///{tmp_path}/old.db", clock=ManualClock()) for _ in range(8)]
    start, failures = threading.Barrier(len(stores)), []

    def come(n: int) -> None:
        start.wait()
        try:
            stores[n].enqueue([Job(id=f"j{n}", task="t", due=START)])
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=come, args=[n]) for n in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len([one for one in stores[0].results(["old", *(f"j{n}" for n in range(8))]) if one]) == 9
    for store in stores:
        store.close()
