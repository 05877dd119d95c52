"""``enqueue``: order, idempotent ids, unique keys, all or nothing."""

from __future__ import annotations

import pytest

from duly.errors import DuplicateKey
from duly.job import Enqueued, Filter, Flag, Job, Kind, OnConflict, State
from duly.store.contract import Store
from duly.testing.conformance.base import (
    SECOND,
    T0,
    Base,
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

conflicts = pytest.mark.parametrize("on_conflict", ["skip", "replace", "error"])


class Producing(Base):
    """What a producer hears is what is stored."""

    def test_every_field_of_a_job_is_kept(self, store: Store, worker: int) -> None:
        made = Job(
            id="any text at all, even ünïcode ' \" %",
            task="mod.task",
            due=T0 - 5,
            args=b'[[1,"\xc3\xbc"],{"k":null}]',
            queue="q ' 1",
            priority=7,
            expires=T0 + 99,
            key="k ' 1",
            headers=b'{"h":1}',
            options=b'{"time_limit":3.5}',
            flags=int(Flag.AT_MOST_ONCE | Flag.IGNORE_RESULT),
        )
        assert store.enqueue([made]) == [Enqueued(id=made.id, stored=True)]
        seen = view(store, made.id)
        for field in (
            "id", "task", "due", "args", "queue", "priority", "expires", "key", "headers", "options", "flags",
        ):  # fmt: skip
            assert getattr(seen, field) == getattr(made, field), field
        assert (seen.state, seen.attempt, seen.retries, seen.lost) == (State.WAITING, 0, 0, 0)
        assert seen.created == store.now()
        assert (seen.started, seen.finished, seen.worker, seen.result, seen.error) == (None,) * 5
        lease = take(store, worker, queue=made.queue)
        for field in ("id", "task", "due", "args", "queue", "priority", "expires", "headers", "options", "flags"):
            assert getattr(lease, field) == getattr(made, field), field
        assert (lease.attempt, lease.retries, lease.lost) == (1, 0, 0)

    def test_unknown_flags_and_options_of_a_newer_release_are_carried_along(self, store: Store, worker: int) -> None:
        id = put(store, flags=1 << 20 | 4, options=b'{"not_yet_invented":[1]}')
        lease = take(store, worker)
        assert (lease.flags, lease.options) == (1 << 20 | 4, b'{"not_yet_invented":[1]}')
        assert settle(store, worker, lease, Kind.RETRY, due=T0)
        assert view(store, id).flags == 1 << 20 | 4

    def test_nothing_to_enqueue_is_nothing(self, store: Store) -> None:
        assert store.enqueue([]) == []

    def test_answers_come_in_the_order_of_the_jobs(self, store: Store) -> None:
        known = put(store)
        batch = [job(), job(id=known), job(), job(id=known)]
        assert [(e.id, e.stored) for e in store.enqueue(batch)] == [
            (batch[0].id, True), (known, False), (batch[2].id, True), (known, False),
        ]  # fmt: skip

    def test_a_large_batch_is_stored_whole(self, store: Store) -> None:
        batch = [job(due=T0 + SECOND) for _ in range(5000)]
        assert [e.id for e in store.enqueue(batch)] == [one.id for one in batch]
        assert len(everything(store, limit=1000)) == 5000

    @conflicts
    def test_an_id_already_there_is_not_stored_again(
        self, store: Store, worker: int, on_conflict: OnConflict
    ) -> None:
        made = job(key="k", on_conflict=on_conflict)
        assert store.enqueue([made])[0].stored
        before = snapshot(store)
        assert store.enqueue([made]) == [Enqueued(id=made.id, stored=False)]
        assert snapshot(store) == before
        lease = take(store, worker)
        before = snapshot(store)
        assert store.enqueue([made]) == [Enqueued(id=made.id, stored=False)]
        assert snapshot(store) == before
        assert settle(store, worker, lease)
        before = snapshot(store)
        assert store.enqueue([made]) == [Enqueued(id=made.id, stored=False)]
        assert snapshot(store) == before

    @conflicts
    def test_a_known_id_is_recognised_before_its_key_is_looked_at(
        self, store: Store, worker: int, on_conflict: OnConflict
    ) -> None:
        """A repeated enqueue after its first one finished, when the key went on to another job."""
        first = job(key="k", on_conflict=on_conflict)
        store.enqueue([first])
        assert settle(store, worker, take(store, worker))
        second = put(store, key="k")
        before = snapshot(store)
        assert store.enqueue([first]) == [Enqueued(id=first.id, stored=False)]
        assert snapshot(store) == before
        assert state(store, second) == State.WAITING

    @conflicts
    def test_an_id_twice_in_one_batch_is_one_job(self, store: Store, on_conflict: OnConflict) -> None:
        made = job(key="k", on_conflict=on_conflict)
        assert [e.stored for e in store.enqueue([made, made])] == [True, False]
        assert [(v.id, v.state) for v in everything(store)] == [(made.id, State.WAITING)]

    # -- keys ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("running", [False, True], ids=["waiting", "running"])
    def test_skip_leaves_the_holder_of_the_key(self, store: Store, worker: int, running: bool) -> None:
        holder = put(store, key="k")
        if running:
            take(store, worker)
        before = snapshot(store)
        assert store.enqueue([job(key="k")]) == [Enqueued(id=holder, stored=False)]
        assert snapshot(store) == before

    @pytest.mark.parametrize("running", [False, True], ids=["waiting", "running"])
    def test_error_names_the_holder_and_stores_none_of_the_batch(
        self, store: Store, worker: int, running: bool
    ) -> None:
        holder = put(store, key="k")
        if running:
            take(store, worker)
        before = snapshot(store)
        batch = [job(), job(key="free"), job(key="k", on_conflict="error"), job()]
        with pytest.raises(DuplicateKey) as caught:
            store.enqueue(batch)
        assert (caught.value.key, caught.value.holder) == ("k", holder)
        assert snapshot(store) == before

    def test_error_undoes_a_replace_earlier_in_the_batch(self, store: Store) -> None:
        held = [put(store, key="a"), put(store, key="b")]
        before = snapshot(store)
        with pytest.raises(DuplicateKey):
            store.enqueue([job(key="a", on_conflict="replace"), job(key="b", on_conflict="error")])
        assert snapshot(store) == before
        assert [state(store, id) for id in held] == [State.WAITING] * 2

    def test_the_store_goes_on_after_a_duplicate_key(self, store: Store, worker: int) -> None:
        put(store, key="k")
        with pytest.raises(DuplicateKey):
            store.enqueue([job(key="k", on_conflict="error")])
        put(store, due=T0 - 1)
        assert len(reserve(store, worker)) == 2

    def test_error_within_one_batch(self, store: Store) -> None:
        first = job(key="k")
        with pytest.raises(DuplicateKey) as caught:
            store.enqueue([first, job(key="k", on_conflict="error")])
        assert caught.value.holder == first.id
        assert everything(store) == []

    def test_replace_puts_the_new_job_in_a_waiting_holders_place(self, store: Store, worker: int) -> None:
        holder = put(store, key="k", due=T0 + 60 * SECOND)
        other = put(store, key="k", on_conflict="replace")
        assert [lease.id for lease in reserve(store, worker)] == [other]
        replaced = view(store, holder)
        assert replaced.state == State.CANCELLED
        assert replaced.finished == T0
        assert store.enqueue([job(key="k")]) == [Enqueued(id=other, stored=False)]

    def test_replace_lets_a_running_holder_go_on_without_the_key(self, store: Store, worker: int) -> None:
        holder = put(store, key="k")
        lease = take(store, worker)
        second = put(store, key="k", on_conflict="replace")
        assert (state(store, holder), state(store, second)) == (State.RUNNING, State.WAITING)
        assert store.enqueue([job(key="k")])[0].id == second
        assert store.renew(worker, SECOND).cancels == []
        assert settle(store, worker, lease, result=b"1")
        assert (state(store, holder), state(store, second)) == (State.SUCCEEDED, State.WAITING)
        assert store.enqueue([job(key="k")])[0].id == second

    @pytest.mark.parametrize("kind", [Kind.RETRY, Kind.RELEASED])
    def test_a_holder_that_handed_over_its_key_does_not_take_it_back(
        self, store: Store, worker: int, kind: Kind
    ) -> None:
        first = put(store, key="k")
        lease = take(store, worker)
        second = put(store, key="k", on_conflict="replace", due=T0 + SECOND)
        assert settle(store, worker, lease, kind, due=T0)
        assert state(store, first) == State.WAITING
        assert store.enqueue([job(key="k")])[0].id == second
        third = put(store, key="k", on_conflict="replace", due=T0 + SECOND)
        assert [state(store, id) for id in (first, second, third)] == [
            State.WAITING, State.CANCELLED, State.WAITING,
        ]  # fmt: skip
        assert [lease.id for lease in reserve(store, worker)] == [first]

    def test_a_holder_that_handed_over_its_key_is_rescued_without_it(self, store: Store, worker: int) -> None:
        first = put(store, key="k")
        take(store, worker)
        second = put(store, key="k", on_conflict="replace", due=T0 + SECOND)
        assert [one.id for one in store.rescue(3, [worker])] == [first]
        assert store.enqueue([job(key="k")])[0].id == second

    def test_keys_within_one_batch(self, store: Store) -> None:
        a, b, c, d = job(key="k"), job(key="k"), job(key="k", on_conflict="replace"), job(key="k")
        assert [(e.id, e.stored) for e in store.enqueue([a, b, c, d])] == [
            (a.id, True), (a.id, False), (c.id, True), (c.id, False),
        ]  # fmt: skip
        assert {v.id: v.state for v in everything(store)} == {a.id: State.CANCELLED, c.id: State.WAITING}

    @conflicts
    @pytest.mark.parametrize("end", [Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED, Kind.UNCERTAIN])
    def test_a_key_is_free_once_its_job_has_ended(
        self, store: Store, worker: int, end: Kind, on_conflict: OnConflict
    ) -> None:
        put(store, key="k")
        assert settle(store, worker, take(store, worker), end)
        put(store, key="k", on_conflict=on_conflict)

    def test_a_key_is_free_once_its_job_was_cancelled(self, store: Store) -> None:
        first = put(store, key="k")
        store.cancel(Filter(ids=(first,)))
        put(store, key="k", on_conflict="error")

    def test_a_key_is_free_once_its_job_has_expired(self, store: Store, worker: int) -> None:
        put(store, key="k", expires=T0)
        assert reserve(store, worker) == []
        put(store, key="k", on_conflict="error")

    def test_a_job_to_be_run_again_keeps_its_key(self, store: Store, worker: int) -> None:
        holder = put(store, key="k")
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + SECOND)
        assert store.enqueue([job(key="k")]) == [Enqueued(id=holder, stored=False)]

    def test_replacing_a_job_that_waits_for_its_retry_ends_it(self, store: Store, worker: int) -> None:
        holder = put(store, key="k")
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + SECOND)
        put(store, key="k", on_conflict="replace")
        assert state(store, holder) == State.CANCELLED
        assert history(store, holder) == ["retry"]

    def test_keys_are_compared_exactly(self, store: Store) -> None:
        for key in ("k", "K", "k ", "ḱ", "k%", "k_", "", "0"):
            put(store, key=key, on_conflict="error")

    def test_a_replaced_job_can_be_retried_only_when_the_key_is_free(self, store: Store, worker: int) -> None:
        first = put(store, key="k")
        second = put(store, key="k", on_conflict="replace")
        assert verdicts(store.retry(Filter(ids=(first,)))) == {first: "key taken"}
        assert settle(store, worker, take(store, worker))
        assert state(store, second) == State.SUCCEEDED
        assert verdicts(store.retry(Filter(ids=(first,)))) == {first: "retried"}
        assert store.enqueue([job(key="k")]) == [Enqueued(id=first, stored=False)]
