"""Gates afterwards: retrying what failed, and how long members are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from duly.job import Filter, Flag, Gate, Kind, Outcome, State, Then
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    DIED,
    SECOND,
    T0,
    Base,
    everything,
    job,
    put,
    reserve,
    state,
    take,
    verdicts,
    view,
)  # fmt: skip
from duly.testing.conformance.gates import ON_FAILURE, chain, chord, end, gate, member, names, run, tally

AT_MOST_ONCE = int(Flag.AT_MOST_ONCE)


class Resuming(Base):
    """A canvas goes on from the step that is retried; results stay while somebody needs them."""

    # -- retrying --------------------------------------------------------------------------------

    def test_retrying_the_step_that_failed_resumes_the_canvas(self, store: Store, worker: int) -> None:
        chain(store, 5)
        assert run(store, worker) == "s0"
        assert run(store, worker, Kind.FAILED) == "s1"
        assert verdicts(store.retry(Filter(ids=("s1",)))) == {"s1": "retried"}
        assert [view(store, f"s{i}").state_name(T0) for i in range(5)] == ["succeeded", "retrying", *["held"] * 3]
        assert [view(store, f"s{i}").error for i in range(2, 5)] == [None] * 3
        assert [run(store, worker) for _ in range(4)] == ["s1", "s2", "s3", "s4"]

    def test_retrying_one_of_two_that_failed_waits_for_the_other(self, store: Store, worker: int) -> None:
        chord(store, 3)
        for kind in (Kind.FAILED, Kind.SUCCEEDED, Kind.FAILED):
            run(store, worker, kind)
        assert tally(store) == (0, 2)
        store.retry(Filter(ids=("m0",)))
        seen = gate(store)
        assert (seen.left, seen.failed, seen.first_failed, seen.finished) == (1, 1, "m2", None)
        assert view(store, "body").held
        run(store, worker)
        assert state(store, "body") == State.FAILED
        store.retry(Filter(ids=("m2",)))
        assert [run(store, worker) for _ in range(2)] == ["m2", "body"]

    def test_retrying_everything_that_failed_resumes_in_any_order(self, store: Store, worker: int) -> None:
        chain(store, 3)
        run(store, worker, Kind.FAILED)
        answers = verdicts(store.retry(Filter(ids=("s2", "s1", "s0"))))
        assert answers == {"s0": "retried", "s1": "too late", "s2": "too late"}
        assert [run(store, worker) for _ in range(3)] == ["s0", "s1", "s2"]

    def test_a_retry_behind_an_open_gate_counts_nowhere(self, store: Store, worker: int) -> None:
        chord(store, 1)
        run(store, worker)
        assert verdicts(store.retry(Filter(ids=("m0",)))) == {"m0": "retried"}
        assert tally(store) == (0, 0)
        assert set(names(reserve(store, worker))) == {"m0", "body"}
        for one in everything(store, Filter(states=("running",))):
            assert one.id in {"m0", "body"}
        assert tally(store) == (0, 0)

    def test_a_retry_that_fails_again_fails_again_what_is_held(self, store: Store, worker: int) -> None:
        chain(store, 3)
        run(store, worker, Kind.FAILED)
        store.retry(Filter(ids=("s0",)))
        run(store, worker, Kind.FAILED, error=DIED)
        assert [view(store, f"s{i}").error for i in range(3)] == [DIED] * 3

    def test_what_was_released_or_deleted_stays_so(self, store: Store, worker: int) -> None:
        store.enqueue(
            [member("m0", "g"), job(id="body", after="g"), job(id="errback", after="g", flags=ON_FAILURE)],
            [Gate("g", 1)],
        )
        run(store, worker, Kind.FAILED)
        assert run(store, worker) == "errback"
        store.retry(Filter(ids=("m0",)))
        assert state(store, "errback") == State.SUCCEEDED
        assert [run(store, worker) for _ in range(2)] == ["m0", "body"]

    def test_a_held_job_that_was_cancelled_is_held_again(self, store: Store, worker: int) -> None:
        chord(store, 1)
        store.cancel(Filter(ids=("body",)))
        assert verdicts(store.retry(Filter(ids=("body",)))) == {"body": "retried"}
        assert view(store, "body").held
        assert [run(store, worker) for _ in range(2)] == ["m0", "body"]

    def test_one_that_was_cancelled_while_held_may_run_once_the_gate_is_open(self, store: Store, worker: int) -> None:
        chord(store, 1)
        store.cancel(Filter(ids=("body",)))
        run(store, worker)
        assert verdicts(store.retry(Filter(ids=("body",)))) == {"body": "retried"}
        assert run(store, worker) == "body"

    # -- members, and how long they are kept ------------------------------------------------------

    def test_members_come_in_the_order_of_their_indexes(self, store: Store, worker: int) -> None:
        store.enqueue([member(f"m{i}", "g", i) for i in (2, 0, 1)], [Gate("g", 3)])
        for lease in reserve(store, worker):
            end(store, worker, lease, result=b'"%s"' % lease.id.encode())
        assert [(one.id, one.state, one.result) for one in store.members("g")] == [
            (f"m{i}", State.SUCCEEDED, b'"m%d"' % i) for i in range(3)
        ]
        assert store.members("nowhere") == []

    def test_the_members_of_a_large_gate_come_in_order_too(self, store: Store) -> None:
        chord(store, size=2_100)
        assert names(store.members("g")) == [f"m{i}" for i in range(2_100)]

    def test_members_are_kept_while_a_follower_needs_them(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        chord(store, 2)
        later = T0 + 1000 * SECOND

        def clear() -> int:
            return store.forget(["m0", "m1"]) + store.prune(later, later, 100)

        run(store, worker)
        assert clear() == 0, "a member went while its gate counts"
        run(store, worker)
        assert clear() == 0, "a member went before its follower began"
        lease = take(store, worker)
        assert clear() == 0, "a member went while its follower runs"
        assert names(store.members("g")) == ["m0", "m1"]
        end(store, worker, lease)
        clock.advance(1)
        assert store.prune(later, later, 100) == 3
        assert store.gates(["g"]) == [None], "a gate stayed though it has no jobs"

    def test_a_gate_goes_with_the_last_of_its_jobs(self, store: Store, worker: int) -> None:
        store.enqueue([member("m0", "g", 0), member("m1", "g", 1)], [Gate("g", 2)])
        run(store, worker)
        assert store.forget(["m0"]) == 1
        assert tally(store) == (1, 0)
        run(store, worker)
        assert tally(store) == (0, 0)
        assert store.forget(["m1"]) == 1
        assert store.gates(["g"]) == [None]

    @pytest.mark.parametrize("order", [["body", "errback"], ["errback", "body"]])
    def test_a_gate_whose_only_member_is_not_wanted_goes_with_what_was_to_follow(
        self, store: Store, worker: int, order: list[str]
    ) -> None:
        jobs = {
            "body": job(id="body", after="g"),
            "errback": member("errback", "g", after="empty", flags=ON_FAILURE),
        }
        answers = store.enqueue([jobs[id] for id in order], [Gate("g", 1), Gate("empty", 0)])
        assert [one.stored for one in answers] == [True, True]
        assert everything(store) == []
        assert store.gates(["g", "empty"]) == [None, None]

    # -- going on as another -----------------------------------------------------------------------

    @pytest.mark.parametrize("before", [0, AT_MOST_ONCE])
    @pytest.mark.parametrize("after", [0, AT_MOST_ONCE])
    def test_whether_it_may_run_again_is_said_by_what_it_goes_on_as(
        self, store: Store, worker: int, before: int, after: int
    ) -> None:
        put(store, id="m", flags=before)
        end(store, worker, take(store, worker), Kind.REPLACED, then=Then((job(id="m", task="u", flags=after),)))
        take(store, worker)
        [lost] = store.abandon(worker, 0, ["m"], DIED, 3)
        assert lost.state == (State.UNCERTAIN if after else State.WAITING)

    # -- all or nothing --------------------------------------------------------------------------

    def test_another_store_of_the_place_sees_it_whole(
        self, store: Store, worker: int, clock: ManualClock, place: Path
    ) -> None:
        self.need("shared")
        chord(store, 2)
        run(store, worker)
        again = self.make_store(clock, place)
        assert tally(again) == (1, 0)
        lease = take(again, worker)
        assert names(again.exchange(worker, 0, [Outcome(lease, Kind.SUCCEEDED, T0, T0)], 1, ["default"]).leases) == [
            "body"
        ]
        again.close()
        assert tally(store) == (0, 0)
