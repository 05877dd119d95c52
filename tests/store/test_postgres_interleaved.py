"""Two transactions in each other's middle: what SQLite's one writer cannot show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from postgres_kit import MINUTE, new_schema, worker
from tests.servers.postgres import PostgresServer

import duly.store
from duly.errors import ConfigError
from duly.ids import new_id
from duly.job import Advance, Filter, Gate, Job, Kind, Limit, Outcome, Schedule, State
from duly.store import Store
from duly.store.postgres.sql import Session, Statements
from duly.store.sql import managing, storing


class Place:
    """A store, and a transaction of somebody else's in its schema."""

    def __init__(self, server: PostgresServer) -> None:
        self.schema = new_schema()
        self.conninfo = f"{server.conninfo()} options='-c search_path={self.schema}'"
        self.url = server.url(schema=self.schema)
        self.store: Store = duly.store.open(self.url)

    def meanwhile(
        self, call: Callable[[], object], *statements: str, work: Callable[[Session], object] | None = None
    ) -> None:
        """``call``, begun in the middle of a transaction of ``statements`` or ``work``: it goes by, or waits for its
        end."""
        calling = threading.Thread(target=call)
        with psycopg.connect(self.conninfo) as other, psycopg.connect(self.conninfo, autocommit=True) as watch:
            for statement in statements:
                other.execute(statement)
            if work is not None:
                work(Session(other, Statements(self.schema)))
            calling.start()
            end = time.monotonic() + 30
            waits = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
            while calling.is_alive() and not watch.execute(waits, (other.info.backend_pid,)).fetchall():
                assert time.monotonic() < end, "it neither ended nor waits"
                time.sleep(0.005)
            other.commit()
        calling.join(30)
        assert not calling.is_alive()


@pytest.fixture
def place(postgres: PostgresServer) -> Iterator[Place]:
    place = Place(postgres)
    yield place
    place.store.close()


def test_an_occurrence_that_starts_while_its_schedule_is_paused_is_not_made_again(place: Place) -> None:
    store = place.store
    nominal = store.now() + MINUTE
    store.put_schedule(Schedule(name="s", rule=b'{"kind":"x"}', task="t", next=nominal))
    job = Job(id=new_id(), task="t", due=nominal)
    (seen,) = store.schedules()
    assert store.occur([Advance(seen=seen, jobs=((nominal, job),), next=nominal + MINUTE)]) == [1]
    place.meanwhile(lambda: store.pause_schedule("s"), "UPDATE jobs SET state = 1, attempt = 1")
    assert [one.job for one in store.occurrences("s")] == [job.id]
    assert store.schedules()[0].next == nominal + MINUTE


def test_a_slot_that_a_dead_worker_frees_while_a_job_is_parked_for_it_is_used_at_once(place: Place) -> None:
    store = place.store
    store.set_limit(Limit(scope="queue", name="default", concurrency=1))
    store.enqueue([Job(id=new_id(), task="t", due=store.now()) for _ in range(2)])
    dead, living = worker(store), worker(store)
    (lease,) = store.exchange(dead, 0, [], 1, ["default"]).leases
    store.cancel(Filter(ids=(lease.id,)))
    later = store.now() + 10_000_000
    park = (
        f"SELECT pg_advisory_xact_lock(hashtextextended('{place.schema}/lanes', 0))",
        f"UPDATE jobs SET lane = 'queue:default' WHERE seq <> {lease.ref}",
        f"INSERT INTO lanes VALUES ('queue:default', 0, {later})",
    )
    place.meanwhile(lambda: store.rescue(3, [dead], lapsed=False), *park)
    assert len(store.exchange(living, 0, [], 5, ["default"]).leases) == 1


def opened_gate(store: Store) -> str:
    """A gate whose only member has succeeded, and at which nothing was held yet; gives the member's id."""
    now, member = store.now(), new_id()
    store.enqueue([Job(id=member, task="t", due=now, gates=(("g", 0),))], [Gate("g", 1)])
    holder = worker(store)
    (lease,) = store.exchange(holder, 0, [], 1, ["default"]).leases
    store.exchange(holder, 0, [Outcome(lease, Kind.SUCCEEDED, now, now, b"1")], 0, [])
    return member


def test_a_member_that_is_forgotten_while_its_follower_is_stored_stays(place: Place) -> None:
    store = place.store
    member = opened_gate(store)
    follower = Job(id=new_id(), task="t", due=store.now(), after="g")
    forgotten: list[int] = []
    place.meanwhile(
        lambda: forgotten.append(store.forget([member])),
        work=lambda db: storing.enqueue(db, [follower], [], store.now()),
    )
    assert forgotten == [0]
    assert store.gates(["g"]) != [None]
    (view,) = store.jobs(Filter(ids=(follower.id,))).jobs
    assert (view.state, view.held) == (State.WAITING, False)
    assert [one.id for one in store.members("g")] == [member], "the follower has its argument"


@pytest.mark.parametrize("how", ["forget", "prune"])
def test_a_follower_that_is_stored_while_its_gate_goes_is_refused(place: Place, how: str) -> None:
    store = place.store
    member = opened_gate(store)
    follower = Job(id=new_id(), task="t", due=store.now(), after="g")
    refused: list[ConfigError] = []

    def follow() -> None:
        try:
            store.enqueue([follower])
        except ConfigError as error:
            refused.append(error)

    later = store.now() + MINUTE
    gone = {
        "forget": lambda db: managing.forget(db, [member], later),
        "prune": lambda db: managing.prune(db, later, later, 10),
    }
    place.meanwhile(follow, work=gone[how])
    assert "no such gate" in str(refused)
    assert store.jobs(Filter()).jobs == []
