"""Gates: jobs that wait for others, however these end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from duly.errors import ConfigError
from duly.job import Change, Filter, Flag, Gate, GateView, Job, Kind, Lease, State, Then
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    BOOM,
    DIED,
    LEASE,
    SECOND,
    T0,
    Base,
    ended,
    everything,
    history,
    job,
    put,
    reserve,
    settle,
    snapshot,
    state,
    take,
    verdicts,
    view,
)

ON_FAILURE, FROM_RELEASE = int(Flag.ON_FAILURE), int(Flag.FROM_RELEASE)
LONG = 1_000
"""Steps of the chain that fails from its first to its last."""


def member(id: str, gate: str, index: int = 0, **fields: Any) -> Job:
    """A job that counts in one gate."""
    return job(id=id, gates=((gate, index),), **fields)


def chord(store: Store, size: int = 3, **fields: Any) -> None:
    """``size`` members m0, m1, ... of the gate "g", and "body" held at it."""
    members = [member(f"m{i}", "g", i) for i in range(size)]
    store.enqueue([*members, job(id="body", after="g", **fields)], [Gate("g", size)])


def chain(store: Store, length: int, **fields: Any) -> None:
    """Jobs s0, s1, ...: each held at the gate of the one before, and a member of its own."""
    steps = [
        job(id=f"s{i}", after=f"g{i - 1}" if i else None, gates=((f"g{i}", 0),) if i < length - 1 else (), **fields)
        for i in range(length)
    ]
    store.enqueue(steps, [Gate(f"g{i}", 1) for i in range(length - 1)])


def run(store: Store, worker: int, kind: Kind = Kind.SUCCEEDED, **fields: Any) -> str:
    """Reserve one job and end it so; gives its id."""
    lease = take(store, worker)
    end(store, worker, lease, kind, **fields)
    return lease.id


def end(store: Store, worker: int, lease: Lease, kind: Kind = Kind.SUCCEEDED, **fields: Any) -> None:
    if kind == Kind.FAILED:
        fields.setdefault("error", BOOM)
    assert settle(store, worker, lease, kind, **fields)


def gate(store: Store, id: str = "g") -> GateView:
    [found] = store.gates([id])
    assert found is not None
    return found


def tally(store: Store, id: str = "g") -> tuple[int, int]:
    """How many members of a gate are left, and how many failed."""
    found = gate(store, id)
    return found.left, found.failed


def names(jobs: Sequence[Any]) -> list[str]:
    return [one.id for one in jobs]


# -- every way for a reserved member "m0" to end otherwise than by success; each says in what state ----------------


def fail(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    end(store, worker, lease, Kind.FAILED)
    return State.FAILED


def end_cancelled(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    end(store, worker, lease, Kind.CANCELLED, error=BOOM)
    return State.CANCELLED


def end_uncertain(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    end(store, worker, lease, Kind.UNCERTAIN, error=BOOM)
    return State.UNCERTAIN


def retry_when_cancelled(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    store.cancel(Filter(ids=("m0",)))
    end(store, worker, lease, Kind.RETRY, due=T0, error=BOOM)
    return State.CANCELLED


def release_when_cancelled(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    store.cancel(Filter(ids=("m0",)))
    end(store, worker, lease, Kind.RELEASED)
    return State.CANCELLED


def leave_when_cancelled(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    store.cancel(Filter(ids=("m0",)))
    store.unregister(worker)
    return State.CANCELLED


def replace_when_cancelled(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    store.cancel(Filter(ids=("m0",)))
    end(store, worker, lease, Kind.REPLACED, then=Then((job(id="m0", after="h"), member("x", "h")), (Gate("h", 1),)))
    assert store.results(["x"]) == [None], "what was to come with an outcome is stored though its job was cancelled"
    return State.CANCELLED


def lose_too_often(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    store.abandon(worker, 0, ["m0"], DIED, 1)
    return State.FAILED


def lapse(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    clock.advance(LEASE / SECOND)
    store.rescue(1)
    return State.FAILED


def cancel_released(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    end(store, worker, lease, Kind.RELEASED)
    store.cancel(Filter(ids=("m0",)))
    return State.CANCELLED


def expire(store: Store, worker: int, clock: ManualClock, lease: Lease) -> State:
    end(store, worker, lease, Kind.RELEASED)
    clock.advance(60)
    assert "m0" not in names(reserve(store, worker))
    return State.CANCELLED


ENDS = [
    fail, end_cancelled, end_uncertain, retry_when_cancelled, release_when_cancelled, leave_when_cancelled,
    replace_when_cancelled, lose_too_often, lapse, cancel_released, expire,
]  # fmt: skip
End = Callable[[Store, int, ManualClock, Lease], State]


class Gates(Base):
    """Held, counted, released or failed: in the transaction of the last end."""

    # -- held ------------------------------------------------------------------------------------

    def test_a_held_job_is_not_reserved_and_costs_the_others_nothing(self, store: Store, worker: int) -> None:
        store.enqueue([job(id="body", after="g")], [Gate("g", 2)])
        assert reserve(store, worker) == []
        assert store.next_due(["default"]) is None
        assert store.counts() == []
        seen = view(store, "body")
        assert (seen.state, seen.held, seen.after, seen.lane, seen.state_name(T0)) == (
            State.WAITING, True, "g", None, "held",
        )  # fmt: skip
        [result] = store.results(["body"])
        assert result is not None
        assert result.state_name(T0) == "held"

    def test_a_held_job_is_listed_as_that_and_as_nothing_else(self, store: Store) -> None:
        chord(store, 2)
        for order in ("newest", "due"):
            assert names(everything(store, Filter(states=("held",)), order=order)) == ["body"]
            others = Filter(states=("scheduled", "queued", "retrying"))
            assert set(names(everything(store, others, order=order))) == {"m0", "m1"}

    def test_who_is_member_and_who_comes_after(self, store: Store, worker: int) -> None:
        chord(store, 2)
        assert (view(store, "m1").gates, view(store, "body").gates) == ((("g", 1),), ())
        assert names(everything(store, Filter(after="g"))) == ["body"]
        assert names(everything(store, Filter(after="g", states=("queued",)))) == []
        assert verdicts(store.cancel(Filter(after="g"))) == {"body": "prevented"}

    def test_a_held_job_is_moved_and_stays_held(self, store: Store, worker: int) -> None:
        chord(store, 1)
        assert verdicts(store.move(Filter(ids=("body",)), Change(queue="other", priority=7))) == {"body": "moved"}
        assert view(store, "body").held
        run(store, worker)
        assert names(reserve(store, worker, queues=("other",))) == ["body"]

    def test_a_held_job_is_cancelled(self, store: Store, worker: int) -> None:
        chord(store, 1)
        assert verdicts(store.cancel(Filter(ids=("body",)))) == {"body": "prevented"}
        run(store, worker)
        assert state(store, "body") == State.CANCELLED
        assert reserve(store, worker) == []

    def test_a_held_job_expires_in_maintenance(self, store: Store, worker: int, clock: ManualClock) -> None:
        store.enqueue([job(id="next", after="h")], [Gate("h", 1)])
        chord(store, 1, expires=T0 + SECOND, gates=(("h", 0),))
        clock.advance(2)
        store.maintain()
        assert state(store, "body") == State.CANCELLED
        assert state(store, "next") == State.FAILED

    def test_a_gate_that_is_nowhere_is_refused(self, store: Store) -> None:
        before = snapshot(store)
        for wrong in (job(after="nowhere"), member("m", "nowhere")):
            with pytest.raises(ConfigError, match="nowhere"):
                store.enqueue([job(id="other"), wrong], [Gate("g", 1)])
        assert snapshot(store) == before
        assert store.gates(["g"]) == [None]

    # -- counting --------------------------------------------------------------------------------

    def test_the_last_success_releases_what_is_held(self, store: Store, worker: int, clock: ManualClock) -> None:
        chord(store, 3)
        assert gate(store) == GateView(id="g", size=3, left=3, failed=0, first_failed=None, finished=None)
        for left in (2, 1):
            run(store, worker)
            assert tally(store) == (left, 0)
            assert view(store, "body").held
        clock.advance(1)
        run(store, worker)
        assert gate(store) == GateView(id="g", size=3, left=0, failed=0, first_failed=None, finished=T0 + SECOND)
        seen = view(store, "body")
        assert (seen.held, seen.after, seen.due) == (False, "g", T0 + SECOND)
        assert names(reserve(store, worker)) == ["body"]

    def test_the_call_that_settles_the_last_member_may_reserve_what_follows(self, store: Store, worker: int) -> None:
        chord(store, 2)
        outcomes = [ended(store, lease) for lease in reserve(store, worker)]
        assert names(store.exchange(worker, 0, outcomes, 5, ["default"]).leases) == ["body"]

    def test_members_that_come_later_count_all_the_same(self, store: Store, worker: int) -> None:
        store.enqueue([member("m0", "g", 0), job(id="body", after="g")], [Gate("g", 2)])
        run(store, worker)
        store.enqueue([member("m1", "g", 1)])
        assert tally(store) == (1, 0)
        run(store, worker)
        assert names(reserve(store, worker)) == ["body"]

    def test_storing_again_changes_nothing(self, store: Store, worker: int) -> None:
        chord(store, 2)
        run(store, worker)
        before = snapshot(store), gate(store)
        chord(store, 2)
        assert (snapshot(store), gate(store)) == before

    def test_several_hold_at_a_gate_and_a_job_counts_in_several(self, store: Store, worker: int) -> None:
        store.enqueue(
            [
                job(id="m", gates=(("g", 0), ("h", 0))), job(id="a", after="g"), job(id="b", after="g"),
                job(id="c", after="h"),
            ],
            [Gate("g", 1), Gate("h", 1)],
        )  # fmt: skip
        assert run(store, worker) == "m"
        assert set(names(reserve(store, worker))) == {"a", "b", "c"}

    @pytest.mark.parametrize("kind", [Kind.RETRY, Kind.RELEASED, Kind.POSTPONED])
    def test_what_is_no_end_is_not_counted(self, store: Store, worker: int, kind: Kind) -> None:
        chord(store, 1)
        end(store, worker, take(store, worker), kind, due=T0)
        assert tally(store) == (1, 0)
        run(store, worker)
        assert names(reserve(store, worker)) == ["body"]

    def test_a_rescue_is_no_end(self, store: Store, worker: int) -> None:
        chord(store, 1)
        take(store, worker)
        store.abandon(worker, 0, ["m0"], DIED, 3)
        assert tally(store) == (1, 0)
        run(store, worker)
        assert names(reserve(store, worker)) == ["body"]

    def test_a_refused_outcome_is_not_counted(self, store: Store, worker: int) -> None:
        chord(store, 2)
        lease = take(store, worker)
        store.abandon(worker, 0, ["m0"], DIED, 3)
        assert not settle(store, worker, lease, then=Then((job(id="x"),)))
        assert tally(store) == (2, 0)
        assert store.results(["x"]) == [None]

    @pytest.mark.parametrize("how", ENDS)
    def test_an_end_without_success_fails_what_is_held(
        self, store: Store, worker: int, clock: ManualClock, how: End
    ) -> None:
        store.enqueue(
            [
                member("m0", "g", 0, expires=T0 + 60 * SECOND, priority=9), member("m1", "g", 1, queue="other"),
                job(id="body", after="g"), job(id="errback", after="g", flags=ON_FAILURE),
            ],
            [Gate("g", 2)],
        )  # fmt: skip
        other = store.register(store.workers()[0], 1000 * LEASE)
        end(store, other, take(store, other, queue="other"))
        lease = take(store, worker)
        assert lease.id == "m0"
        wanted = how(store, worker, clock, lease)
        assert state(store, "m0") == wanted
        seen = gate(store)
        assert (seen.left, seen.failed, seen.first_failed, seen.finished) == (0, 1, "m0", store.now())
        body = view(store, "body")
        assert (body.state, body.attempt, body.started, body.finished) == (State.FAILED, 0, None, store.now())
        assert body.error is not None
        assert view(store, "m0").error in (body.error, None)
        assert history(store, "body") == []
        assert "errback" in [
            *names(reserve(store, other)),
            *(v.id for v in everything(store, Filter(states=("running",)))),
        ]

    def test_the_first_failure_is_the_one_told(self, store: Store, worker: int) -> None:
        chord(store, 3)
        first, second, third = reserve(store, worker)
        end(store, worker, second, Kind.FAILED, error=BOOM)
        assert view(store, "body").held
        end(store, worker, first, Kind.FAILED, error=DIED)
        end(store, worker, third)
        assert gate(store).first_failed == second.id
        assert gate(store).failed == 2
        assert view(store, "body").error == BOOM

    def test_success_deletes_what_waited_for_failure_and_what_was_to_follow_it(
        self, store: Store, worker: int
    ) -> None:
        store.enqueue(
            [
                member("m0", "g"), job(id="body", after="g"),
                member("errback", "e", after="g", flags=ON_FAILURE), member("after it", "f", after="e"),
                job(id="at last", after="f"),
            ],
            [Gate("g", 1), Gate("e", 1), Gate("f", 1)],
        )  # fmt: skip
        run(store, worker)
        assert set(names(everything(store))) == {"m0", "body"}
        assert store.gates(["e", "f"]) == [None, None]

    def test_a_failure_goes_down_a_chain_of_a_thousand(self, store: Store, worker: int) -> None:
        chain(store, LONG)
        run(store, worker, Kind.FAILED)
        seen = everything(store, limit=LONG)
        assert [(one.state, one.error) for one in seen] == [(State.FAILED, BOOM)] * LONG

    def test_a_key_that_is_taken_over_ends_a_member(self, store: Store) -> None:
        store.enqueue([member("m0", "g", key="k"), job(id="body", after="g")], [Gate("g", 1)])
        put(store, key="k", on_conflict="replace")
        assert state(store, "m0") == State.CANCELLED
        assert state(store, "body") == State.FAILED

    def test_cancelling_a_whole_canvas_cancels_each_of_it(self, store: Store) -> None:
        chain(store, 3)
        assert set(verdicts(store.cancel(Filter())).values()) == {"prevented"}
        assert {one.state for one in everything(store)} == {State.CANCELLED}

    # -- when ------------------------------------------------------------------------------------

    def test_due_and_expires_hold_as_they_are(self, store: Store, worker: int, clock: ManualClock) -> None:
        chord(store, 1, due=T0 + 9 * SECOND, expires=T0 + 20 * SECOND)
        clock.advance(5)
        run(store, worker)
        seen = view(store, "body")
        assert (seen.due, seen.expires, seen.state_name(store.now())) == (
            T0 + 9 * SECOND,
            T0 + 20 * SECOND,
            "scheduled",
        )
        assert store.next_due(["default"]) == T0 + 9 * SECOND

    def test_from_release_they_count_from_the_release(self, store: Store, worker: int, clock: ManualClock) -> None:
        chord(store, 1, due=T0 + 9 * SECOND, expires=T0 + 20 * SECOND, flags=FROM_RELEASE)
        clock.advance(100)
        store.maintain()
        run(store, worker)
        seen = view(store, "body")
        assert (seen.due, seen.expires) == (T0 + 109 * SECOND, T0 + 120 * SECOND)
        clock.advance(20)
        assert reserve(store, worker) == []
        assert state(store, "body") == State.CANCELLED

    @pytest.mark.parametrize("due", [2, 15, 20, 50])  # before its own, before its expiry, at it, beyond it
    def test_a_due_that_is_given_counts_from_release_no_longer(
        self, store: Store, worker: int, clock: ManualClock, due: int
    ) -> None:
        chord(store, 1, due=T0 + 9 * SECOND, expires=T0 + 20 * SECOND, flags=FROM_RELEASE)
        store.move(Filter(ids=("body",)), Change(due=T0 + due * SECOND))
        clock.advance(1)
        run(store, worker)
        seen = view(store, "body")
        assert (seen.due, seen.expires) == (T0 + due * SECOND, T0 + (due + 11) * SECOND)

    def test_another_queue_leaves_it_counting_from_the_release(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        chord(store, 1, due=T0 + 9 * SECOND, expires=T0 + 20 * SECOND, flags=FROM_RELEASE)
        store.move(Filter(ids=("body",)), Change(queue="other"))
        clock.advance(100)
        store.maintain()
        run(store, worker)
        seen = view(store, "body")
        assert (seen.due, seen.expires) == (T0 + 109 * SECOND, T0 + 120 * SECOND)

    def test_nothing_to_wait_for_releases_at_once(self, store: Store, worker: int) -> None:
        store.enqueue([job(id="body", after="g"), job(id="e", after="g", flags=ON_FAILURE)], [Gate("g", 0)])
        assert names(reserve(store, worker)) == ["body"]
        assert store.results(["e"]) == [None]

    @pytest.mark.parametrize("kind", [Kind.SUCCEEDED, Kind.FAILED])
    def test_who_comes_to_a_closed_gate_goes_the_way_of_the_others(
        self, store: Store, worker: int, kind: Kind
    ) -> None:
        store.enqueue([member("m0", "g")], [Gate("g", 1), Gate("h", 1)])
        run(store, worker, kind)
        errback = job(id="errback", after="g", flags=ON_FAILURE)
        store.enqueue([member("late", "h", after="g"), job(id="later", after="h"), errback])
        if kind == Kind.SUCCEEDED:
            assert names(reserve(store, worker)) == ["late"]
            assert store.results(["errback"]) == [None]
        else:
            assert names(reserve(store, worker)) == ["errback"]
            assert [state(store, id) for id in ("late", "later")] == [State.FAILED] * 2

    # -- then, and going on as another ------------------------------------------------------------

    def test_what_comes_with_an_outcome_is_stored_with_it(self, store: Store, worker: int) -> None:
        put(store, id="m")
        then = Then((member("a", "g"), job(id="b", after="g")), (Gate("g", 1),))
        end(store, worker, take(store, worker), then=then)
        assert run(store, worker) == "a"
        assert run(store, worker) == "b"

    def test_a_job_goes_on_as_another(self, store: Store, worker: int, clock: ManualClock) -> None:
        store.enqueue([member("m0", "g"), job(id="body", after="g")], [Gate("g", 1)])
        lease = take(store, worker)
        store.save_effect(lease, "step", b"1")
        clock.advance(1)
        last = job(
            id="m0", task="u", args=b"[[1],{}]", queue="q", priority=3, due=T0, headers=b'{"a":1}', options=b"{}",
            limit_key="l", after="h",
        )  # fmt: skip
        end(store, worker, lease, Kind.REPLACED, then=Then((member("a", "h"), last), (Gate("h", 1),)))
        seen = view(store, "m0")
        assert (seen.state, seen.held, seen.attempt, seen.retries) == (State.WAITING, True, 1, 0)
        assert (seen.task, seen.args, seen.queue, seen.priority) == ("u", b"[[1],{}]", "q", 3)
        assert (seen.headers, seen.options, seen.limit_key, seen.after) == (b'{"a":1}', b"{}", "l", "h")
        assert history(store, "m0") == ["replaced"]
        assert tally(store) == (1, 0)
        assert run(store, worker) == "a"
        again = take(store, worker, queue="q")
        assert (again.id, again.task, again.attempt, again.flags) == ("m0", "u", 2, int(Flag.MEMBER))
        assert store.load_effect(again, "step") is None
        end(store, worker, again)
        assert tally(store) == (0, 0)
        assert run(store, worker) == "body"

    def test_it_counts_where_it_did_and_where_the_other_was_to(self, store: Store, worker: int) -> None:
        store.enqueue([member("m0", "g"), job(id="body", after="g")], [Gate("g", 1)])
        then = Then((member("m0", "h"), job(id="link", after="h")), (Gate("h", 1),))
        end(store, worker, take(store, worker), Kind.REPLACED, then=then)
        assert sorted(view(store, "m0").gates) == [("g", 0), ("h", 0)]
        assert run(store, worker) == "m0"
        assert set(names(reserve(store, worker))) == {"body", "link"}

    def test_it_may_go_on_without_waiting_for_anything(self, store: Store, worker: int) -> None:
        put(store, id="m")
        end(store, worker, take(store, worker), Kind.REPLACED, then=Then((job(id="m", task="u"),)))
        again = take(store, worker)
        assert (again.id, again.task, again.retries) == ("m", "u", 0)

    def test_a_failure_of_what_it_waits_for_is_its_own(self, store: Store, worker: int) -> None:
        store.enqueue([member("m0", "g"), job(id="body", after="g")], [Gate("g", 1)])
        then = Then((member("a", "h"), job(id="m0", after="h")), (Gate("h", 1),))
        end(store, worker, take(store, worker), Kind.REPLACED, then=then)
        run(store, worker, Kind.FAILED)
        assert [state(store, id) for id in ("a", "m0", "body")] == [State.FAILED] * 3
        assert verdicts(store.retry(Filter(ids=("a",)))) == {"a": "retried"}
        assert [run(store, worker) for _ in range(3)] == ["a", "m0", "body"]

    def test_a_stale_lease_replaces_nothing(self, store: Store, worker: int) -> None:
        put(store, id="m")
        lease = take(store, worker)
        store.abandon(worker, 0, ["m"], DIED, 3)
        assert not settle(store, worker, lease, Kind.REPLACED, then=Then((job(id="m", task="u"), job(id="x"))))
        assert view(store, "m").task == "t"
        assert store.results(["x"]) == [None]
