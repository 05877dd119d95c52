"""``cancel``, ``move``, ``retry``, ``forget``, ``prune``: what people do to jobs, in every state."""

from __future__ import annotations

import pytest

from duly.ids import new_id
from duly.job import Change, Filter, Gate, Kind, Limit, State
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    BOOM,
    DIED,
    LEASE,
    SECOND,
    T0,
    Base,
    everything,
    finish,
    history,
    job,
    put,
    register,
    reserve,
    settle,
    snapshot,
    state,
    take,
    verdicts,
    view,
)

ENDS = (Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED, Kind.UNCERTAIN)


def one_of_each(store: Store, worker: int) -> dict[str, str]:
    """A job in every state, by the state's name."""
    ids = {kind.name.lower(): finish(store, worker, kind) for kind in ENDS}
    ids["running"] = put(store, queue="r")
    take(store, worker, queue="r")
    ids["retrying"] = put(store, queue="r")
    assert settle(store, worker, take(store, worker, queue="r"), Kind.RETRY, due=T0 + SECOND)
    ids["queued"] = put(store)
    ids["scheduled"] = put(store, due=T0 + 60 * SECOND)
    ids["held"] = new_id()
    store.enqueue([job(id=ids["held"], after="g")], [Gate("g", 1)])
    return ids


def by_name(ids: dict[str, str], answers: dict[str, str]) -> dict[str, str]:
    names = {id: name for name, id in ids.items()}
    return {names[id]: verdict for id, verdict in answers.items()}


WAITING = ("scheduled", "held", "queued", "retrying")
FINAL = ("succeeded", "failed", "cancelled", "uncertain")


class Managing(Base):
    """Durable answers, with or without a worker."""

    # -- cancel ----------------------------------------------------------------------------------

    def test_cancel_answers_for_every_state(self, store: Store, worker: int) -> None:
        ids = one_of_each(store, worker)
        answers = verdicts(store.cancel(Filter(ids=(*ids.values(), "no such job"))))
        assert answers.pop("no such job") == "unknown"
        assert by_name(ids, dict(answers)) == (
            dict.fromkeys(WAITING, "prevented") | {"running": "signalled"} | dict.fromkeys(FINAL, "too late")
        )
        for name in WAITING:
            seen = view(store, ids[name])
            assert (seen.state, seen.finished, seen.cancelling) == (State.CANCELLED, T0, False)
        assert view(store, ids["running"]).cancelling is True
        assert state(store, ids["succeeded"]) == State.SUCCEEDED

    def test_a_prevented_job_never_runs(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store, due=T0 + SECOND)
        store.cancel(Filter(ids=(id,)))
        assert store.next_due(["default"]) is None
        clock.advance(5)
        assert reserve(store, worker) == []

    def test_cancel_twice(self, store: Store, worker: int) -> None:
        waiting, running = put(store, due=T0 + SECOND), put(store)
        take(store, worker)
        both = Filter(ids=(waiting, running))
        assert verdicts(store.cancel(both)) == {waiting: "prevented", running: "signalled"}
        assert verdicts(store.cancel(both)) == {waiting: "too late", running: "signalled"}

    def test_a_job_that_was_asked_to_cancel_never_comes_back(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        id = put(store)
        take(store, worker)
        store.cancel(Filter(ids=(id,)))
        clock.advance(LEASE / 1e6 + 1)
        store.rescue(3)
        assert state(store, id) == State.CANCELLED
        assert reserve(store, register(store)) == []

    # -- move ------------------------------------------------------------------------------------

    def test_move_answers_for_every_state(self, store: Store, worker: int) -> None:
        ids = one_of_each(store, worker)
        kept = {name: view(store, ids[name]) for name in (*FINAL, "running")}
        answers = verdicts(store.move(Filter(ids=(*ids.values(), "no such job")), Change(due=T0 + 7)))
        assert answers.pop("no such job") == "unknown"
        assert by_name(ids, dict(answers)) == (
            dict.fromkeys(WAITING, "moved") | dict.fromkeys((*FINAL, "running"), "too late")
        )
        assert [view(store, ids[name]).due for name in WAITING] == [T0 + 7] * 4
        assert {name: view(store, ids[name]) for name in kept} == kept

    def test_move_changes_what_is_named_and_leaves_the_rest(self, store: Store, worker: int) -> None:
        id = put(store, args=b"[[1],{}]", priority=1, key="k", expires=T0 + 60 * SECOND)
        for change in (
            Change(due=T0 + SECOND), Change(args=b"[[2],{}]"), Change(queue="other"), Change(priority=9),
            Change(priority=0), Change(),
        ):  # fmt: skip
            before = view(store, id)
            assert verdicts(store.move(Filter(ids=(id,)), change)) == {id: "moved"}
            after = view(store, id)
            for field in ("due", "args", "queue", "priority"):
                new = getattr(change, field)
                assert getattr(after, field) == (getattr(before, field) if new is None else new), field
            assert (after.key, after.expires, after.created) == ("k", T0 + 60 * SECOND, before.created)

    def test_a_moved_job_runs_at_its_new_time_and_place(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        store.move(Filter(ids=(id,)), Change(due=T0 + 5 * SECOND, queue="other", args=b"[[9],{}]"))
        assert reserve(store, worker, 10, ("default", "other")) == []
        assert store.next_due(["default"]) is None
        assert store.next_due(["other"]) == T0 + 5 * SECOND
        clock.advance(5)
        assert reserve(store, worker) == []
        [lease] = reserve(store, worker, 10, ("other",))
        assert (lease.id, lease.args, lease.queue, lease.due) == (id, b"[[9],{}]", "other", T0 + 5 * SECOND)

    def test_moving_changes_the_order(self, store: Store, worker: int) -> None:
        a, b, c = put(store), put(store), put(store)
        store.move(Filter(ids=(c,)), Change(priority=5))
        store.move(Filter(ids=(b,)), Change(due=T0 - 1))
        assert [lease.id for lease in reserve(store, worker)] == [c, b, a]

    # -- retry -----------------------------------------------------------------------------------

    def test_retry_answers_for_every_state(self, store: Store, worker: int) -> None:
        ids = one_of_each(store, worker)
        answers = verdicts(store.retry(Filter(ids=(*ids.values(), "no such job"))))
        assert answers.pop("no such job") == "unknown"
        assert by_name(ids, dict(answers)) == (
            dict.fromkeys(FINAL, "retried") | dict.fromkeys((*WAITING, "running"), "too late")
        )
        assert view(store, ids["scheduled"]).due == T0 + 60 * SECOND

    def test_retry_is_due_now_with_retries_and_losses_forgotten_and_history_kept(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        id = put(store)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0, error=BOOM)
        take(store, worker)
        store.abandon(worker, 0, [id], DIED, 3)
        assert settle(store, worker, take(store, worker), Kind.FAILED, error=BOOM)
        clock.advance(100)
        assert verdicts(store.retry(Filter(ids=(id,)))) == {id: "retried"}
        seen = view(store, id)
        assert (seen.state, seen.due, seen.retries, seen.lost) == (State.WAITING, clock.now(), 0, 0)
        assert (seen.finished, seen.result, seen.error) == (None, None, None)
        assert history(store, id) == ["retry", "lost", "failed"]
        worker = register(store)
        lease = take(store, worker)
        assert (lease.retries, lease.lost, lease.attempt) == (0, 0, 4)
        assert settle(store, worker, lease)
        assert history(store, id) == ["retry", "lost", "failed", "succeeded"]

    def test_a_retried_job_is_no_longer_asked_to_cancel(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        store.cancel(Filter(ids=(id,)), terminate=True)
        assert settle(store, worker, lease, Kind.CANCELLED)
        store.retry(Filter(ids=(id,)))
        lease = take(store, worker)
        assert view(store, id).cancelling is False
        assert store.renew(worker, LEASE).cancels == []
        assert settle(store, worker, lease, Kind.RETRY, due=T0)
        assert state(store, id) == State.WAITING

    def test_an_expired_job_that_is_retried_runs(self, store: Store, worker: int, clock: ManualClock) -> None:
        """A person who says "retry" means it: the old limit does not cancel it again at once."""
        id = put(store, expires=T0)
        assert reserve(store, worker) == []
        clock.advance(1)
        assert verdicts(store.retry(Filter(ids=(id,)))) == {id: "retried"}
        assert [lease.id for lease in reserve(store, worker)] == [id]

    def test_retry_of_two_that_had_the_same_key_brings_back_one(self, store: Store, worker: int) -> None:
        first, second = finish(store, worker, key="k"), finish(store, worker, key="k")
        answers = verdicts(store.retry(Filter(ids=(first, second))))
        assert sorted(answers.values()) == ["key taken", "retried"]
        assert [v.state for v in everything(store)].count(State.WAITING) == 1

    def test_retry_of_a_job_whose_key_is_held_leaves_both(self, store: Store, worker: int) -> None:
        done = finish(store, worker, key="k")
        holder = put(store, key="k")
        before = snapshot(store)
        assert verdicts(store.retry(Filter(ids=(done,)))) == {done: "key taken"}
        assert snapshot(store) == before
        assert state(store, holder) == State.WAITING

    # -- forget and prune ------------------------------------------------------------------------

    def test_forget_deletes_finished_jobs_with_their_history(self, store: Store, worker: int) -> None:
        ids = one_of_each(store, worker)
        assert store.forget([*ids.values(), "no such job", ids["failed"]]) == 4
        left = {v.id for v in everything(store)}
        assert left == {ids[name] for name in (*WAITING, "running")}
        assert store.results([ids["failed"]]) == [None]
        assert history(store, ids["failed"]) == []
        assert store.forget([]) == 0

    def test_prune_by_age_and_outcome(self, store: Store, worker: int, clock: ManualClock) -> None:
        old = one_of_each(store, worker)
        clock.advance(100)
        young = {kind.name.lower(): finish(store, worker, kind) for kind in ENDS}
        assert store.prune(T0, T0, 100) == 0, "what finished at the very instant stays"
        assert store.prune(T0 + 1, T0, 100) == 2
        left = {v.id for v in everything(store)}
        assert {old["succeeded"], old["cancelled"]}.isdisjoint(left)
        assert {old["failed"], old["uncertain"], *(old[n] for n in (*WAITING, "running"))} <= left
        assert store.prune(T0, T0 + 1, 100) == 2
        left = {v.id for v in everything(store)}
        assert left == {*(old[name] for name in (*WAITING, "running")), *young.values()}

    def test_prune_takes_what_was_cancelled_expired_or_lost(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        cancelled, expired, lost = put(store, queue="x"), put(store, expires=T0), put(store, queue="l")
        store.cancel(Filter(ids=(cancelled,)))
        reserve(store, worker)
        take(store, worker, queue="l")
        store.rescue(1, [worker])
        assert [state(store, id) for id in (cancelled, expired, lost)] == [
            State.CANCELLED, State.CANCELLED, State.FAILED,
        ]  # fmt: skip
        assert store.prune(T0 + 1, T0 + 1, 100) == 3
        assert everything(store) == []

    def test_prune_stops_at_its_limit(self, store: Store, worker: int) -> None:
        ids = [finish(store, worker, kind) for kind in (Kind.SUCCEEDED, Kind.FAILED) for _ in range(5)]
        went = []
        while n := store.prune(T0 + 1, T0 + 1, 4):
            went.append(n)
            assert n <= 4
        assert sum(went) == len(ids)
        assert everything(store) == []

    def test_pruned_jobs_leave_nothing_behind(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store, key="k")
        lease = take(store, worker)
        store.save_effect(lease, "pay", b"1")
        assert settle(store, worker, lease, Kind.RETRY, due=T0)
        assert settle(store, worker, take(store, worker))
        assert store.prune(T0 + 1, T0 + 1, 10) == 1
        assert (history(store, id), store.results([id])) == ([], [None])
        put(store, id=id, key="k", on_conflict="error")
        assert store.load_effect(take(store, worker), "pay") is None

    def test_history_outlives_the_record_of_its_worker(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + 10**9 * SECOND)
        store.unregister(worker)
        clock.advance(400 * 24 * 3600)
        store.prune(clock.now(), clock.now(), 100)
        [attempt] = store.attempts(id)
        assert attempt.worker in ("w1@h", None)
        assert view(store, id).worker in ("w1@h", None)

    def test_prune_leaves_a_lapsed_worker_that_holds_jobs(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        id = put(store)
        take(store, worker)
        clock.advance(400 * 24 * 3600)
        store.prune(clock.now(), clock.now(), 100)
        assert [one.id for one in store.rescue(3)] == [id]

    # -- limits ------------------------------------------------------------------------------------

    def test_what_code_declares_takes_the_place_of_what_it_declared(self, store: Store) -> None:
        first, second = (Limit(scope="task", name=name, concurrency=1, declared=True) for name in ("t", "u"))
        by_hand = Limit(scope="task", name="t", rate=10, per=60 * SECOND)
        store.declare_limits(["t", "u"], [first, second])
        assert sorted(limit.name for limit in store.limits()) == ["t", "u"]
        store.declare_limits(["t"], [first])  # of another release, that does not know u
        assert sorted(limit.name for limit in store.limits()) == ["t", "u"]
        store.set_limit(by_hand)
        store.declare_limits(["t", "u"], [])
        assert store.limits() == [by_hand]
        assert store.unset_limit("task", "t")
        assert store.limits() == []

    def test_prune_of_an_empty_store(self, store: Store) -> None:
        assert store.prune(T0, T0, 10) == 0

    @pytest.mark.parametrize("call", ["cancel", "move", "retry"])
    def test_managing_an_empty_store(self, store: Store, call: str) -> None:
        change = (Change(),) if call == "move" else ()
        assert getattr(store, call)(Filter(), *change) == []

    def test_managing_many_at_once(self, store: Store, worker: int) -> None:
        ids = tuple(e.id for e in store.enqueue([job() for _ in range(3000)]))
        assert len(verdicts(store.move(Filter(ids=ids), Change(priority=3)))) == 3000
        assert len(verdicts(store.cancel(Filter(ids=ids)))) == 3000
        assert len(verdicts(store.retry(Filter(ids=ids)))) == 3000
        assert len(reserve(store, worker, 4000)) == 3000
