"""The exchange in one statement: what makes it take the long way, and what comes of one whose executor has died."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from postgres_kit import MINUTE, put, states, succeeded, take, worker
from tests.servers.postgres import PostgresServer

import duly.store
from duly.ids import new_id
from duly.job import Job, Limit, State
from duly.store.postgres import PostgresStore


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


def test_what_was_on_its_way_when_the_executor_died_is_given_back_with_the_rest(
    store: PostgresStore, postgres: PostgresServer, schema: str
) -> None:
    """Its exchange waits for a lock while the supervisor writes off the seat: it comes before, or not at all."""
    me = worker(store)
    put(store, 2)
    leases = take(store, me, want=1).leases
    supervisor = duly.store.open(postgres.url(schema=schema))
    conninfo = f"{postgres.conninfo()} options='-c search_path={schema}'"
    dying = threading.Thread(target=lambda: take(store, me, want=10, outcomes=succeeded(store, leases)))
    abandoning = threading.Thread(target=lambda: supervisor.abandon(me, 0, [], b"{}", 3))
    with psycopg.connect(conninfo, autocommit=True) as watch:

        def wait_for(number: int) -> None:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
            end = time.monotonic() + 30
            while watch.execute(waiting, (f'%"{schema}"%',)).fetchone() != (number,):
                assert time.monotonic() < end, f"there are not {number} who wait for a lock"
                time.sleep(0.01)

        with psycopg.connect(conninfo) as lock:
            lock.execute("SELECT 1 FROM jobs WHERE seq = %s FOR UPDATE", (leases[0].ref,))
            dying.start()
            wait_for(1)
            abandoning.start()
            wait_for(2)
    dying.join(30)
    abandoning.join(30)
    assert sorted(states(supervisor)) == [State.WAITING, State.SUCCEEDED], "nothing runs on a dead executor's seat"
    supervisor.close()


def test_what_comes_after_the_seat_was_written_off_does_nothing(store: PostgresStore) -> None:
    me = worker(store)
    put(store, 2)
    (lease,) = take(store, me, want=1).leases
    store.abandon(me, 0, [], b"{}", 3)
    assert take(store, me, want=0, outcomes=succeeded(store, [lease])).refused != []
    assert states(store) == [State.WAITING] * 2
