"""The store contract on a Redis server; and after each test, that nothing is left of what was deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.redis import RedisServer

import duly.store
from duly.clock import MICROS, Clock
from duly.job import Filter
from duly.store import Store
from duly.store.redis import RedisStore
from duly.testing.clock import ManualClock
from duly.testing.conformance import StoreConformance

DAY = 86_400 * MICROS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class TestRedis(StoreConformance):
    server: RedisServer

    @pytest.fixture(autouse=True)
    def _on_a_server(self, server: RedisServer, clock: ManualClock, place: Path) -> Iterator[None]:
        self.server = server
        yield
        with_all_gone(self.make_store(clock, place), clock)
        left = server.ask("KEYS", f"{{duly:{prefix(place)}}}*").splitlines()[1:]
        assert {line for line in left if not line.startswith("$")} <= {
            f"{{duly:{prefix(place)}}}:{name}"
            for name in ("meta", "ages", "time-limits")  # which nothing takes back
        }

    def make_store(self, clock: Clock, place: Path) -> Store:
        return duly.store.open(f"{self.server.url()}?prefix={prefix(place)}", clock=clock)


def prefix(place: Path) -> str:
    return hashlib.sha1(str(place).encode()).hexdigest()[:12]


def with_all_gone(store: Store, clock: ManualClock) -> None:
    """Take back all that was set, end every job, and delete what has ended."""
    assert isinstance(store, RedisStore)
    store.moves.end_move()
    store.moves.release(store.moves.in_transit(100))
    for schedule in store.schedules():
        if schedule.owner is None:
            store.remove_schedule(schedule.name)
        else:
            store.declare_schedules(schedule.owner, [])
    for limit in store.limits():
        store.unset_limit(limit.scope, limit.name)
    store.declare_limits([limit.name for limit in store.limits()], [])
    for queue in store.paused():
        store.resume(queue)
    store.rescue(1, [worker.id for worker in store.workers()])
    store.cancel(Filter())
    clock.advance(10 * DAY / MICROS)
    far = clock.now() + 10_000 * DAY  # some tests end jobs at instants of their own
    store.prune(far, far, 1_000_000)
    store.close()
