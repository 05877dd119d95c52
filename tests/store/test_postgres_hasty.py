"""What is reserved, or told to workers, before it is on the disk: what a crash makes of it, and how it shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import psutil
import pytest
from postgres_kit import new_schema, put, states, succeeded, take, worker
from tests.servers.postgres import PostgresServer, place, store_url
from tests.servers.proxy import Proxy

import duly.store
from duly.errors import StoreUnavailable
from duly.ids import new_id
from duly.job import Exchange, Filter, Flag, Job, State
from duly.store.hasty import Hasty
from duly.store.postgres import PostgresStore

QUEUES = ["default"]
PATIENCE = 60.0  # seconds


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that writes its log to the disk only when it is asked to, once its writer is still."""
    with place() as folder, PostgresServer(folder / "postgres", settings={"autovacuum": "off"}) as server:
        yield server


@pytest.fixture
def store(server: PostgresServer) -> Iterator[PostgresStore]:
    store = duly.store.open(server.url(schema=new_schema(), timeout="60"))
    assert isinstance(store, PostgresStore)
    store.now()
    yield store
    store.close()


@pytest.fixture
def crash(server: PostgresServer) -> Callable[[], None]:
    """Until this is called, what nobody waits for stays in the server's memory. It loses that, and comes up again."""
    assert server.process is not None
    children = psutil.Process(server.process.pid).children()
    [writer] = [child for child in children if "walwriter" in " ".join(child.cmdline())]
    writer.suspend()

    def down_and_up() -> None:
        server.kill()
        server.start()

    return down_and_up


def test_a_crash_undoes_what_did_not_wait_for_the_disk(store: PostgresStore, crash: Callable[[], None]) -> None:
    assert isinstance(store, Hasty)
    me = worker(store)
    put(store)
    [lease] = store.reserve_hastily(me, 0, 1, QUEUES).leases
    assert states(store) == [State.RUNNING], "everybody sees it at once"
    crash()
    assert states(store) == [State.WAITING]
    assert not store.confirm(me, 0)
    answer = take(store, me, outcomes=succeeded(store, [lease]))
    assert [outcome.lease.id for outcome in answer.refused] == [lease.id]
    assert [(again.id, again.attempt) for again in answer.leases] == [(lease.id, 1)]
    assert store.confirm(me, 0)


def test_what_was_confirmed_outlives_a_crash(store: PostgresStore, crash: Callable[[], None]) -> None:
    me = worker(store)
    put(store)
    [lease] = store.reserve_hastily(me, 0, 1, QUEUES).leases
    assert store.confirm(me, 0)
    crash()
    assert store.confirm(me, 0)
    assert take(store, me, outcomes=succeeded(store, [lease])).refused == []
    assert states(store) == [State.SUCCEEDED]


def test_an_at_most_once_job_waits_for_the_disk_and_takes_with_it_what_came_before(
    store: PostgresStore, crash: Callable[[], None]
) -> None:
    me = worker(store)
    put(store)
    assert len(store.reserve_hastily(me, 0, 1, QUEUES).leases) == 1
    put(store, flags=int(Flag.AT_MOST_ONCE))
    assert len(store.reserve_hastily(me, 1, 1, QUEUES).leases) == 1
    crash()
    assert states(store) == [State.RUNNING] * 2
    assert store.confirm(me, 0)


def test_a_reserve_that_was_forgotten_is_not_taken_for_an_answer_that_was_lost(
    store: PostgresStore, server: PostgresServer, crash: Callable[[], None]
) -> None:
    """The settle that found the server gone is made again, and told that its lease is stale."""
    me = worker(store)
    put(store)
    assert take(store, me, outcomes=succeeded(store, take(store, me).leases)).leases == []
    put(store)
    leases = store.reserve_hastily(me, 0, 1, QUEUES).leases
    server.kill()
    with pytest.raises(StoreUnavailable):
        store.confirm(me, 0)
    answers: list[Exchange] = []
    settling = threading.Thread(
        target=lambda: answers.append(take(store, me, outcomes=succeeded(store, leases))), daemon=True
    )
    settling.start()
    end = time.monotonic() + PATIENCE
    while len(store._exchanger._tried.get((me, 0), ())) < 2:  # the quick way was in vain, the long one goes on
        assert time.monotonic() < end
        time.sleep(0.01)
    crash()
    settling.join(PATIENCE)
    assert [outcome.lease for answer in answers for outcome in answer.refused] == leases


class Flushes:
    """Sees when a producer, having woken somebody, waits for the disk; and may cut its connection there, once."""

    def __init__(self, proxy: Proxy, cut: bool) -> None:
        self.seen = 0
        self._cut = cut
        proxy.cut_call(self._watch)

    def _watch(self, data: bytes) -> bool:
        if b"pg_logical_emit_message" not in data:
            return False
        self.seen += 1
        return self._cut and self.seen == 1


@pytest.mark.parametrize("cut", [False, True], ids=["quiet", "cut"])
def test_a_lone_job_wakes_the_idle_first_and_is_on_the_disk_when_the_call_returns(
    store: PostgresStore, server: PostgresServer, crash: Callable[[], None], cut: bool
) -> None:
    """Cut in between, the call is made again, finds the job there, and waits for the disk all the same."""
    listener = store.listen("work")
    listener.fileno()  # it may be waited on at any time
    with Proxy(server.port) as proxy:
        flushes = Flushes(proxy, cut)
        options = {"schema": store.place.schema, "timeout": "60"}
        with closing(duly.store.open(store_url(proxy.port, "postgres", options))) as producer:
            ids: list[str] = []
            end = time.monotonic() + PATIENCE
            while not flushes.seen:
                assert time.monotonic() < end, "nobody was there to be told"
                job = Job(id=new_id(), task="t", due=store.now())
                producer.enqueue([job])
                ids.append(job.id)
            assert listener.wait(PATIENCE)
            crash()
            assert {job.id for job in store.jobs(Filter()).jobs} == set(ids)
    listener.close()
