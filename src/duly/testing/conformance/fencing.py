"""Promise 3: every write about a running job carries its token, and a stale one changes nothing.

A stale lease is made in each way there is: settled, released, retried, rescued, abandoned, left by
``unregister``, and in each of these with the job reserved again by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from duly.errors import StaleLease
from duly.job import Filter, Kind, Lease, State
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    BOOM,
    DIED,
    LEASE,
    T0,
    Base,
    ended,
    put,
    register,
    reserve,
    settle,
    snapshot,
    state,
    take,
    view,
)

Way = Callable[[Store, int, Lease, ManualClock], object]


def _lapse(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    clock.advance(LEASE / 1e6 + 1)
    assert [one.id for one in store.rescue(3)] == [lease.id]


def _named_dead(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    assert [one.id for one in store.rescue(3, [worker])] == [lease.id]


def _abandoned_started(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    store.abandon(worker, 0, [lease.id], DIED, 3)


def _abandoned(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    store.abandon(worker, 0, [], DIED, 3)


def _unregistered(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    store.unregister(worker)


def _released(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    assert settle(store, worker, lease, Kind.RELEASED)


def _retried(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    assert settle(store, worker, lease, Kind.RETRY, due=T0)


def _finished_and_retried_by_a_person(store: Store, worker: int, lease: Lease, clock: ManualClock) -> None:
    assert settle(store, worker, lease, Kind.FAILED, error=BOOM)
    assert store.retry(Filter(ids=(lease.id,)))[0].verdict == "retried"


GIVEN_BACK: tuple[Way, ...] = (
    _lapse,
    _named_dead,
    _abandoned_started,
    _abandoned,
    _unregistered,
    _released,
    _retried,
    _finished_and_retried_by_a_person,
)
ways = pytest.mark.parametrize("way", GIVEN_BACK, ids=[way.__name__.strip("_") for way in GIVEN_BACK])
kinds = pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.LOST])


class Fencing(Base):
    """A late worker can waste its own time and nothing else."""

    @ways
    @kinds
    def test_an_outcome_is_refused_once_the_job_was_given_back(
        self, store: Store, worker: int, clock: ManualClock, way: Way, kind: Kind
    ) -> None:
        put(store)
        lease = take(store, worker)
        way(store, worker, lease, clock)
        before = snapshot(store)
        late = ended(store, lease, kind, result=b"1", error=BOOM, due=T0 + 5, progress=b"{}", log=b"late")
        assert store.exchange(worker, 0, [late], 0, ()).refused == [late]
        assert snapshot(store) == before

    @ways
    @kinds
    def test_an_outcome_is_refused_once_another_attempt_runs(
        self, store: Store, worker: int, clock: ManualClock, way: Way, kind: Kind
    ) -> None:
        id = put(store)
        lease = take(store, worker)
        way(store, worker, lease, clock)
        successor = register(store, "successor")
        again = take(store, successor)
        assert again.id == id
        assert again.token != lease.token
        before = snapshot(store)
        late = ended(store, lease, kind, result=b"1", error=BOOM, due=T0 + 5, progress=b"{}", log=b"late")
        assert store.exchange(worker, 0, [late], 0, ()).refused == [late]
        assert snapshot(store) == before
        assert settle(store, successor, again, result=b"2")
        assert view(store, id).result == b"2"

    @ways
    def test_the_same_seat_cannot_settle_with_the_token_of_its_own_earlier_attempt(
        self, store: Store, worker: int, clock: ManualClock, way: Way
    ) -> None:
        put(store)
        lease = take(store, worker)
        way(store, worker, lease, clock)
        seat = worker if reserve(store, worker, 0) == [] and store.renew(worker, LEASE).alive else register(store)
        again = take(store, seat)
        assert not settle(store, seat, lease)
        assert settle(store, seat, again)

    @ways
    def test_progress_and_effects_of_a_stale_lease_are_refused(
        self, store: Store, worker: int, clock: ManualClock, way: Way
    ) -> None:
        put(store)
        lease = take(store, worker)
        way(store, worker, lease, clock)
        again = take(store, register(store, "successor"))
        assert store.save_progress(lease, b'{"done":1}') is False
        with pytest.raises(StaleLease):
            store.save_effect(lease, "step", b"late")
        assert view(store, lease.id).progress is None
        assert store.load_effect(again, "step") is None

    def test_progress_and_effects_are_refused_after_the_end(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        assert settle(store, worker, lease)
        assert store.save_progress(lease, b'{"done":1}') is False
        with pytest.raises(StaleLease):
            store.save_effect(lease, "step", b"late")
        assert view(store, id).progress is None

    @kinds
    @pytest.mark.parametrize("end", [Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED, Kind.UNCERTAIN])
    def test_final_is_final(self, store: Store, worker: int, end: Kind, kind: Kind) -> None:
        put(store)
        lease = take(store, worker)
        assert settle(store, worker, lease, end)
        before = snapshot(store)
        assert not settle(store, worker, lease, kind, result=b"2", error=BOOM, due=T0)
        assert snapshot(store) == before

    def test_an_outcome_repeated_in_one_call_counts_once(self, store: Store, worker: int) -> None:
        put(store)
        lease = take(store, worker)
        first, second = ended(store, lease, result=b"1"), ended(store, lease, result=b"2")
        assert store.exchange(worker, 0, [first, second], 0, ()).refused == [second]
        assert view(store, lease.id).result == b"1"
        assert sum(r.n for r in store.rollups(0, 2**60) if r.measure == "runtime") == 1

    def test_a_stale_outcome_does_not_stop_the_others_of_its_call(self, store: Store, worker: int) -> None:
        ids = [put(store) for _ in range(3)]
        leases = reserve(store, worker)
        assert settle(store, worker, leases[1], Kind.RELEASED)
        again = take(store, worker, slot=1)
        answer = store.exchange(worker, 0, [ended(store, lease) for lease in leases], 0, ())
        assert [outcome.lease for outcome in answer.refused] == [leases[1]]
        assert [state(store, id) for id in ids] == [State.SUCCEEDED, State.RUNNING, State.SUCCEEDED]
        assert settle(store, worker, again)

    def test_tokens_are_never_used_twice(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        tokens = []
        for way in (_released, _abandoned, _abandoned_started, _retried, _finished_and_retried_by_a_person):
            lease = take(store, worker)
            tokens.append(lease.token)
            way(store, worker, lease, clock)
        lease = take(store, worker)
        tokens.append(lease.token)
        assert settle(store, worker, lease)
        assert store.forget([id]) == 1
        put(store, id=id)
        tokens.append(take(store, worker).token)
        assert len(set(tokens)) == len(tokens)

    def test_a_forgotten_job_made_again_under_its_id_is_another_job(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        assert settle(store, worker, lease)
        assert store.forget([id]) == 1
        put(store, id=id)
        again = take(store, worker)
        assert not settle(store, worker, lease, Kind.FAILED, error=BOOM)
        assert state(store, id) == State.RUNNING
        assert settle(store, worker, again)

    def test_a_forgotten_job_does_not_lend_its_place_to_a_stale_lease(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        assert settle(store, worker, lease)
        assert store.forget([id]) == 1
        stranger = put(store)  # may sit where the other one sat
        running = take(store, worker)
        assert running.id == stranger
        assert not settle(store, worker, lease, Kind.FAILED, error=BOOM)
        assert store.save_progress(lease, b"{}") is False
        assert state(store, stranger) == State.RUNNING

    def test_a_lapsed_worker_that_nobody_rescued_may_still_settle(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        id = put(store)
        lease = take(store, worker)
        clock.advance(LEASE / 1e6 * 5)
        assert settle(store, worker, lease)
        assert store.rescue(3) == []
        assert state(store, id) == State.SUCCEEDED

    def test_a_rescued_worker_reserves_nothing(self, store: Store, worker: int, other: int) -> None:
        put(store)
        take(store, worker)
        store.rescue(3, [worker])
        assert reserve(store, worker) == []
        assert len(reserve(store, other)) == 1

    def test_an_idle_worker_that_was_rescued_reserves_nothing(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        clock.advance(LEASE / 1e6 + 1)
        store.rescue(3)
        put(store, due=clock.now())
        assert reserve(store, worker) == []
        assert store.renew(worker, LEASE).alive is False

    def test_a_worker_that_left_or_never_came_reserves_nothing(self, store: Store, worker: int) -> None:
        id = put(store)
        store.unregister(worker)
        assert reserve(store, worker) == []
        assert reserve(store, worker + 1_000_000) == []
        assert state(store, id) == State.WAITING
