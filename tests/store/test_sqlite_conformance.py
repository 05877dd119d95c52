"""The store contract on SQLite, in a file and in memory."""

from pathlib import Path

import duly.store
from duly.clock import Clock
from duly.store import Store
from duly.testing.conformance import StoreConformance


class TestSqliteFile(StoreConformance):
    def make_store(self, clock: Clock, place: Path) -> Store:
        return duly.store.open(f"sqlite:///{place}.db", clock=clock)


class TestSqliteMemory(StoreConformance):
    missing = frozenset({"shared", "fork", "processes"})

    def make_store(self, clock: Clock, place: Path) -> Store:
        return duly.store.open("sqlite:///:memory:", clock=clock)
