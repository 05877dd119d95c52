"""What is reserved when somebody idle is woken: the next job in one short statement, or else by the exchange."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from postgres_kit import MINUTE, put, succeeded, take, worker
from tests.servers.postgres import PostgresServer, store_url
from tests.servers.proxy import Proxy

import duly.store
from duly.ids import new_id
from duly.job import Filter, Flag, Job, Limit, State
from duly.store import Store
from duly.store.postgres import PostgresStore

QUEUES = ["default"]


def seated(store: Store) -> int:
    """A worker whose seat 0 has reserved before."""
    me = worker(store)
    put(store)
    assert take(store, me, outcomes=succeeded(store, take(store, me).leases)).refused == []
    return me


@pytest.fixture
def exchanges(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What took the statement of the exchange, or the long way."""
    seen: list[str] = []
    for name in ("_quick", "_long"):
        way = getattr(store._exchanger, name)
        monkeypatch.setattr(store._exchanger, name, lambda *asked, n=name, way=way: seen.append(n) or way(*asked))
    return seen


def test_the_next_job_comes_by_queue_priority_due_and_age(store: PostgresStore, exchanges: list[str]) -> None:
    me = seated(store)
    exchanges.clear()
    put(store, queue="later")
    low = put(store, 2, priority=1)
    [high] = put(store, priority=8)
    store.enqueue([Job(id=new_id(), task="t", due=store.now() + MINUTE, priority=1)])
    got = [store.reserve_hastily(me, 0, 10, ["empty", "default", "later"]).leases[0] for _ in range(4)]
    assert [lease.id for lease in got[:3]] == [high, *low]
    assert (got[3].queue, got[3].attempt, len({lease.token for lease in got})) == ("later", 1, 4)
    assert store.reserve_hastily(me, 0, 10, ["default", "later"]).leases == []
    assert exchanges == [], "nothing of this asks for more"
    assert store.confirm(me, 0)
    assert take(store, me, outcomes=succeeded(store, got)).refused == []


def test_a_priority_of_which_nothing_is_due_is_in_the_way_of_no_other(
    store: PostgresStore, exchanges: list[str]
) -> None:
    me = seated(store)
    store.enqueue([Job(id=new_id(), task="t", due=store.now() + MINUTE, priority=9)])
    exchanges.clear()
    assert store.reserve_hastily(me, 0, 1, QUEUES).leases == []
    assert exchanges == []
    [low] = put(store, priority=1)
    put(store, queue="later")
    [first, last] = [store.reserve_hastily(me, 0, 1, ["default", "later"]).leases[0] for _ in range(2)]
    assert (first.id, last.queue) == (low, "later")


def expired(store: Store) -> None:
    now = store.now()
    store.enqueue([Job(id=new_id(), task="t", due=now, expires=now)])


def once_only(store: Store) -> None:
    put(store, flags=int(Flag.AT_MOST_ONCE))


def limited(store: Store) -> None:
    store.enqueue([Job(id=new_id(), task="narrow", due=store.now())])


@pytest.mark.parametrize("prepare", [expired, once_only, limited])
def test_what_is_not_plain_is_left_to_the_exchange(
    store: PostgresStore, exchanges: list[str], prepare: Callable[[Store], None]
) -> None:
    store.set_limit(Limit(scope="task", name="narrow", concurrency=1))
    me = seated(store)  # has heard of the limit
    exchanges.clear()
    prepare(store)
    leases = store.reserve_hastily(me, 0, 1, QUEUES).leases
    assert exchanges
    assert len(leases) == (0 if prepare is expired else 1)
    assert State.WAITING not in [job.state for job in store.jobs(Filter()).jobs]


def test_a_limit_that_was_set_since_is_heard_of(store: PostgresStore) -> None:
    me = seated(store)
    store.set_limit(Limit(scope="queue", name="default", concurrency=1))
    put(store, 2)
    assert [len(store.reserve_hastily(me, 0, 1, QUEUES).leases) for _ in range(2)] == [1, 0]


def test_a_lane_that_has_opened_is_seen(store: PostgresStore) -> None:
    store.set_limit(Limit(scope="task", name="narrow", concurrency=1))
    me = seated(store)
    limited(store)
    limited(store)
    [one] = store.reserve_hastily(me, 0, 1, QUEUES).leases
    assert store.reserve_hastily(me, 0, 1, QUEUES).leases == []
    take(store, me, want=0, outcomes=succeeded(store, [one]))
    assert len(store.reserve_hastily(me, 0, 1, QUEUES).leases) == 1


def test_a_seat_that_was_written_off_is_looked_into_first(store: PostgresStore, exchanges: list[str]) -> None:
    me = seated(store)
    store.abandon(me, 0, [], b"{}", 3)  # as its supervisor does, under a token of its own
    put(store)
    exchanges.clear()
    assert len(store.reserve_hastily(me, 0, 1, QUEUES).leases) == 1
    assert "_long" in exchanges, (
        "what was sent before it was written off would find another token, too, and do nothing"
    )


def test_paused_queues_and_workers_that_were_written_off_get_nothing(store: PostgresStore) -> None:
    me = seated(store)
    put(store)
    store.pause("default")
    assert store.reserve_hastily(me, 0, 1, QUEUES).leases == []
    store.resume("default")
    assert store.reserve_hastily(me, 0, 1, ["empty"]).leases == []  # and has heard of the end of the pause
    store.rescue(3, dead=[me])
    assert store.reserve_hastily(me, 0, 1, QUEUES).leases == []
    other = seated(store)
    put(store)
    assert len(store.reserve_hastily(other, 0, 1, QUEUES).leases) == 1


def test_an_answer_that_was_lost_is_asked_for_again(postgres: PostgresServer, schema: str) -> None:
    with Proxy(postgres.port) as proxy:
        store = duly.store.open(store_url(proxy.port, "postgres", {"schema": schema}))
        assert isinstance(store, PostgresStore)
        me = seated(store)
        [id] = put(store)
        cut: list[bytes] = []

        def answers_with_it(data: bytes) -> bool:
            if cut or id.encode() not in data:
                return False
            cut.append(data)
            return True

        proxy.cut_answer(answers_with_it)
        [lease] = store.reserve_hastily(me, 0, 1, QUEUES).leases
        assert cut
        assert (lease.id, lease.attempt) == (id, 1), "what was reserved unheard of is this seat's"
        assert take(store, me, outcomes=succeeded(store, [lease])).refused == []
        assert [job.state for job in store.jobs(Filter(ids=(id,))).jobs] == [State.SUCCEEDED]
        store.close()
