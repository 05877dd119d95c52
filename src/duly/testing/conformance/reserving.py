"""``exchange`` as far as it reserves, and ``next_due``: order, never early, expiry, queues."""

from __future__ import annotations

import random

import pytest

from duly.job import Filter, Kind, State
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    SECOND,
    T0,
    Base,
    ended,
    history,
    job,
    put,
    reserve,
    result_of,
    settle,
    snapshot,
    state,
    take,
    view,
)


def drain(store: Store, worker: int, clock: ManualClock, want: int = 3) -> list[str]:
    """Reserve by small bites until nothing is due, as an executor does."""
    ids: list[str] = []
    while (due := store.next_due(["default"])) is not None and due <= clock.now():
        ids += [lease.id for lease in reserve(store, worker, want)]
    return ids


class Reserving(Base):
    """Who comes next, and never before its time."""

    def test_a_reserved_job_runs(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker, slot=2)
        seen = view(store, id)
        assert (seen.state, seen.attempt, seen.worker, seen.slot) == (State.RUNNING, 1, "w1@h", 2)
        assert (lease.id, lease.attempt) == (id, 1)

    def test_a_job_is_reserved_by_one_seat_only(self, store: Store, worker: int, other: int) -> None:
        put(store)
        take(store, worker)
        assert reserve(store, worker) == []
        assert reserve(store, worker, slot=1) == []
        assert reserve(store, other) == []

    def test_never_early_to_the_microsecond(self, store: Store, worker: int, clock: ManualClock) -> None:
        put(store, due=T0 + SECOND)
        clock.set(T0 + SECOND - 1)
        assert reserve(store, worker) == []
        clock.set(T0 + SECOND)
        assert len(reserve(store, worker)) == 1

    def test_never_early_when_the_clock_was_set_back(self, store: Store, worker: int, clock: ManualClock) -> None:
        put(store, due=T0)
        clock.set(T0 - 1)
        assert reserve(store, worker) == []

    def test_want_is_the_most_that_comes(self, store: Store, worker: int) -> None:
        ids = [put(store) for _ in range(5)]
        assert [lease.id for lease in reserve(store, worker, 2)] == ids[:2]
        assert reserve(store, worker, 0) == []
        assert [lease.id for lease in reserve(store, worker, 100)] == ids[2:]

    def test_priority_before_due_before_age(self, store: Store, worker: int) -> None:
        rnd = random.Random(7)
        batch = [job(priority=rnd.randrange(10), due=T0 - rnd.randrange(4)) for _ in range(200)]
        for start in range(0, 200, 40):
            store.enqueue(batch[start : start + 40])
        wanted = sorted(range(200), key=lambda i: (-batch[i].priority, batch[i].due, i))
        came: list[str] = []
        while leases := reserve(store, worker, 7):
            came += [lease.id for lease in leases]
        assert came == [batch[i].id for i in wanted]

    def test_age_is_the_order_of_enqueue(self, store: Store, worker: int, clock: ManualClock) -> None:
        ids = [f"{(i * 7919) % 1000:03}" for i in range(50)]  # ids that say nothing about age
        for id in ids:
            put(store, id=id, due=T0)
        assert [lease.id for lease in reserve(store, worker)] == ids

    def test_a_due_job_of_low_priority_is_not_hidden_by_urgent_ones_ahead(self, store: Store, worker: int) -> None:
        store.enqueue([job(priority=9, due=T0 + 1) for _ in range(50)])
        id = put(store, priority=0)
        assert [lease.id for lease in reserve(store, worker, 10)] == [id]

    def test_queues_take_turns_in_the_order_given(self, store: Store, worker: int) -> None:
        a, b = put(store, queue="a", priority=0), put(store, queue="b", priority=9)
        a2, a3 = put(store, queue="a", priority=5), put(store, queue="a")
        answer = reserve(store, worker, 10, ("a", "b"))
        assert [lease.id for lease in answer] == [a2, b, a, a3]

    def test_a_flooded_queue_leaves_the_others_their_turns(self, store: Store, worker: int) -> None:
        store.enqueue([*(job(queue="a", priority=9) for _ in range(50)), job(queue="b"), job(queue="c")])
        assert [lease.queue for lease in reserve(store, worker, 4, ("a", "b", "c"))] == ["a", "b", "c", "a"]
        assert [lease.queue for lease in reserve(store, worker, 2, ("a", "b"))] == ["a", "a"]

    def test_a_queue_named_more_often_has_more_turns(self, store: Store, worker: int) -> None:
        store.enqueue([*(job(queue="a") for _ in range(5)), *(job(queue="b") for _ in range(2))])
        turns = ("a", "a", "b")
        assert "".join(lease.queue for lease in reserve(store, worker, 4, turns)) == "aaba"
        assert "".join(lease.queue for lease in reserve(store, worker, 4, turns)) == "aab"

    def test_only_the_queues_named_are_served(self, store: Store, worker: int) -> None:
        put(store, queue="a")
        assert reserve(store, worker, 10, ("b", "A", "a ", "a%")) == []
        assert reserve(store, worker, 10, ()) == []
        assert len(reserve(store, worker, 10, ("b", "a"))) == 1

    def test_a_queue_named_twice_is_served_once(self, store: Store, worker: int) -> None:
        store.enqueue([job(queue="a") for _ in range(3)])
        leases = reserve(store, worker, 10, ("a", "a"))
        assert len({lease.id for lease in leases}) == len(leases) == 3

    # -- expiry ----------------------------------------------------------------------------------

    def test_a_job_is_not_started_at_or_after_expires(self, store: Store, worker: int, clock: ManualClock) -> None:
        kept, gone = put(store, expires=T0 + 1), put(store, expires=T0)
        assert [lease.id for lease in reserve(store, worker)] == [kept]
        seen = view(store, gone)
        assert (seen.state, seen.finished, seen.attempt) == (State.CANCELLED, T0, 0)
        assert history(store, gone) == []

    def test_expired_jobs_do_not_hide_those_behind_them(self, store: Store, worker: int, clock: ManualClock) -> None:
        store.enqueue([job(expires=T0, priority=9) for _ in range(20)])
        ids = [put(store) for _ in range(4)]
        assert drain(store, worker, clock) == ids
        assert len(store.jobs(Filter(states=("cancelled",))).jobs) == 20

    def test_a_running_job_does_not_expire(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store, expires=T0 + SECOND)
        lease = take(store, worker)
        clock.advance(5)
        assert settle(store, worker, lease)
        assert state(store, id) == State.SUCCEEDED

    def test_a_retry_that_comes_due_after_expires_ends_cancelled(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        id = put(store, expires=T0 + SECOND)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + 2 * SECOND)
        clock.advance(2)
        assert reserve(store, worker) == []
        assert state(store, id) == State.CANCELLED

    def test_who_was_woken_is_given_nothing_that_may_not_start(self, store: Store, worker: int) -> None:
        gone = put(store, expires=T0)
        assert reserve(store, worker, woken=True) == []
        assert state(store, gone) == State.CANCELLED
        held = put(store)
        store.pause("default")
        assert reserve(store, worker, woken=True) == []
        store.resume("default")
        store.exchange(worker, 0, [ended(store, take(store, worker), Kind.RETRY, due=T0)], 0, [])
        again = take(store, worker)
        assert (again.id, again.attempt, again.retries) == (held, 2, 1)

    # -- settle and reserve in one -----------------------------------------------------------------

    def test_a_job_settled_as_retry_due_now_can_come_back_in_the_same_exchange(
        self, store: Store, worker: int
    ) -> None:
        id = put(store)
        lease = take(store, worker)
        answer = store.exchange(worker, 0, [ended(store, lease, Kind.RETRY, due=T0)], 1, ["default"])
        assert result_of(answer) == ([id], [])
        assert answer.leases[0].token != lease.token
        assert (answer.leases[0].attempt, answer.leases[0].retries) == (2, 1)

    def test_outcomes_are_settled_even_when_nothing_is_due(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        answer = store.exchange(worker, 0, [ended(store, lease)], 5, ["default"])
        assert result_of(answer) == ([], [])
        assert state(store, id) == State.SUCCEEDED

    def test_an_exchange_that_cannot_be_written_changes_nothing(self, store: Store, worker: int) -> None:
        """An outcome with a field of a wrong type fails the call: then no part of it happened."""
        ids = [put(store), put(store)]
        good = take(store, worker)
        bad = take(store, worker)
        third = put(store)
        before = snapshot(store)
        spoiled = ended(store, bad, result=object())
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the driver says; the point is below
            store.exchange(worker, 0, [ended(store, good), spoiled], 5, ["default"])
        assert snapshot(store) == before
        assert [lease.id for lease in reserve(store, worker)] == [third]
        assert settle(store, worker, good)
        assert settle(store, worker, bad)
        assert [state(store, id) for id in ids] == [State.SUCCEEDED] * 2

    def test_an_enqueue_that_cannot_be_written_changes_nothing(self, store: Store) -> None:
        before = snapshot(store)
        with pytest.raises(Exception):  # noqa: B017, PT011
            store.enqueue([job(), job(args=object())])
        assert snapshot(store) == before
        put(store)

    def test_batches(self, store: Store, worker: int) -> None:
        ids = [e.id for e in store.enqueue([job() for _ in range(500)])]
        leases = reserve(store, worker, 500)
        assert [lease.id for lease in leases] == ids
        outcomes = [ended(store, lease, result=lease.id.encode()) for lease in leases]
        assert store.exchange(worker, 0, outcomes, 500, ["default"]).refused == []
        assert [r.result for r in store.results(ids) if r] == [id.encode() for id in ids]

    # -- next due --------------------------------------------------------------------------------

    def test_next_due_is_the_earliest_of_the_waiting_in_these_queues(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        assert store.next_due(["default"]) is None
        late = put(store, due=T0 + 60 * SECOND, priority=9)
        put(store, due=T0 + 5 * SECOND, priority=0)
        put(store, due=T0 + SECOND, queue="a")
        assert store.next_due(["default"]) == T0 + 5 * SECOND
        assert store.next_due(["default", "a"]) == T0 + SECOND
        assert store.next_due(["b"]) is None
        assert store.next_due([]) is None
        clock.advance(5)
        take(store, worker)
        assert store.next_due(["default"]) == T0 + 60 * SECOND
        store.cancel(Filter(ids=(late,)))
        assert store.next_due(["default"]) is None

    def test_next_due_may_lie_in_the_past(self, store: Store) -> None:
        put(store, due=T0 - 60 * SECOND)
        assert store.next_due(["default"]) == T0 - 60 * SECOND
