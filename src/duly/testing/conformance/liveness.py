"""``register``, ``renew``, ``unregister``, ``abandon``, ``rescue``: who holds what, and what becomes of it."""

from __future__ import annotations

import msgspec
import pytest

from duly.job import Cancel, ErrorInfo, Filter, Flag, Kind, Rescued, State, WorkerInfo
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    DIED,
    LEASE,
    SECOND,
    T0,
    Base,
    history,
    job,
    put,
    register,
    reserve,
    settle,
    state,
    take,
    view,
)


class Liveness(Base):
    """A worker lives by renewing; what it held when it died comes back, once."""

    # -- the registry ----------------------------------------------------------------------------

    def test_a_registered_worker_can_be_seen(self, store: Store, clock: ManualClock) -> None:
        info = WorkerInfo(
            name="w1", host="h1", pid=4711, boot="b", born=77, queues=("a", "b"), pool="thread", slots=3,
            tasks=("t1", "t2"), version="1.2", started=T0 - 5,
        )  # fmt: skip
        id = store.register(info, LEASE)
        [seen] = store.workers()
        for field in ("name", "host", "pid", "boot", "born", "queues", "pool", "slots", "tasks", "version"):
            assert getattr(seen, field) == getattr(info, field), field
        assert (seen.id, seen.expires) == (id, T0 + LEASE)

    def test_workers_come_newest_first_lapsed_ones_too(self, store: Store, clock: ManualClock) -> None:
        ids = [register(store, f"w{i}") for i in range(3)]
        clock.advance(1000)
        assert [w.id for w in store.workers()] == ids[::-1]
        assert all(w.expires < clock.now() for w in store.workers())

    def test_worker_ids_are_never_used_twice(self, store: Store, clock: ManualClock) -> None:
        ids = []
        for i in range(6):
            id = register(store)
            ids.append(id)
            if i % 2:
                store.unregister(id)
            else:
                store.rescue(3, [id])
            clock.advance(100 * 24 * 3600)
            store.prune(clock.now(), clock.now(), 1000)
        assert len(set(ids)) == len(ids)

    def test_renew_prolongs_the_lease(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        take(store, worker)
        for _ in range(10):
            clock.advance(LEASE / 1e6 * 0.9)
            assert store.renew(worker, LEASE).alive is True
            assert store.rescue(3) == []
        assert store.workers()[0].expires == clock.now() + LEASE
        assert state(store, id) == State.RUNNING

    def test_a_lapsed_worker_that_nobody_rescued_lives_on(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        put(store)
        lease = take(store, worker)
        clock.advance(LEASE / 1e6 * 3)
        assert store.renew(worker, LEASE).alive is True
        assert store.rescue(3) == []
        assert settle(store, worker, lease)

    def test_a_rescued_worker_is_told_so_and_stays_dead(self, store: Store, worker: int, clock: ManualClock) -> None:
        clock.advance(LEASE / 1e6 * 3)
        store.rescue(3)
        assert store.renew(worker, LEASE).alive is False
        assert store.renew(worker, LEASE).alive is False

    def test_a_worker_nobody_knows_is_not_alive(self, store: Store, worker: int) -> None:
        assert store.renew(worker + 12345, LEASE).alive is False

    def test_renew_brings_the_cancels_of_this_worker_only(self, store: Store, worker: int, other: int) -> None:
        mine, mine2, theirs = put(store), put(store), put(store)
        first, second = take(store, worker, slot=1), take(store, worker, slot=2)
        take(store, other)
        store.cancel(Filter(ids=(mine, theirs)))
        store.cancel(Filter(ids=(mine2,)), terminate=True)
        for _ in range(2):  # until it has an outcome: a renewal's answer may be lost
            cancels = store.renew(worker, LEASE).cancels
            assert sorted(cancels, key=lambda c: c.slot) == [
                Cancel(id=mine, slot=1, token=first.token, terminate=False),
                Cancel(id=mine2, slot=2, token=second.token, terminate=True),
            ]
        assert [c.id for c in store.renew(other, LEASE).cancels] == [theirs]

    def test_a_second_cancel_can_make_it_terminate(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        store.cancel(Filter(ids=(id,)))
        store.cancel(Filter(ids=(id,)), terminate=True)
        assert store.renew(worker, LEASE).cancels == [Cancel(id=id, slot=0, token=lease.token, terminate=True)]

    def test_unregister_releases_what_is_still_held(self, store: Store, worker: int, other: int) -> None:
        id, asked = put(store), put(store)
        reserve(store, worker)
        store.cancel(Filter(ids=(asked,)))
        store.unregister(worker)
        seen = view(store, id)
        assert (seen.state, seen.attempt, seen.lost) == (State.WAITING, 0, 0)
        assert state(store, asked) == State.CANCELLED
        assert store.renew(worker, LEASE).alive is False
        assert [lease.id for lease in reserve(store, other)] == [id]
        assert [w.expires for w in store.workers() if w.id == worker] in ([], [0])

    def test_unregister_twice_or_of_nobody_is_nothing(self, store: Store, worker: int) -> None:
        store.unregister(worker)
        store.unregister(worker)
        store.unregister(worker + 999)

    # -- abandon ---------------------------------------------------------------------------------

    def test_abandon_tells_started_from_not_started(self, store: Store, worker: int) -> None:
        began, waited = put(store), put(store)
        reserve(store, worker, slot=1)
        answer = store.abandon(worker, 1, [began], DIED, 3)
        lost = Rescued(id=began, task="t", queue="default", state=State.WAITING, lost=1)
        assert [one for one in answer if one.id == began] == [lost]
        seen = view(store, began)
        assert (seen.state, seen.lost, seen.attempt, seen.due) == (State.WAITING, 1, 1, T0)
        seen = view(store, waited)
        assert (seen.state, seen.lost, seen.attempt) == (State.WAITING, 0, 0)
        assert (history(store, began), history(store, waited)) == (["lost"], [])
        assert store.attempts(began)[0].error == DIED
        assert [(lease.id, lease.attempt, lease.lost) for lease in reserve(store, worker)] == [
            (began, 2, 1), (waited, 1, 0),
        ]  # fmt: skip

    def test_abandon_is_about_one_seat(self, store: Store, worker: int, other: int) -> None:
        ids = [put(store) for _ in range(3)]
        take(store, worker, slot=0)
        kept = take(store, worker, slot=1)
        kept2 = take(store, other, slot=0)
        store.abandon(worker, 0, ids, DIED, 3)  # even when jobs of other seats are named
        assert [state(store, id) for id in ids] == [State.WAITING, State.RUNNING, State.RUNNING]
        assert settle(store, worker, kept)
        assert settle(store, other, kept2)

    def test_abandon_of_an_empty_seat_is_nothing(self, store: Store, worker: int) -> None:
        id = put(store)
        assert store.abandon(worker, 0, [id, "no such job"], DIED, 3) == []
        assert state(store, id) == State.WAITING

    def test_abandon_twice_counts_once(self, store: Store, worker: int) -> None:
        id = put(store)
        take(store, worker)
        store.abandon(worker, 0, [id], DIED, 3)
        assert store.abandon(worker, 0, [id], DIED, 3) == []
        assert view(store, id).lost == 1

    def test_abandoned_at_most_once_jobs(self, store: Store, worker: int) -> None:
        began = put(store, flags=int(Flag.AT_MOST_ONCE))
        waited = put(store, flags=int(Flag.AT_MOST_ONCE))
        reserve(store, worker)
        store.abandon(worker, 0, [began], DIED, 3)
        assert state(store, began) == State.UNCERTAIN
        assert state(store, waited) == State.WAITING, "it had not started, so nothing is uncertain"
        assert view(store, began).error is not None

    def test_abandoned_jobs_that_were_asked_to_cancel_end_cancelled(self, store: Store, worker: int) -> None:
        ids = [put(store), put(store)]
        reserve(store, worker)
        store.cancel(Filter(ids=tuple(ids)))
        store.abandon(worker, 0, ids[:1], DIED, 3)
        assert [state(store, id) for id in ids] == [State.CANCELLED] * 2

    def test_abandoned_too_often_fails_with_the_reason(self, store: Store, worker: int) -> None:
        id = put(store)
        for loss in (1, 2, 3):
            take(store, worker)
            [one] = store.abandon(worker, 0, [id], DIED, 3)
            assert one.lost == loss
        assert one.state == State.FAILED
        seen = view(store, id)
        assert (seen.state, seen.lost, seen.finished) == (State.FAILED, 3, T0)
        assert seen.error is not None
        assert b"signal 9" in seen.error
        assert history(store, id) == ["lost", "lost", "failed"]

    # -- rescue ----------------------------------------------------------------------------------

    def test_rescue_waits_until_the_lease_has_lapsed(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store, task="a")
        take(store, worker)
        clock.set(T0 + LEASE - 1)
        assert store.rescue(3) == []
        assert state(store, id) == State.RUNNING
        clock.set(T0 + LEASE + 1)
        assert store.rescue(3) == [Rescued(id=id, task="a", queue="default", state=State.WAITING, lost=1)]
        assert store.rescue(3) == []
        seen = view(store, id)
        assert (seen.state, seen.attempt, seen.lost, seen.due) == (State.WAITING, 1, 1, T0)

    def test_rescue_leaves_the_living_alone(self, store: Store, worker: int, other: int, clock: ManualClock) -> None:
        put(store)
        put(store)
        dead, living = take(store, worker), take(store, other)
        clock.advance(LEASE / 1e6 - 1)
        store.renew(other, LEASE)
        clock.advance(2)
        assert [one.id for one in store.rescue(3)] == [dead.id]
        assert settle(store, other, living)

    def test_the_dead_that_are_named_need_not_lapse(self, store: Store, worker: int, other: int) -> None:
        put(store)
        put(store)
        dead = take(store, worker)
        take(store, other)
        assert [one.id for one in store.rescue(3, [worker])] == [dead.id]
        assert store.renew(worker, LEASE).alive is False
        assert store.renew(other, LEASE).alive is True

    def test_naming_nobody_or_strangers_as_dead_is_nothing(self, store: Store, worker: int) -> None:
        put(store)
        take(store, worker)
        assert store.rescue(3, [worker + 99, 0, -1]) == []
        assert store.renew(worker, LEASE).alive is True

    def test_a_rescued_job_is_due_at_its_old_due(self, store: Store, worker: int, clock: ManualClock) -> None:
        early = put(store, due=T0 - 60 * SECOND)
        take(store, worker)
        put(store, due=T0 - 30 * SECOND)
        store.rescue(3, [worker])
        assert view(store, early).due == T0 - 60 * SECOND
        assert take(store, register(store)).id == early, "it keeps its place in the queue"

    def test_a_rescued_at_most_once_job_is_uncertain(self, store: Store, worker: int) -> None:
        id = put(store, flags=int(Flag.AT_MOST_ONCE), key="k")
        take(store, worker)
        [one] = store.rescue(3, [worker])
        assert (one.id, one.state) == (id, State.UNCERTAIN)
        assert (view(store, id).finished, view(store, id).lost) == (T0, 1)
        assert reserve(store, register(store)) == []
        put(store, key="k", on_conflict="error")

    def test_a_rescued_job_that_was_asked_to_cancel_ends_cancelled(self, store: Store, worker: int) -> None:
        id = put(store)
        take(store, worker)
        store.cancel(Filter(ids=(id,)))
        [one] = store.rescue(3, [worker])
        assert (one.id, one.state) == (id, State.CANCELLED)
        seen = view(store, id)
        assert (seen.state, seen.finished, seen.cancelling) == (State.CANCELLED, T0, False)

    @pytest.mark.parametrize("max_lost", [1, 3])
    def test_a_job_lost_too_often_fails_as_worker_lost(self, store: Store, clock: ManualClock, max_lost: int) -> None:
        id = put(store, key="k")
        for loss in range(1, max_lost + 1):
            worker = register(store)
            assert take(store, worker).lost == loss - 1
            [one] = store.rescue(max_lost, [worker])
            assert one.lost == loss
        assert one.state == State.FAILED
        seen = view(store, id)
        assert (seen.state, seen.lost, seen.finished) == (State.FAILED, max_lost, T0)
        assert seen.error is not None
        error = msgspec.json.decode(seen.error, type=ErrorInfo)
        assert (error.type, error.module) == ("WorkerLost", "duly.errors")
        assert error.message
        assert history(store, id) == ["lost"] * (max_lost - 1) + ["failed"]
        put(store, key="k", on_conflict="error")

    def test_losses_and_retries_are_counted_apart(self, store: Store, clock: ManualClock) -> None:
        id = put(store)
        for way in ("retry", "lost", "retry", "lost"):
            worker = register(store)
            lease = take(store, worker)
            if way == "retry":
                assert settle(store, worker, lease, Kind.RETRY, due=T0)
            else:
                store.rescue(3, [worker])
        lease = take(store, register(store))
        assert (lease.id, lease.attempt, lease.retries, lease.lost) == (id, 5, 2, 2)

    def test_rescue_takes_all_seats_and_many_jobs(self, store: Store, worker: int) -> None:
        ids = [e.id for e in store.enqueue([job() for _ in range(300)])]
        for slot in range(3):
            reserve(store, worker, 100, slot=slot)
        rescued = store.rescue(3, [worker])
        assert sorted(one.id for one in rescued) == sorted(ids)
        assert [lease.id for lease in reserve(store, register(store), 500)] == ids

    def test_what_was_settled_before_is_not_rescued(self, store: Store, worker: int) -> None:
        put(store)
        put(store)
        first, second = reserve(store, worker)
        assert settle(store, worker, first)
        assert [one.id for one in store.rescue(3, [worker])] == [second.id]
        assert state(store, first.id) == State.SUCCEEDED
