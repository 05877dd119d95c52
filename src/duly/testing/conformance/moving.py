"""Moving to another store: nothing is lost, nothing is doubled, and whoever is killed in between begins again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from duly.errors import ConfigError, StoreMoved
from duly.job import Advance, Change, Filter, Flag, Gate, JobView, Kind, Limit, Schedule, State
from duly.messages import TimeLimit
from duly.moving import Mover
from duly.store.contract import Store
from duly.store.moving import Movable, moves_of
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    BOOM,
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
    state,
    take,
    verdicts,
    view,
)

PLACE = "other://place"


def nobody(job: JobView) -> JobView:
    """A job without who ran it, which stays behind."""
    return msgspec.structs.replace(job, worker=None, slot=None)


def moves(store: Store) -> Movable:
    found = moves_of(store)
    assert found is not None
    return found


class MovingStores(Base):
    """``store`` is emptied into ``new``, which is one of the same kind."""

    @pytest.fixture(autouse=True)
    def _movable(self) -> None:
        self.need("moving")

    @pytest.fixture
    def new(self, clock: ManualClock, tmp_path: Path) -> Iterator[Store]:
        new = self.make_store(clock, tmp_path / "new")
        yield new
        new.close()

    @pytest.fixture
    def mover(self, store: Store, new: Store) -> Mover:
        return Mover(store, new)

    # -- the old store ---------------------------------------------------------------------------

    def test_a_moving_store_gives_out_no_leases_and_takes_outcomes(self, store: Store, worker: int) -> None:
        put(store)
        lease = take(store, worker)
        put(store)
        moves(store).begin_move(PLACE)
        assert reserve(store, worker) == []
        assert store.next_due(("default",)) is None
        assert settle(store, worker, lease)
        moving = moves(store).moving()
        assert moving is not None
        assert (moving.to, moving.since, moving.sealed) == (PLACE, T0, False)

    def test_a_moving_store_makes_no_occurrences(self, store: Store) -> None:
        store.put_schedule(Schedule(name="s", rule=b"{}", task="t", next=T0))
        moves(store).begin_move(PLACE)
        assert store.due_schedules(T0 + SECOND) == []
        assert store.next_schedule() is None

    def test_a_move_can_be_ended(self, store: Store, worker: int) -> None:
        put(store)
        moves(store).begin_move(PLACE)
        moves(store).end_move()
        assert moves(store).moving() is None
        assert len(reserve(store, worker)) == 1

    def test_a_move_to_another_place_is_refused(self, store: Store) -> None:
        moves(store).begin_move(PLACE)
        moves(store).begin_move(PLACE)
        with pytest.raises(ConfigError, match="is being moved to other://place already"):
            moves(store).begin_move("other://elsewhere")

    def test_a_sealed_store_takes_no_jobs(self, store: Store) -> None:
        moves(store).begin_move(PLACE)
        waiting = put(store)
        assert moves(store).seal() is False
        store.cancel(Filter(ids=(waiting,)))
        assert moves(store).seal() is True
        for refused in (
            lambda: store.enqueue([job()]),
            lambda: store.sync("n", [job(key="k")]),
            lambda: store.retry(Filter(ids=(waiting,))),
        ):
            with pytest.raises(StoreMoved, match="moved to other://place"):
                refused()
        assert state(store, waiting) == State.CANCELLED

    # -- one job ---------------------------------------------------------------------------------

    def test_a_waiting_job_is_moved_as_it_is(self, store: Store, new: Store, mover: Mover) -> None:
        id = put(
            store, due=T0 + 9 * SECOND, expires=T0 + 99 * SECOND, args=b"[[1],{}]", queue="q", priority=7, key="k",
            headers=b'{"h":1}', options=b'{"max_retries":1}', limit_key="l", flags=int(Flag.AT_MOST_ONCE),
        )  # fmt: skip
        before = view(store, id)
        self.move(mover)
        assert view(new, id) == before
        assert everything(store) == []
        assert new.enqueue([job(key="k")])[0].id == id

    def test_ended_jobs_are_moved_with_their_history_and_effects(
        self, store: Store, new: Store, mover: Mover, worker: int
    ) -> None:
        put(store)
        first = take(store, worker)
        store.save_effect(first, "charge", b"7")
        assert settle(store, worker, first, Kind.RETRY, due=T0, error=BOOM)
        assert settle(store, worker, take(store, worker), result=b"49")
        failed = finish(store, worker, Kind.FAILED)
        before = [nobody(view(store, id)) for id in (first.id, failed)]
        self.move(mover)
        assert [nobody(view(new, id)) for id in (first.id, failed)] == before
        assert history(new, first.id) == ["retry", "succeeded"]
        assert new.effects(first.id) == [("charge", b"7")]

    def test_what_runs_is_moved_when_it_has_ended(self, store: Store, new: Store, mover: Mover, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        self.move(mover)
        assert new.results([id]) == [None]
        assert settle(store, worker, lease, Kind.RETRY, due=T0)
        self.move(mover)
        assert [one.id for one in reserve(new, register(new))] == [id]

    def test_a_key_that_is_taken_in_the_new_store_stays_with_its_holder(
        self, store: Store, new: Store, mover: Mover
    ) -> None:
        ours, theirs = put(store, key="k"), put(new, key="k")
        self.move(mover)
        assert view(new, theirs).key == "k"
        assert view(new, ours).key is None

    def test_a_job_that_is_there_already_is_not_stored_again(self, store: Store, new: Store, mover: Mover) -> None:
        made = job(args=b"[[1],{}]")
        new.enqueue([made])
        store.enqueue([made])
        ran = take(new, register(new))
        self.move(mover)
        assert everything(store) == []
        assert state(new, ran.id) == State.RUNNING

    # -- what happens meanwhile --------------------------------------------------------------------

    def test_what_is_in_transit_starts_nowhere(self, store: Store, new: Store, worker: int) -> None:
        id = put(store)
        moves(store).begin_move(PLACE)
        moves(new).unpack(moves(store).pack(10))
        assert reserve(new, register(new)) == reserve(store, worker) == []
        assert moves(new).in_transit(10) == [id]

    @pytest.mark.parametrize("done", ["cancel", "move"])
    def test_what_was_changed_meanwhile_stays_and_comes_again(
        self, store: Store, new: Store, mover: Mover, done: str
    ) -> None:
        id = put(store, due=T0 + SECOND)
        mover.begin()
        parcels = moves(store).pack(10)
        moves(new).unpack(parcels)
        if done == "cancel":
            assert verdicts(store.cancel(Filter(ids=(id,)))) == {id: "prevented"}
        else:
            store.move(Filter(ids=(id,)), Change(due=T0 + 50 * SECOND))
        changed = view(store, id)
        assert moves(store).ship(parcels) == [False]
        moves(new).release([id], keep=False)
        assert new.results([id]) == [None]
        self.move(mover)
        assert view(new, id) == changed

    @pytest.mark.parametrize("step", ["packed", "unpacked", "shipped", "released"])
    def test_killed_after_any_step_it_begins_again(self, store: Store, new: Store, mover: Mover, step: str) -> None:
        ids = sorted(put(store) for _ in range(3))
        mover.begin()
        parcels = moves(store).pack(10)
        if step != "packed":
            moves(new).unpack(parcels)
        if step in ("shipped", "released"):
            assert moves(store).ship(parcels) == [True] * 3
        if step == "released":
            moves(new).release(ids)
        self.move(Mover(store, new))
        assert everything(store) == []
        assert sorted(lease.id for lease in reserve(new, register(new))) == ids

    def test_a_million_need_no_more_than_a_batch_at_a_time(self, store: Store, new: Store, mover: Mover) -> None:
        store.enqueue([job(due=T0 + SECOND * i) for i in range(1200)])
        mover.begin()
        assert mover.step() == 500
        soonest = [one.due for one in everything(new, order="due")]
        assert soonest == [T0 + SECOND * i for i in range(500)]

    # -- canvases --------------------------------------------------------------------------------

    def test_a_canvas_is_moved_as_a_whole(self, store: Store, new: Store, mover: Mover, worker: int) -> None:
        first, second, body = job(gates=(("g", 0),)), job(gates=(("g", 1),), queue="q"), job(after="g")
        store.enqueue([first, second, body], [Gate("g", 2)])
        lease = take(store, worker)
        self.move(mover)
        assert everything(new) == []  # one of it runs
        assert settle(store, worker, lease, result=b"1")
        self.move(mover)
        assert everything(store) == []
        assert store.gates(["g"]) == [None]
        theirs = register(new)
        assert reserve(new, theirs) == []
        assert settle(new, theirs, take(new, theirs, queue="q"), result=b"2")
        assert [one.id for one in reserve(new, theirs)] == [body.id]
        assert [one.result for one in new.members("g")] == [b"1", b"2"]

    def test_a_canvas_that_failed_can_be_resumed_there(
        self, store: Store, new: Store, mover: Mover, worker: int
    ) -> None:
        first, last = job(gates=(("g", 0),)), job(after="g")
        store.enqueue([first, last], [Gate("g", 1)])
        assert settle(store, worker, take(store, worker), Kind.FAILED, error=BOOM)
        self.move(mover)
        assert state(new, last.id) == State.FAILED
        assert verdicts(new.retry(Filter(ids=(first.id,)))) == {first.id: "retried"}
        theirs = register(new)
        assert settle(new, theirs, take(new, theirs))
        assert take(new, theirs).id == last.id

    # -- rules and schedules -----------------------------------------------------------------------

    def test_limits_pauses_and_time_limits_go_along(self, store: Store, new: Store, mover: Mover) -> None:
        by_hand = Limit(scope="task", name="t", rate=10, per=60 * SECOND)
        store.declare_limits(["u"], [Limit(scope="task", name="u", concurrency=1, declared=True)])
        store.set_limit(by_hand)
        store.set_time_limit(TimeLimit(task="t", soft=5.0))
        store.pause("q")
        self.move(mover)
        assert new.limits() == [by_hand]
        assert new.time_limits() == [TimeLimit(task="t", soft=5.0)]
        assert list(new.paused()) == ["q"]

    @pytest.mark.parametrize("known", [False, True], ids=["unknown there", "declared there"])
    def test_schedules_go_on_where_they_were(self, store: Store, new: Store, mover: Mover, known: bool) -> None:
        hourly = Schedule(name="hourly", rule=b"{}", task="t", next=T0)
        for owner in (store, new) if known else (store,):
            owner.declare_schedules("app", [hourly])
        [seen] = store.schedules(["hourly"])
        made = job(due=T0 + 5 * SECOND)
        assert store.occur([Advance(seen=seen, jobs=((T0, made),), next=T0 + 3600 * SECOND)]) == [1]
        self.move(mover)
        [there] = new.schedules(["hourly"])
        assert (there.owner, there.next) == ("app", T0 + 3600 * SECOND)
        assert [(one.nominal, one.job) for one in new.occurrences("hourly")] == [(T0, made.id)]

    def test_reconciled_jobs_are_known_there(self, store: Store, new: Store, mover: Mover) -> None:
        wanted = job(key="event", due=T0 + SECOND)
        [created] = store.sync("calendar", [wanted])
        self.move(mover)
        [answer] = new.sync("calendar", [wanted])
        assert (answer.verdict, answer.id) == ("unchanged", created.id)

    # -- how -------------------------------------------------------------------------------------

    @staticmethod
    def move(mover: Mover) -> None:
        """Everything that can be moved now."""
        mover.begin()
        while mover.step():
            pass
