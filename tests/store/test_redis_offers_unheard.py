"""Between the script that gives a job and the seat that hears of it: none is run twice, none held for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.redis import RedisCluster, RedisReplica, RedisServer
from tests.waiting import eventually

from duly.clock import MICROS
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Lease, Outcome, State, WorkerInfo
from duly.store.redis import RedisStore
from duly.store.redis.seat_listener import SeatListener
from duly.store.redis.server import AnswerLost, Server
from duly.testing.clock import ManualClock
from duly.worker.seat import Seat

MINUTE = 60 * MICROS
SOON = 60  # seconds, for what comes at once


class Place:
    """One worker's store and another process's, at one server, and seats of the worker."""

    def __init__(self, server: RedisServer, prefix: str) -> None:
        self.store = RedisStore(f"{server.url()}?prefix={prefix}&timeout=5")
        self.caller = RedisStore(f"{server.url()}?prefix={prefix}&timeout=5")
        self.worker = self.store.register(WorkerInfo(name="w", host="h", pid=1), 10 * MINUTE)
        self._seats: list[SeatListener] = []

    def waiting(self, *queues: str) -> SeatListener:
        """Seat 0, which has heard that it listens, and offered."""
        seat = self.store.listen_as_seat(self.worker, 0)
        self._seats.append(seat)
        while seat.wait(0.1):
            pass
        seat.offer(queues or ["default"], MINUTE)
        return seat

    def take(self, want: int = 1, queues: tuple[str, ...] = ("default",)) -> list[Lease]:
        return self.store.exchange(self.worker, 0, [], want, queues).leases

    def close(self) -> None:
        for seat in self._seats:
            seat.close()
        self.store.close()
        self.caller.close()


@pytest.fixture
def place(shared_redis: RedisServer) -> Iterator[Place]:
    place = Place(shared_redis, new_id())
    yield place
    place.close()


def put(store: RedisStore, queue: str = "default") -> str:
    id = new_id()
    store.enqueue([Job(id=id, task="t", due=0, queue=queue)])
    return id


def state(store: RedisStore, id: str) -> State:
    return store.jobs(Filter(ids=[id])).jobs[0].state


def test_a_listener_at_another_node_of_the_cluster_is_not_given_what_is_not_reserved_for_it(tmp_path: Path) -> None:
    """A cluster sends messages to all its nodes, and counts who listens at one."""
    with RedisCluster(tmp_path) as cluster:
        for node in range(3):
            place = Place(cluster.nodes[0], cluster.prefix_on(node))
            seat = place.waiting()
            id = put(place.caller)
            assert seat.wait(SOON)
            while seat.wait(0.2):
                pass
            runs = seat.given() is not None
            assert state(place.caller, id) is (State.RUNNING if runs else State.WAITING), node
            place.close()


def test_who_listens_to_a_primary_that_became_a_replica_is_not_given_what_is_not_reserved_for_it(
    tmp_path: Path,
) -> None:
    """It hears what the new primary sends."""
    with RedisServer(tmp_path / "old") as old, RedisReplica(tmp_path / "new", old) as new:
        eventually(new.is_in_step)
        place = Place(old, "app")
        seat = place.waiting()
        assert old.ask("WAIT", "1", "60000") == ":1"
        new.promote()
        old.ask("REPLICAOF", "127.0.0.1", str(new.port))
        eventually(lambda: "master_link_status:up" in old.ask("INFO", "replication"))
        caller = RedisStore(f"{new.url()}?prefix=app")
        id = put(caller)
        assert seat.wait(SOON)
        while seat.wait(0.2):
            pass
        assert (seat.given(), state(caller, id)) == (None, State.WAITING)
        caller.close()
        place.close()


def test_a_seat_whose_executor_was_written_off_is_given_nothing(place: Place) -> None:
    """Though the server has not heard yet that its connection is gone: nobody would ever give the job back."""
    place.waiting()
    place.caller.abandon(place.worker, 0, [], b"{}", 3)
    assert state(place.store, put(place.caller)) is State.WAITING


def test_a_seat_is_given_nothing_of_a_queue_that_it_no_longer_serves(place: Place) -> None:
    seat = place.waiting("a", "b")
    assert place.take(queues=("a", "b")) == []
    seat.offer(["b"], MINUTE)
    id = put(place.caller, "a")
    while seat.wait(0.2):
        pass
    assert seat.given() is None
    assert place.take(queues=("b",)) == []
    assert state(place.store, id) is State.WAITING
    assert [lease.id for lease in place.take(queues=("a",))] == [id]


class Held:
    """Holds up the call of another thread when it has been answered and nothing was done with the answer yet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answered, self.go_on = threading.Event(), threading.Event()
        whole = Server.call_plain

        def call(server: Server, name: str, *rest: object, **more: object) -> object:
            answer = whole(server, name, *rest, **more)  # type: ignore[arg-type]
            if threading.current_thread() is not threading.main_thread():
                self.answered.set()
                assert self.go_on.wait(SOON)
            return answer

        monkeypatch.setattr(Server, "call_plain", call)


def test_an_offer_that_is_made_while_the_flusher_settles_is_not_forgotten(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what it is used for would be held until the worker is gone."""
    put(place.caller)
    (lease,) = place.take()
    held = Held(monkeypatch)
    outcome = Outcome(lease, Kind.SUCCEEDED, 1, 2, b"1")
    flusher = threading.Thread(target=lambda: place.store.exchange(place.worker, 0, [outcome], 0, []))
    flusher.start()
    assert held.answered.wait(SOON)
    threading.Timer(0.3, held.go_on.set).start()  # longer than an offer takes, if nothing keeps it from being made
    place.waiting()
    flusher.join(SOON)
    id = put(place.caller)
    leases = place.take()
    assert [lease.id for lease in leases] == [id]


def test_what_two_lost_answers_reserved_is_given_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first was done and the second was not."""
    id = put(place.caller)
    whole = Server.call_plain
    lost = iter([True, False])

    def call(server: Server, name: str, *rest: object, **more: object) -> object:
        if (done := next(lost, None)) is None:
            return whole(server, name, *rest, **more)  # type: ignore[arg-type]
        if done:
            whole(server, name, *rest, **more)  # type: ignore[arg-type]
        raise AnswerLost("as if the connection broke")

    monkeypatch.setattr(Server, "call_plain", call)
    for _ in range(2):
        with pytest.raises(AnswerLost):
            place.take()
    assert [lease.id for lease in place.take()] == [id]


def test_who_was_frozen_does_not_run_what_it_was_given_meanwhile(place: Place) -> None:
    """Its worker's lease may have ended, and the job may run elsewhere. It has the job if the store says so."""
    clock = ManualClock()
    seat = Seat(place.store, place.worker, 0, ["default"], 2.0, clock)
    jobs = []

    def freeze_and_put() -> None:
        prefix = place.store.url.partition("prefix=")[2].partition("&")[0]
        eventually(lambda: place.caller._server.command("EXISTS", f"{{duly:{prefix}}}:offers:{place.worker}") == 1)
        clock.advance(20)
        jobs.append(put(place.caller))

    thread = threading.Thread(target=freeze_and_put)
    thread.start()
    got = seat.wait_for_job(2_500_000)
    thread.join(SOON)
    assert got is None
    place.caller.rescue(3, [place.worker], lapsed=False)
    assert seat.exchange([], 1) == []
    assert state(place.caller, jobs[0]) is State.WAITING
    seat.listener.close()
