"""Exchanges that are begun now and finished later."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from postgres_kit import MINUTE, new_schema, put, succeeded, take, worker
from tests.servers.postgres import PostgresServer, store_url
from tests.servers.proxy import Proxy

import duly.store
from duly.clock import SYSTEM, Clock
from duly.errors import StoreUnavailable
from duly.job import Exchange, Filter, Job, Limit, Outcome, State, new_id
from duly.store import Store
from duly.store.postgres import PostgresStore
from duly.testing.conformance.fencing import Fencing
from duly.testing.conformance.settling import Settling
from duly.worker.seat import Seat

QUEUE = ["default"]


class InTwoSteps(PostgresStore):
    """Every exchange is begun, then finished."""

    begun = 0

    def exchange(
        self,
        worker: int,
        slot: int,
        outcomes: Sequence[Outcome],
        want: int,
        queues: Sequence[str],
        expect: bool = False,
    ) -> Exchange:
        begun = self.begin_exchange(worker, slot, outcomes, want, queues)
        if begun is None:
            return super().exchange(worker, slot, outcomes, want, queues)
        InTwoSteps.begun += 1
        return begun.finish()


class TestAhead(Settling, Fencing):
    """What an exchange promises holds however it is made."""

    stride = 7

    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer) -> Iterator[None]:
        self.server = postgres
        yield
        assert InTwoSteps.begun, "none of them was begun"

    def make_store(self, clock: Clock, place: Path) -> Store:
        schema = "a_" + hashlib.blake2b(str(place).encode(), digest_size=8).hexdigest()
        return InTwoSteps(self.server.url(schema=schema), clock)


@pytest.fixture
def schema() -> str:
    return new_schema()


@pytest.fixture
def store(postgres: PostgresServer, schema: str) -> Iterator[PostgresStore]:
    store = duly.store.open(postgres.url(schema=schema))
    assert isinstance(store, PostgresStore)
    store.now()
    yield store
    store.close()


def states(store: Store) -> list[State]:
    return [job.state for job in store.jobs(Filter()).jobs]


def test_other_calls_of_the_store_go_on_meanwhile(store: PostgresStore) -> None:
    me = worker(store)
    first = put(store, 3)
    begun = store.begin_exchange(me, 0, [], 10, QUEUE)
    assert begun is not None
    later = put(store, 2)
    assert states(store).count(State.RUNNING) == 3, "it was done when the next call was"
    second = store.begin_exchange(me, 1, [], 10, QUEUE)  # of another seat
    assert second is not None
    assert [lease.id for lease in begun.finish().leases] == first
    assert [lease.id for lease in second.finish().leases] == later


def test_a_stale_lease_is_told_all_the_same(store: PostgresStore) -> None:
    me = worker(store)
    put(store, 2)
    leases = take(store, me).leases
    outcomes = succeeded(store, leases)
    assert take(store, me, outcomes=outcomes[:1]).refused == []
    put(store, 1)
    begun = store.begin_exchange(me, 0, outcomes, 10, QUEUE)
    assert begun is not None
    answer = begun.finish()
    assert answer.refused == outcomes[:1]
    assert len(answer.leases) == 1
    assert sorted(states(store)) == [State.RUNNING, State.SUCCEEDED, State.SUCCEEDED]


def test_limits_that_came_meanwhile_are_obeyed(store: PostgresStore, postgres: PostgresServer, schema: str) -> None:
    me = worker(store)
    put(store, 5)
    other = duly.store.open(postgres.url(schema=schema))
    other.set_limit(Limit(scope="queue", name="default", concurrency=2))
    begun = store.begin_exchange(me, 0, [], 10, QUEUE)
    assert begun is not None, "this store has not heard of it"
    assert len(begun.finish().leases) == 2
    assert store.begin_exchange(me, 0, [], 10, QUEUE) is None, "now it has"
    other.close()


def test_only_the_jobs_that_a_limit_concerns_take_the_long_way(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = worker(store)
    store.set_limit(Limit(scope="task", name="limited", concurrency=1))
    store.set_limit(Limit(scope="queue", name="narrow", rate=1, per=MINUTE))
    long_ways: list[int] = []
    long = store._exchanger._long
    monkeypatch.setattr(store._exchanger, "_long", lambda *asked: long_ways.append(1) or long(*asked))
    put(store, 3)
    leases = take(store, me).leases  # hears of the limits
    assert len(leases) == 3
    put(store, 3)
    more = take(store, me, outcomes=succeeded(store, leases)).leases
    assert (len(more), long_ways) == (3, []), "others have limits, these have none"
    store.enqueue([Job(id=new_id(), task="limited", due=store.now()) for _ in range(2)])
    (one,) = take(store, me, outcomes=succeeded(store, more)).leases
    assert (one.task, len(long_ways)) == ("limited", 1)
    put(store, 1)
    (other,) = take(store, me).leases
    assert (other.task, len(long_ways)) == ("t", 1), "the one that is held back is in nobody's way"
    (two,) = take(store, me, outcomes=succeeded(store, [one, other])).leases
    assert (two.task, len(long_ways)) == ("limited", 2), "it was counted, and its end lets the next one go"
    store.unset_limit("task", "limited")
    assert take(store, me, outcomes=succeeded(store, [two])).refused == []
    assert len(long_ways) >= 3, "the count of a limit that is gone is taken back all the same"


def test_what_was_begun_when_the_executor_died_is_given_back_with_the_rest(
    store: PostgresStore, postgres: PostgresServer, schema: str
) -> None:
    """Its exchange waits for a lock while the supervisor writes off the seat: it comes before, or not at all."""
    me = worker(store)
    put(store, 2)
    leases = take(store, me, want=1).leases
    supervisor = duly.store.open(postgres.url(schema=schema))
    conninfo = f"{postgres.conninfo()} options='-c search_path={schema}'"
    with psycopg.connect(conninfo) as lock:
        lock.execute("SELECT 1 FROM jobs WHERE seq = %s FOR UPDATE", (leases[0].ref,))
        begun = store.begin_exchange(me, 0, succeeded(store, leases), 10, QUEUE)
        assert begun is not None
        abandoning = threading.Thread(target=lambda: supervisor.abandon(me, 0, [], b"{}", 3))
        abandoning.start()
        with psycopg.connect(conninfo, autocommit=True) as watch:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
            end = time.monotonic() + 30
            while watch.execute(waiting, (f'%"{schema}"%',)).fetchone() != (2,):
                assert time.monotonic() < end, "they do not wait for each other"
                time.sleep(0.01)
    abandoning.join(30)
    assert sorted(states(store)) == [State.WAITING, State.SUCCEEDED], "nothing runs on a dead executor's seat"
    supervisor.close()


def test_what_comes_after_the_seat_was_written_off_does_nothing(store: PostgresStore) -> None:
    me = worker(store)
    put(store, 2)
    (lease,) = take(store, me, want=1).leases
    store.abandon(me, 0, [], b"{}", 3)
    begun = store.begin_exchange(me, 0, succeeded(store, [lease]), 0, QUEUE)
    assert begun is not None
    assert begun.finish().refused != [], "it went the long way, and was told"
    assert states(store) == [State.WAITING] * 2


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    with Proxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: Proxy, store: PostgresStore, schema: str) -> Iterator[PostgresStore]:
    """The same store through the proxy."""
    far = duly.store.open(store_url(proxy.port, "postgres", {"schema": schema, "timeout": "5"}))
    assert isinstance(far, PostgresStore)
    far.now()
    yield far
    far.close()


def cut_once(cut: Callable[[Callable[[bytes], bool]], None], proxy: Proxy) -> None:
    """Lose the next exchange, or its answer, with the connection."""

    def once(data: bytes) -> bool:
        if b"clock" not in data and b"exchange" not in data:
            return False
        proxy.heal()
        return True

    cut(once)


@pytest.mark.parametrize("how", ["answer", "call"])
def test_what_was_cut_off_is_settled_once_and_reserves_once(
    store: PostgresStore, far: PostgresStore, proxy: Proxy, how: str
) -> None:
    """A worker's seat makes it again, until it has what the first one brought, or would have brought."""
    me = worker(store)
    put(store, 6)
    seat = Seat(far, me, 0, ("default",), 1.0, SYSTEM)
    leases = seat.exchange([], 3)
    cut_once(proxy.cut_answer if how == "answer" else proxy.cut_call, proxy)
    assert seat.begin(succeeded(store, leases), 3)
    got = seat.collect()
    assert seat.collect() == []
    assert len({lease.id for lease in leases + got}) == 6
    assert sorted(states(store)) == [State.RUNNING] * 3 + [State.SUCCEEDED] * 3
    assert sum(row.n for row in store.rollups(0, 2**60) if row.measure == "runtime") == 3
    seat.listener.close()


def test_a_lost_one_is_an_error_and_the_next_exchange_knows(
    store: PostgresStore, far: PostgresStore, proxy: Proxy
) -> None:
    me = worker(store)
    ids = put(store, 3)
    cut_once(proxy.cut_answer, proxy)
    begun = far.begin_exchange(me, 0, [], 10, QUEUE)
    assert begun is not None
    with pytest.raises(StoreUnavailable):
        begun.finish()
    assert far.begin_exchange(me, 0, [], 10, QUEUE) is None
    got = take(far, me)
    assert [lease.id for lease in got.leases] == ids
    assert [lease.attempt for lease in got.leases] == [1, 1, 1]


def test_nothing_is_begun_without_a_connection(store: PostgresStore) -> None:
    me = worker(store)
    put(store, 1)
    store.close()
    assert store.begin_exchange(me, 0, [], 10, QUEUE) is None
    assert len(take(store, me).leases) == 1


def test_a_forked_child_leaves_what_its_parent_began_alone(store: PostgresStore) -> None:
    me = worker(store)
    put(store, 2)
    begun = store.begin_exchange(me, 0, [], 1, QUEUE)
    assert begun is not None
    pid = os.fork()
    if pid == 0:
        os._exit(0 if len(store.jobs(Filter()).jobs) == 2 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(begun.finish().leases) == 1
