"""Ends of which somebody elsewhere is to hear: ``unanswered`` and ``answered``."""

from __future__ import annotations

import msgspec
import pytest

from duly.job import Filter, Flag, Gate, Job, Kind, State, Then
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    BOOM,
    DIED,
    T0,
    Base,
    finish,
    job,
    put,
    register,
    reserve,
    settle,
    take,
    view,
)

ASKED = int(Flag.ANSWER)


class Answering(Base):
    """However a job ends, its end is told until somebody says that it was."""

    def test_nothing_is_to_be_told_of_jobs_that_nobody_asked_about(self, store: Store, worker: int) -> None:
        finish(store, worker)
        put(store, flags=ASKED)
        assert store.unanswered(10) == []

    @pytest.mark.parametrize("kind", [Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED, Kind.UNCERTAIN])
    def test_an_end_is_told_until_it_was(self, store: Store, worker: int, kind: Kind) -> None:
        id = finish(store, worker, kind, flags=ASKED)
        for _ in range(2):
            assert store.unanswered(10) == [view(store, id)]
        store.answered(store.unanswered(10))
        assert store.unanswered(10) == []
        store.answered([view(store, id)])
        assert store.unanswered(10) == []

    def test_those_that_ended_first_come_first(self, store: Store, worker: int, clock: ManualClock) -> None:
        ids = []
        for _ in range(5):
            clock.advance(1)
            ids.append(finish(store, worker, flags=ASKED))
        assert [one.id for one in store.unanswered(3)] == ids[:3]
        store.answered(store.unanswered(2))
        assert [one.id for one in store.unanswered(9)] == ids[2:]

    def test_every_way_to_end_counts(self, store: Store, worker: int, clock: ManualClock) -> None:
        cancelled, expired, lost = (put(store, flags=ASKED, queue=name, expires=T0 + 10) for name in "abc")
        store.cancel(Filter(ids=(cancelled,)))
        take(store, worker, queue="c")
        clock.advance(1)
        assert reserve(store, worker, queues=("b",)) == []
        store.abandon(worker, 0, [lost], DIED, 1)
        assert {one.id: one.state for one in store.unanswered(10)} == {
            cancelled: State.CANCELLED,
            expired: State.CANCELLED,
            lost: State.FAILED,
        }

    def test_no_end_is_none(self, store: Store, worker: int, other: int) -> None:
        for kind in (Kind.RETRY, Kind.RELEASED, Kind.POSTPONED):
            put(store, flags=ASKED, queue=kind.name)
            assert settle(store, worker, take(store, worker, queue=kind.name), kind, due=T0 + 5)
        put(store, flags=ASKED)
        take(store, other)
        store.rescue(3, [other])
        assert store.unanswered(10) == []

    def test_a_retry_by_hand_makes_an_end_to_be_told_anew(self, store: Store, worker: int) -> None:
        id = finish(store, worker, Kind.FAILED, flags=ASKED)
        stale = store.unanswered(10)
        store.answered(stale)
        store.retry(Filter(ids=(id,)))
        store.answered(stale)
        assert store.unanswered(10) == []
        queue = view(store, id).queue
        assert settle(store, worker, take(store, worker, queue=queue), finished=T0 + 1)
        store.answered(stale)
        assert [(one.id, one.state) for one in store.unanswered(10)] == [(id, State.SUCCEEDED)]

    def test_a_retry_before_it_was_told_leaves_nothing_to_tell(self, store: Store, worker: int) -> None:
        id = finish(store, worker, Kind.FAILED, flags=ASKED)
        store.retry(Filter(ids=(id,)))
        assert store.unanswered(10) == []

    def test_what_fails_at_a_gate_is_told_again_when_it_was_held_again(self, store: Store, worker: int) -> None:
        first = job(gates=(("g", 0),))
        held = job(after="g", flags=ASKED)
        store.enqueue([first, held], [Gate("g", 1)])
        assert settle(store, worker, take(store, worker), Kind.FAILED, error=BOOM)
        assert [one.id for one in store.unanswered(10)] == [held.id]
        store.answered(store.unanswered(10))
        store.retry(Filter(ids=(first.id,)))
        assert store.unanswered(10) == []
        assert settle(store, worker, take(store, worker), Kind.FAILED, error=BOOM)
        assert [one.id for one in store.unanswered(10)] == [held.id]

    def test_a_job_that_goes_on_as_another_is_told_of_if_that_asks(self, store: Store, worker: int) -> None:
        for flags in (ASKED, 0):
            id = put(store, flags=ASKED, queue=f"q{flags}")
            lease = take(store, worker, queue=f"q{flags}")
            other = Job(id=id, task="u", due=T0, flags=flags, queue=f"q{flags}")
            assert settle(store, worker, lease, Kind.REPLACED, then=Then((other,)))
            assert store.unanswered(10) == []
            assert settle(store, worker, take(store, worker, queue=f"q{flags}"))
            assert [one.id for one in store.unanswered(10)] == [id] * bool(flags)
            store.answered(store.unanswered(10))

    def test_what_is_forgotten_is_told_no_more(self, store: Store, worker: int) -> None:
        ids = [finish(store, worker, flags=ASKED) for _ in range(3)]
        store.forget(ids[:1])
        assert {one.id for one in store.unanswered(10)} == set(ids[1:])
        store.prune(T0 + 1, T0 + 1, 10)
        assert store.unanswered(10) == []

    def test_keys_and_gates_beside_it_do_their_part(self, store: Store, worker: int) -> None:
        one = job(flags=ASKED, gates=(("g", 0),))
        store.enqueue([one, job(after="g", queue="next")], [Gate("g", 1)])
        keyed = put(store, flags=ASKED, key="k", queue="keyed")
        for queue in ("default", "keyed"):
            assert settle(store, worker, take(store, worker, queue=queue))
        assert {each.id for each in store.unanswered(10)} == {one.id, keyed}
        assert take(store, worker, queue="next")
        assert put(store, key="k")

    def test_an_answer_is_the_job_as_it_is_shown(self, store: Store) -> None:
        worker = register(store, "w9")
        id = put(store, flags=ASKED, options=b"{}", headers=b"{}", args=b"[[1],{}]")
        assert settle(store, worker, take(store, worker), result=b"7", started=T0, finished=T0 + 4)
        [told] = store.unanswered(1)
        assert msgspec.structs.asdict(told) == msgspec.structs.asdict(view(store, id))
        assert (told.worker, told.result, told.finished) == ("w9@h", b"7", T0 + 4)
