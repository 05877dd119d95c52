"""A job that is given to a seat that waits, by the call that stores it: to one, once, and when it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.servers.redis import RedisServer

import duly.store
from duly.clock import MICROS
from duly.ids import new_id
from duly.job import Change, Filter, Job, Kind, Lease, Limit, Outcome, State, WorkerInfo
from duly.store.redis import RedisStore
from duly.store.redis.seat_listener import SeatListener
from duly.testing.clock import ManualClock

MINUTE = 60 * MICROS
LAPSE = MINUTE
SOON = 60  # seconds, for what comes at once


class World:
    """A server, its clock, one worker's store and listeners, and another process's store that calls."""

    def __init__(self, server: RedisServer, prefix: str) -> None:
        self.server = server
        self.clock = ManualClock()
        self.url = f"{server.url()}?prefix={prefix}"
        self.store = RedisStore(self.url, self.clock)
        self.caller = RedisStore(self.url, self.clock)
        self.worker = self.store.register(WorkerInfo(name="w", host="h", pid=1), 10 * MINUTE)
        self._listeners: list[SeatListener] = []

    def seat(self, slot: int = 0) -> SeatListener:
        listener = self.store.listen_as_seat(self.worker, slot)
        self._listeners.append(listener)
        return listener

    def waiting(self, *queues: str, slot: int = 0, lapse: int = LAPSE) -> SeatListener:
        """A seat that has made an offer."""
        seat = self.seat(slot)
        seat.offer(queues or ["default"], lapse)
        return seat

    def put(self, **fields: object) -> str:
        id = new_id()
        job = {"id": id, "task": "t", "due": self.clock.now(), "args": b'["x"]'} | fields
        self.caller.enqueue([Job(**job)])  # type: ignore[arg-type]
        return id

    def take(self, slot: int = 0, want: int = 1, queue: str = "default") -> list[Lease]:
        return self.store.exchange(self.worker, slot, [], want, [queue]).leases

    def settle(self, lease: Lease, slot: int = 0) -> list[Outcome]:
        now = self.clock.now()
        outcome = Outcome(lease, Kind.SUCCEEDED, now, now, b"1")
        return list(self.store.exchange(self.worker, slot, [outcome], 0, []).refused)

    def state(self, id: str) -> State:
        return self.store.jobs(Filter(ids=[id])).jobs[0].state

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self.store.close()
        self.caller.close()


@pytest.fixture
def world(shared_redis: RedisServer) -> Iterator[World]:
    world = World(shared_redis, new_id())
    yield world
    world.close()


def heard(seat: SeatListener) -> Lease:
    """The job that it is given."""
    for _ in range(10):  # the subscription's own answer may come first
        assert seat.wait(SOON)
        lease = seat.given()
        if lease is not None:
            return lease
    raise AssertionError("nothing was given")


def silent(world: World, seat: SeatListener) -> bool:
    """Whether it was given nothing; a message that is sent now comes after all others."""
    world.server.ask("PUBLISH", f"{{duly:{world.url.split('=')[1]}}}:wake:work", "1")
    assert seat.wait(SOON)
    while seat.wait(0.05):
        pass
    return seat.given() is None


# -- given -------------------------------------------------------------------------------------------


def test_a_job_is_given_to_the_seat_that_waits(world: World) -> None:
    seat = world.waiting()
    id = world.put(headers=b'{"h": 1}', priority=7)
    lease = heard(seat)
    assert (lease.id, lease.args, lease.attempt, lease.priority, lease.headers) == (id, b'["x"]', 1, 7, b'{"h": 1}')
    view = world.store.jobs(Filter(ids=[id])).jobs[0]
    assert (view.state, view.worker, view.slot, view.started) == (State.RUNNING, "w@h", 0, world.clock.now())
    assert world.take() == []
    assert world.settle(lease) == []
    assert world.state(id) is State.SUCCEEDED


def test_a_lease_that_was_given_is_like_one_that_was_reserved(world: World) -> None:
    """What exchange gives for the same job, but for the token."""
    fields = {"args": b"[1]", "options": b"{}", "flags": 2, "limit_key": "k", "expires": world.clock.now() + MINUTE}
    seat = world.waiting()
    world.put(**fields)
    given = heard(seat)
    world.put(**fields)
    (taken,) = world.take()
    same = [name for name in given.__struct_fields__ if name not in ("token", "ref", "id")]
    assert [getattr(given, name) for name in same] == [getattr(taken, name) for name in same]
    assert given.token != taken.token


def test_an_offer_is_used_once(world: World) -> None:
    seat = world.waiting("a", "b")
    first, second = world.put(queue="a"), world.put(queue="b")
    assert heard(seat).id == first
    assert silent(world, seat)
    assert world.state(second) is State.WAITING


def test_each_idle_seat_is_given_one_and_the_last_to_come_is_first(world: World) -> None:
    first = world.waiting(slot=0)
    world.clock.advance(1)
    second = world.waiting(slot=1)
    ids = [world.put() for _ in range(3)]
    assert (heard(second).id, heard(first).id) == (ids[0], ids[1])
    assert world.state(ids[2]) is State.WAITING


# -- not heard of ------------------------------------------------------------------------------------


def test_what_was_given_and_not_heard_of_is_reserved_by_the_next_exchange(world: World) -> None:
    seat = world.waiting()
    id = world.put()
    (lease,) = world.take()
    assert (lease.id, lease.attempt) == (id, 1)
    assert seat.wait(SOON)
    assert seat.given() is None, "its message came late: it is another lease by now"
    assert world.settle(lease) == []


def test_what_was_given_to_a_seat_that_leaves_waits_again(world: World) -> None:
    seat = world.waiting()
    id = world.put()
    assert world.take(want=0) == []
    assert world.state(id) is State.WAITING
    seat.close()
    assert [lease.attempt for lease in world.take(slot=1)] == [1]


@pytest.mark.parametrize("want", [0, 1])
def test_an_exchange_takes_the_offer_back(world: World, want: int) -> None:
    seat = world.waiting()
    assert world.take(want=want) == []
    id = world.put()
    assert silent(world, seat)
    assert world.state(id) is State.WAITING


def test_a_seat_whose_process_is_gone_is_given_nothing(world: World) -> None:
    """Its worker's lease lives on; the next seat has the job."""
    other = world.waiting(slot=1)
    world.clock.advance(1)
    gone = world.waiting(slot=0)
    world.server.ask("PING")
    gone.close()
    id = world.put()
    assert heard(other).id == id


def test_a_connection_that_broke_is_given_nothing(world: World) -> None:
    seat = world.waiting()
    assert world.server.ask("CLIENT", "KILL", "TYPE", "pubsub") != ":0"
    id = world.put()
    assert world.state(id) is State.WAITING
    assert seat.wait(SOON)
    assert seat.given() is None
    assert [lease.id for lease in world.take()] == [id]


@pytest.mark.parametrize("how", ["left", "dead"])
def test_a_worker_that_is_no_more_is_given_nothing(world: World, how: str) -> None:
    world.waiting()
    if how == "left":
        world.store.unregister(world.worker)
    else:
        world.caller.rescue(3, [world.worker], lapsed=False)
    assert world.state(world.put()) is State.WAITING


def test_a_worker_that_is_no_more_makes_no_offer(world: World) -> None:
    world.caller.rescue(3, [world.worker], lapsed=False)
    world.waiting()
    assert world.state(world.put()) is State.WAITING


# -- not its turn ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"due": 9 * 10**15},
        {"queue": "other"},
        {"key": "k"},
        {"args": b'"' + b"x" * 8_000 + b'"'},
    ],
    ids=["of the future", "of another queue", "with a key", "large"],
)
def test_these_are_not_given(world: World, fields: dict[str, object]) -> None:
    world.waiting()
    assert world.state(world.put(**fields)) is State.WAITING


def test_what_is_not_given_leaves_the_offer(world: World) -> None:
    seat = world.waiting()
    world.put(due=world.clock.now() + MINUTE * 60)
    world.put(queue="other")
    id = world.put()
    assert heard(seat).id == id


def test_an_expired_job_is_not_given(world: World) -> None:
    world.waiting()
    assert world.state(world.put(expires=world.clock.now())) is State.WAITING


def test_an_offer_ends_when_its_time_is_over(world: World) -> None:
    world.waiting(lapse=MICROS)
    world.clock.advance(1)
    assert world.state(world.put()) is State.WAITING


def test_an_offer_ends_when_another_job_comes_due(world: World) -> None:
    ahead = world.put(due=world.clock.now() + MICROS)
    seat = world.waiting()
    world.clock.advance(1)
    world.put()
    assert silent(world, seat)
    assert [lease.id for lease in world.take()] == [ahead]


def test_no_offer_where_something_is_due(world: World) -> None:
    first = world.put()
    seat = world.seat()
    assert seat.offer(["default"], LAPSE) == world.clock.now()
    world.put()
    assert [lease.id for lease in world.take()] == [first]


def many(world: World) -> list[str]:
    ids = [new_id(), new_id()]
    world.caller.enqueue([Job(id=id, task="t", due=world.clock.now()) for id in ids])
    return ids


def keyed(world: World) -> list[str]:
    return [world.put(key="k")]


def moved_here(world: World) -> list[str]:
    id = world.put(queue="other")
    world.caller.move(Filter(ids=[id]), Change(queue="default"))
    return [id]


def soon_due(world: World) -> list[str]:
    id = world.put(due=world.clock.now() + MICROS)
    world.clock.advance(1)
    return [id]


@pytest.mark.parametrize("before", [many, keyed, moved_here, soon_due])
def test_what_came_before_is_first(world: World, before: Callable[[World], list[str]]) -> None:
    """However it came: the seat that was woken has not taken it yet."""
    seat = world.waiting()
    ids = before(world)
    later = world.put()
    assert silent(world, seat)
    assert [lease.id for lease in world.take(want=3)] == [*ids, later]


def pause(world: World) -> None:
    world.caller.pause("default")


def limit(world: World) -> None:
    world.caller.set_limit(Limit(scope="task", name="t", concurrency=1))


@pytest.mark.parametrize("rule", [pause, limit])
def test_not_where_there_are_limits_or_pauses(world: World, rule: Callable[[World], None]) -> None:
    seat = world.waiting()
    rule(world)
    assert world.state(world.put()) is State.WAITING
    world.take()
    seat.offer(["default"], LAPSE)
    assert world.state(world.put()) is State.WAITING


def test_what_a_pause_held_up_is_first(world: World) -> None:
    world.caller.pause("default")
    first = world.put()
    seat = world.waiting()
    world.caller.resume("default")
    second = world.put()
    assert silent(world, seat)
    assert [lease.id for lease in world.take(want=2)] == [first, second]


def test_not_while_the_store_is_being_moved(world: World) -> None:
    world.waiting()
    world.caller.moves.begin_move("sqlite:///elsewhere.db")
    assert world.state(world.put()) is State.WAITING


def test_a_full_server_gives_nothing_and_stores_nothing(world: World) -> None:
    seat = world.waiting()
    world.server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(duly.errors.StoreUnavailable, match="refuses writes"):
            world.put()
        assert world.take() == []
    finally:
        world.server.ask("CONFIG", "SET", "maxmemory", "0")
    assert silent(world, seat)
    assert world.store.counts() == []


def test_who_may_not_ask_who_listens_stores_all_the_same(world: World) -> None:
    """Half of a job would be worse than a job that is not given."""
    seat = world.waiting()
    world.server.ask("ACL", "SETUSER", "caller", "on", ">secret", "~*", "&*", "+@all", "-pubsub")
    place = world.url.removeprefix("redis://")
    caller = RedisStore(f"redis://caller:secret@{place}", world.clock)
    id = new_id()
    try:
        caller.enqueue([Job(id=id, task="t", due=world.clock.now())])
    finally:
        caller.close()
        world.server.ask("ACL", "DELUSER", "caller")
    assert silent(world, seat)
    assert [lease.id for lease in world.take()] == [id]


def test_offers_leave_no_keys(world: World) -> None:
    seat = world.waiting("a", "b", lapse=MICROS)
    prefix = f"{{duly:{world.url.split('=')[1]}}}"
    for name in ("idle:a", "idle:b", f"offers:{world.worker}"):
        left = int(world.server.ask("PTTL", f"{prefix}:{name}").removeprefix(":"))
        assert 0 < left <= 11_000, name
    seat.close()
