"""``exchange`` as far as it settles; progress, effects, history, statistics."""

from __future__ import annotations

from bisect import bisect_left

import pytest

from duly.job import Filter, Flag, Kind, State
from duly.messages import BUCKETS
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    BOOM,
    LEASE,
    SECOND,
    T0,
    Base,
    ended,
    history,
    put,
    register,
    reserve,
    settle,
    state,
    take,
    verdicts,
    view,
)

FINAL = {
    Kind.SUCCEEDED: State.SUCCEEDED,
    Kind.FAILED: State.FAILED,
    Kind.CANCELLED: State.CANCELLED,
    Kind.UNCERTAIN: State.UNCERTAIN,
}


class Settling(Base):
    """What each outcome does, and what is kept of it."""

    @pytest.mark.parametrize("kind", list(FINAL))
    def test_a_final_outcome_is_kept_whole(self, store: Store, worker: int, clock: ManualClock, kind: Kind) -> None:
        id = put(store)
        lease = take(store, worker, slot=3)
        clock.advance(3)
        result = b"[1,2]" if kind == Kind.SUCCEEDED else None
        error = None if kind == Kind.SUCCEEDED else BOOM
        times = {"started": T0 + SECOND, "finished": T0 + 2 * SECOND}
        assert settle(
            store, worker, lease, kind, result=result, error=error, progress=b'{"done":1}', log=b"said", **times
        )
        seen = view(store, id)
        assert (seen.state, seen.attempt) == (FINAL[kind], 1)
        assert (seen.result, seen.error, seen.progress, seen.log) == (result, error, b'{"done":1}', b"said")
        assert (seen.started, seen.finished) == (T0 + SECOND, T0 + 2 * SECOND)
        assert (seen.worker, seen.slot, seen.cancelling) == ("w1@h", 3, False)
        assert reserve(store, worker) == []
        [answer] = store.results([id])
        assert answer is not None
        assert (answer.state, answer.result, answer.error) == (FINAL[kind], result, error)
        [attempt] = store.attempts(id)
        assert (attempt.attempt, attempt.outcome) == (1, kind.name.lower())
        assert (attempt.worker, attempt.slot) == ("w1@h", 3)
        assert (attempt.started, attempt.finished) == (T0 + SECOND, T0 + 2 * SECOND)
        assert (attempt.error, attempt.log) == (error, b"said")

    def test_retry_waits_for_its_new_due(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + 9 * SECOND, error=BOOM)
        seen = view(store, id)
        assert (seen.state, seen.due, seen.attempt, seen.retries) == (State.WAITING, T0 + 9 * SECOND, 1, 1)
        assert seen.state_name(T0) == "retrying"
        assert store.next_due(["default"]) == T0 + 9 * SECOND
        assert reserve(store, worker) == []
        clock.advance(9)
        again = take(store, worker)
        assert (again.attempt, again.retries, again.lost, again.due) == (2, 1, 0, T0 + 9 * SECOND)

    def test_a_retry_may_have_other_arguments(self, store: Store, worker: int) -> None:
        """Of a job that was asked to cancel meanwhile nothing more is run; a stale lease changes nothing."""
        id, cancelled = put(store, args=b"[[1],{}]"), put(store, args=b"[[1],{}]", queue="other")
        first, other = take(store, worker), take(store, worker, queue="other")
        store.cancel(Filter(ids=(cancelled,)))
        assert settle(store, worker, first, Kind.RETRY, due=T0, args=b'[[2],{"a":3}]')
        assert settle(store, worker, other, Kind.RETRY, due=T0, args=b"[[2],{}]")
        assert not settle(store, worker, first, Kind.RETRY, due=T0, args=b"[[9],{}]")
        again = take(store, worker)
        assert (again.id, again.args, again.attempt, again.retries) == (id, b'[[2],{"a":3}]', 2, 1)
        assert settle(store, worker, again, Kind.RETRY, due=T0)
        assert take(store, worker).args == b'[[2],{"a":3}]'
        assert view(store, cancelled).state == State.CANCELLED

    def test_released_is_as_if_never_reserved(self, store: Store, worker: int) -> None:
        id = put(store)
        before = view(store, id)
        assert settle(store, worker, take(store, worker), Kind.RELEASED)
        after = view(store, id)
        for field in ("state", "due", "attempt", "retries", "lost", "started", "finished", "error", "cancelling"):
            assert getattr(after, field) == getattr(before, field), field
        assert after.state_name(T0) == "queued"
        assert history(store, id) == []
        assert store.rollups(0, 2**60) == []
        assert take(store, worker).attempt == 1

    def test_a_released_retry_keeps_what_came_before(self, store: Store, worker: int) -> None:
        id = put(store)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0, error=BOOM, log=b"first")
        assert settle(store, worker, take(store, worker), Kind.RELEASED)
        seen = view(store, id)
        assert (seen.attempt, seen.retries, seen.state_name(T0)) == (1, 1, "retrying")
        [attempt] = store.attempts(id)
        assert (attempt.outcome, attempt.error, attempt.log) == ("retry", BOOM, b"first")
        assert take(store, worker).attempt == 2

    def test_a_released_job_keeps_its_place(self, store: Store, worker: int) -> None:
        ids = [put(store) for _ in range(3)]
        assert settle(store, worker, take(store, worker), Kind.RELEASED)
        assert [lease.id for lease in reserve(store, worker)] == ids

    @pytest.mark.parametrize("kind", [Kind.RETRY, Kind.RELEASED])
    def test_a_job_asked_to_cancel_is_not_given_back(self, store: Store, worker: int, kind: Kind) -> None:
        id = put(store, key="k")
        lease = take(store, worker)
        assert verdicts(store.cancel(Filter(ids=(id,)))) == {id: "signalled"}
        assert settle(store, worker, lease, kind, due=T0)
        assert state(store, id) == State.CANCELLED
        assert view(store, id).finished == T0
        assert reserve(store, worker) == []
        put(store, key="k", on_conflict="error")

    @pytest.mark.parametrize("kind", list(FINAL))
    def test_a_job_asked_to_cancel_that_ends_otherwise_has_ended_so(
        self, store: Store, worker: int, kind: Kind
    ) -> None:
        id = put(store)
        lease = take(store, worker)
        store.cancel(Filter(ids=(id,)))
        assert settle(store, worker, lease, kind)
        assert state(store, id) == FINAL[kind]
        assert view(store, id).cancelling is False

    def test_results_of_many_kinds_in_one_call(self, store: Store, worker: int) -> None:
        kinds = [*FINAL, Kind.RETRY, Kind.RELEASED]
        ids = [put(store) for _ in kinds]
        outcomes = [
            ended(store, lease, kind, due=T0 + SECOND)
            for lease, kind in zip(reserve(store, worker), kinds, strict=True)
        ]
        assert store.exchange(worker, 0, outcomes, 0, ()).refused == []
        assert [state(store, id) for id in ids] == [*FINAL.values(), State.WAITING, State.WAITING]

    def test_ignore_result_keeps_no_return_value(self, store: Store, worker: int) -> None:
        id = put(store, flags=int(Flag.IGNORE_RESULT))
        assert settle(store, worker, take(store, worker), result=None)
        assert view(store, id).result is None
        assert state(store, id) == State.SUCCEEDED

    # -- progress --------------------------------------------------------------------------------

    def test_progress_can_be_read_while_the_job_runs(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        for step in (b'{"done":1}', b'{"done":2}'):
            assert store.save_progress(lease, step) is True
            assert view(store, id).progress == step
            [answer] = store.results([id])
            assert answer is not None
            assert answer.progress == step
        assert settle(store, worker, lease)
        assert view(store, id).progress == b'{"done":2}'

    # -- the log of a running attempt ------------------------------------------------------------

    def test_the_log_can_be_read_while_the_job_runs(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        for text in (b"one", b"one\ntwo\xff"):
            assert store.save_log(lease, text) is True
            assert view(store, id).log == text
            assert [(one.outcome, one.log) for one in store.attempts(id)] == [("running", text)]
        assert settle(store, worker, lease, log=b"all of it")
        assert view(store, id).log == b"all of it"

    @pytest.mark.parametrize("kind", [Kind.RETRY, Kind.POSTPONED, Kind.RELEASED])
    def test_a_log_belongs_to_one_attempt(self, store: Store, worker: int, kind: Kind) -> None:
        id = put(store)
        lease = take(store, worker)
        assert store.save_log(lease, b"so far") is True
        assert settle(store, worker, lease, kind, due=T0, log=b"the first")
        assert store.save_log(lease, b"late") is False
        assert view(store, id).log is None
        again = take(store, worker)
        assert view(store, id).log is None
        assert settle(store, worker, again)
        first = [] if kind == Kind.RELEASED else [b"the first"]
        assert [one.log for one in store.attempts(id)] == [*first, None]

    @pytest.mark.parametrize("max_lost", [5, 1])
    def test_what_a_lost_attempt_had_logged_is_in_its_history(self, store: Store, worker: int, max_lost: int) -> None:
        id = put(store)
        lease = take(store, worker)
        assert store.save_log(lease, b"last words") is True
        store.abandon(worker, 0, [id], BOOM, max_lost)
        assert store.save_log(lease, b"late") is False
        assert [one.log for one in store.attempts(id)] == [b"last words"]
        if max_lost > 1:
            take(store, worker)
            assert [one.log for one in store.attempts(id)] == [b"last words", None]

    # -- effects ---------------------------------------------------------------------------------

    def test_the_first_value_of_an_effect_stays(self, store: Store, worker: int) -> None:
        put(store)
        lease = take(store, worker)
        assert store.load_effect(lease, "pay") is None
        store.save_effect(lease, "pay", b"1")
        store.save_effect(lease, "pay", b"2")
        store.save_effect(lease, "mail", b"3")
        assert (store.load_effect(lease, "pay"), store.load_effect(lease, "mail")) == (b"1", b"3")

    def test_effects_belong_to_their_job(self, store: Store, worker: int) -> None:
        put(store)
        put(store)
        first, second = reserve(store, worker)
        store.save_effect(first, "pay", b"1")
        assert store.load_effect(second, "pay") is None

    def test_effects_survive_retry_release_and_rescue(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        lease = take(store, worker)
        store.save_effect(lease, "pay", b"1")
        assert settle(store, worker, lease, Kind.RETRY, due=T0)
        lease = take(store, worker)
        assert store.load_effect(lease, "pay") == b"1"
        assert settle(store, worker, lease, Kind.RELEASED)
        take(store, worker)
        clock.advance(LEASE / 1e6 + 1)
        store.rescue(3)
        lease = take(store, register(store))
        assert (lease.id, store.load_effect(lease, "pay")) == (id, b"1")
        store.save_effect(lease, "pay", b"2")
        assert store.load_effect(lease, "pay") == b"1"

    def test_effects_survive_a_retry_by_a_person(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        store.save_effect(lease, "pay", b"1")
        assert settle(store, worker, lease, Kind.FAILED, error=BOOM)
        store.retry(Filter(ids=(id,)))
        assert store.load_effect(take(store, worker), "pay") == b"1"

    def test_effects_go_when_the_job_is_forgotten(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        store.save_effect(lease, "pay", b"1")
        assert settle(store, worker, lease)
        assert store.forget([id]) == 1
        put(store, id=id)
        assert store.load_effect(take(store, worker), "pay") is None

    # -- history ---------------------------------------------------------------------------------

    def test_history_has_every_attempt_oldest_first(
        self, store: Store, worker: int, other: int, clock: ManualClock
    ) -> None:
        id = put(store)
        assert history(store, id) == []
        lease = take(store, worker, slot=1)
        [running] = store.attempts(id)
        assert (running.outcome, running.worker, running.slot, running.finished) == ("running", "w1@h", 1, None)
        assert settle(store, worker, lease, Kind.RETRY, due=T0, error=BOOM, log=b"one")
        lease = take(store, other, slot=2)
        assert history(store, id) == ["retry", "running"]
        store.abandon(other, 2, [id], BOOM, 3)
        lease = take(store, worker)
        assert settle(store, worker, lease, Kind.FAILED, error=BOOM, log=b"three")
        store.retry(Filter(ids=(id,)))
        assert history(store, id) == ["retry", "lost", "failed"]
        lease = take(store, other)
        assert settle(store, other, lease, result=b"1", log=b"four")
        attempts = store.attempts(id)
        assert [a.outcome for a in attempts] == ["retry", "lost", "failed", "succeeded"]
        assert [a.attempt for a in attempts] == [1, 2, 3, 4]
        assert [a.worker for a in attempts] == ["w1@h", "w2@h", "w1@h", "w2@h"]
        assert [a.log for a in attempts] == [b"one", None, b"three", b"four"]
        assert [a.error for a in attempts] == [BOOM, BOOM, BOOM, None]

    def test_history_says_lost_after_a_rescue(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        take(store, worker)
        store.rescue(3, [worker])
        assert history(store, id) == ["lost"]
        [attempt] = store.attempts(id)
        assert (attempt.worker, attempt.finished) == ("w1@h", T0)

    def test_an_unknown_job_has_no_history(self, store: Store) -> None:
        assert store.attempts("no such job") == []

    # -- statistics ------------------------------------------------------------------------------

    def test_statistics_come_with_the_settle(self, store: Store, worker: int, clock: ManualClock) -> None:
        late, runtime = 1_234, 56_789
        put(store, task="a", queue="q", due=T0 + SECOND)
        clock.set(T0 + 2 * SECOND)
        lease = take(store, worker, queue="q")
        start = T0 + SECOND + late
        assert settle(store, worker, lease, started=start, finished=start + runtime)
        found = {(r.queue, r.task, r.outcome, r.measure): r for r in store.rollups(T0, T0 + 60 * SECOND)}
        assert set(found) == {("q", "a", "succeeded", "lateness"), ("q", "a", "succeeded", "runtime")}
        for measure, value in (("lateness", late), ("runtime", runtime)):
            rollup = found[("q", "a", "succeeded", measure)]
            assert (rollup.n, rollup.total, rollup.bucket) == (1, value, bisect_left(BUCKETS, value))
            assert rollup.minute == T0 // (60 * SECOND)

    def test_statistics_add_up(self, store: Store, worker: int, clock: ManualClock) -> None:
        runtimes = [0, 1, BUCKETS[0], BUCKETS[0] + 1, BUCKETS[5], BUCKETS[5] + 1, BUCKETS[-1], BUCKETS[-1] + 1]
        start = T0
        for _ in range(2):
            for i, runtime in enumerate(runtimes):
                put(store, task=f"t{i % 2}", due=T0)
                lease = take(store, worker)
                end = start + runtime
                assert settle(store, worker, lease, started=start, finished=end)
        rows = [r for r in store.rollups(0, 2**60) if r.measure == "runtime"]
        assert sum(r.n for r in rows) == 2 * len(runtimes)
        assert sum(r.total for r in rows) == 2 * sum(runtimes)
        by_bucket: dict[int, int] = {}
        for row in rows:
            by_bucket[row.bucket] = by_bucket.get(row.bucket, 0) + row.n
        wanted: dict[int, int] = {}
        for runtime in runtimes:
            bucket = bisect_left(BUCKETS, runtime)
            wanted[bucket] = wanted.get(bucket, 0) + 2
        assert by_bucket == wanted
        assert max(by_bucket) == len(BUCKETS)

    @pytest.mark.parametrize("kind", [*FINAL, Kind.RETRY])
    def test_statistics_tell_outcomes_apart(self, store: Store, worker: int, kind: Kind) -> None:
        put(store)
        assert settle(store, worker, take(store, worker), kind, due=T0 + SECOND)
        assert {r.outcome for r in store.rollups(0, 2**60)} == {kind.name.lower()}

    def test_statistics_are_read_by_the_minute(self, store: Store, worker: int, clock: ManualClock) -> None:
        for _ in range(3):
            put(store, due=clock.now())
            assert settle(store, worker, take(store, worker))
            clock.advance(60)
        minute = T0 // (60 * SECOND)
        rows = store.rollups(T0 + 60 * SECOND, T0 + 120 * SECOND)
        assert {r.minute for r in rows} == {minute + 1}
        assert {r.minute for r in store.rollups(0, 2**60)} == {minute, minute + 1, minute + 2}
        assert store.rollups(T0 + 180 * SECOND, 2**60) == []

    def test_a_start_before_its_due_by_a_clock_set_back_does_not_break_the_statistics(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        put(store)
        lease = take(store, worker)
        clock.set(T0 - 5 * SECOND)
        assert settle(store, worker, lease, started=T0 - 5 * SECOND, finished=T0 - 6 * SECOND)
        assert all(r.total >= 0 for r in store.rollups(0, 2**60))
