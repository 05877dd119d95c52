"""Schedules and occurrences: made once, withdrawn when their schedule changes, never overlapping if so said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from duly.errors import ConfigError
from duly.job import Advance, Flag, Job, Kind, Schedule, State
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import LEASE, SECOND, T0, Base, reserve, settle, snapshot, state, take, view

MINUTE = 60 * SECOND
SKIP, QUEUE = int(Flag.NO_OVERLAP_SKIP), int(Flag.NO_OVERLAP_QUEUE)


def schedule(name: str = "s", **fields: Any) -> Schedule:
    given: dict[str, Any] = {"rule": b'{"kind":"x"}', "task": "t", "next": T0 + MINUTE}
    return Schedule(name=name, **given | fields)


def only(store: Store, name: str = "s") -> Schedule:
    (found,) = store.schedules([name])
    return found


def occur(store: Store, nominal: int, id: str, name: str = "s", **job: Any) -> int | None:
    """Make one occurrence, whatever the rule; the next is a minute later."""
    made = Job(id=id, task="t", due=nominal, **job)
    (stored,) = store.occur([Advance(seen=only(store, name), jobs=((nominal, made),), next=nominal + MINUTE)])
    return stored


class Recurring(Base):
    """Recurring work."""

    # -- occurrences -----------------------------------------------------------------------------

    def test_an_occurrence_is_a_job_and_takes_its_schedule_forward(self, store: Store) -> None:
        store.put_schedule(schedule())
        assert occur(store, T0 + MINUTE, "a") == 1
        assert view(store, "a").due == T0 + MINUTE
        assert (only(store).next, only(store).last) == (T0 + 2 * MINUTE, T0 + MINUTE)
        assert [(o.nominal, o.job, o.made) for o in store.occurrences("s")] == [(T0 + MINUTE, "a", T0)]

    def test_only_the_first_of_two_that_saw_the_same_makes_it(self, store: Store) -> None:
        store.put_schedule(schedule())
        seen = only(store)
        steps = [Advance(seen=seen, jobs=((T0, Job(id=id, task="t", due=T0)),), next=T0 + 2 * MINUTE) for id in "ab"]
        assert store.occur(steps) == [1, None]
        assert [o.job for o in store.occurrences("s")] == ["a"]

    def test_an_occurrence_is_made_once_even_if_its_schedule_came_back_to_it(self, store: Store) -> None:
        store.put_schedule(schedule())
        assert occur(store, T0 + MINUTE, "a") == 1
        assert occur(store, T0 + MINUTE, "b") == 0
        assert [o.job for o in store.occurrences("s")] == ["a"]

    def test_occurrences_come_newest_first_and_as_many_as_asked_for(self, store: Store) -> None:
        store.put_schedule(schedule())
        for n in (1, 2, 3):
            occur(store, T0 + n * MINUTE, str(n))
        assert [o.job for o in store.occurrences("s", 2)] == ["3", "2"]

    def test_an_occurrence_is_kept_as_long_as_its_job(self, store: Store, worker: int, clock: ManualClock) -> None:
        store.put_schedule(schedule())
        occur(store, T0, "a")
        occur(store, T0 + MINUTE, "b")
        settle(store, worker, take(store, worker))
        assert store.prune(T0 + 1, T0 + 1, 100) == 1
        assert [o.job for o in store.occurrences("s")] == ["b"]

    def test_due_schedules_are_the_near_ones_earliest_first(self, store: Store) -> None:
        for name, due in (("late", 30), ("soon", 10), ("far", 500)):
            store.put_schedule(schedule(name, next=T0 + due * SECOND))
        store.put_schedule(schedule("ended", next=None))
        store.put_schedule(schedule("paused", next=T0))
        store.pause_schedule("paused")
        assert [one.name for one in store.due_schedules(T0 + MINUTE)] == ["soon", "late"]
        assert store.next_schedule() == T0 + 10 * SECOND

    # -- stored by hand --------------------------------------------------------------------------

    def test_a_schedule_comes_back_as_it_was_stored(self, store: Store) -> None:
        fields: dict[str, Any] = {
            "args": b"[[1],{}]", "queue": "q", "priority": 3, "headers": b'{"a":1}', "options": b"{}", "flags": 2,
            "limit_key": "k", "catch_up": "all", "deadline": 5, "overlap": "queue", "jitter": 7, "expires_after": 9,
        }  # fmt: skip
        store.put_schedule(schedule(**fields))
        assert only(store) == schedule(**fields, revision=only(store).revision)
        assert [one.name for one in store.schedules()] == ["s"]
        assert store.schedules(["nobody"]) == []

    def test_storing_the_same_again_changes_nothing(self, store: Store) -> None:
        store.put_schedule(schedule())
        occur(store, T0 + MINUTE, "a")
        before = only(store)
        store.put_schedule(schedule(next=T0 + 5 * MINUTE))
        assert only(store) == before

    def test_another_rule_withdraws_what_is_ahead_and_begins_where_it_says(self, store: Store) -> None:
        store.put_schedule(schedule())
        occur(store, T0, "due")
        occur(store, T0 + MINUTE, "ahead")
        store.put_schedule(schedule(rule=b'{"kind":"y"}', next=T0 + 7 * MINUTE))
        assert (state(store, "due"), state(store, "ahead")) == (State.WAITING, State.CANCELLED)
        assert only(store).next == T0 + 7 * MINUTE
        assert [o.job for o in store.occurrences("s")] == ["due"]

    def test_another_argument_makes_what_is_ahead_anew_and_loses_nothing(self, store: Store) -> None:
        store.put_schedule(schedule())
        occur(store, T0 + MINUTE, "a")
        occur(store, T0 + 2 * MINUTE, "b")
        revision = only(store).revision
        store.put_schedule(schedule(args=b"[[2],{}]", next=T0 + 9 * MINUTE))
        assert only(store).next == T0 + MINUTE
        assert only(store).revision != revision
        assert occur(store, T0 + MINUTE, "a2") == 1

    def test_a_step_computed_before_a_change_is_refused(self, store: Store) -> None:
        store.put_schedule(schedule())
        seen = only(store)
        store.put_schedule(schedule(args=b"[[2],{}]"))
        before = snapshot(store)
        job = Job(id="stale", task="t", due=T0)
        assert store.occur([Advance(seen=seen, jobs=((T0, job),), next=T0 + 2 * MINUTE)]) == [None]
        assert snapshot(store) == before

    def test_removing_withdraws_what_has_not_started(self, store: Store, worker: int) -> None:
        store.put_schedule(schedule())
        occur(store, T0, "runs")
        take(store, worker)
        occur(store, T0, "same instant, never made")
        occur(store, T0 + SECOND, "waits")
        assert store.remove_schedule("s")
        assert not store.remove_schedule("s")
        assert store.schedules() == []
        assert (state(store, "runs"), state(store, "waits")) == (State.RUNNING, State.CANCELLED)

    def test_a_pause_withdraws_what_is_ahead_and_a_resume_goes_on_where_it_says(self, store: Store) -> None:
        store.put_schedule(schedule())
        occur(store, T0 + MINUTE, "ahead")
        assert store.pause_schedule("s")
        assert state(store, "ahead") == State.CANCELLED
        assert only(store).paused
        assert store.due_schedules(2**60) == []
        stale = only(store)
        assert store.resume_schedule(stale, T0 + 8 * MINUTE)
        assert not store.resume_schedule(stale, T0)
        assert (only(store).paused, only(store).next) == (False, T0 + 8 * MINUTE)
        assert not store.pause_schedule("nobody")

    # -- declared --------------------------------------------------------------------------------

    def test_declaring_replaces_what_the_same_app_declared(self, store: Store) -> None:
        store.put_schedule(schedule("by hand"))
        store.declare_schedules("other", [schedule("theirs")])
        store.declare_schedules("app", [schedule("stays"), schedule("changes"), schedule("goes")])
        occur(store, T0 + MINUTE, "job", "goes")
        occur(store, T0 + MINUTE, "job2", "stays")
        later = T0 + 50 * MINUTE
        store.declare_schedules(
            "app", [schedule("stays", next=later), schedule("changes", rule=b'{"kind":"y"}', next=later)]
        )
        nexts = {one.name: one.next for one in store.schedules()}
        assert nexts == {
            "by hand": T0 + MINUTE, "changes": later, "stays": T0 + 2 * MINUTE, "theirs": T0 + MINUTE,
        }  # fmt: skip
        assert (state(store, "job"), state(store, "job2")) == (State.CANCELLED, State.WAITING)

    def test_a_pause_outlives_a_change_of_the_code(self, store: Store) -> None:
        store.declare_schedules("app", [schedule()])
        store.pause_schedule("s")
        store.declare_schedules("app", [schedule(args=b"[[2],{}]")])
        assert only(store).paused

    @pytest.mark.parametrize("holder", ["hand", "other"])
    def test_a_name_has_one_owner(self, store: Store, holder: str) -> None:
        if holder == "hand":
            store.put_schedule(schedule())
        else:
            store.declare_schedules("other", [schedule()])
        store.declare_schedules("app", [schedule("mine")])
        before = store.schedules()
        with pytest.raises(ConfigError, match=r"'s'.*(by hand|'other')"):
            store.declare_schedules("app", [schedule("new"), schedule()])
        assert store.schedules() == before

    def test_what_code_declares_is_not_stored_over_nor_removed_by_hand(self, store: Store) -> None:
        store.declare_schedules("app", [schedule()])
        with pytest.raises(ConfigError, match="app 'app'"):
            store.put_schedule(schedule(args=b"[[2],{}]"))
        with pytest.raises(ConfigError, match="pause it"):
            store.remove_schedule("s")
        assert only(store).owner == "app"

    # -- overlap ---------------------------------------------------------------------------------

    def test_an_occurrence_is_skipped_while_one_of_its_schedule_runs(self, store: Store, worker: int) -> None:
        store.put_schedule(schedule(overlap="skip"))
        occur(store, T0 - 2, "first", flags=SKIP)
        occur(store, T0 - 1, "second", flags=SKIP)
        lease = take(store, worker)
        assert reserve(store, worker) == []
        assert state(store, "second") == State.CANCELLED
        assert b"still running" in (view(store, "second").error or b"")
        settle(store, worker, lease)
        occur(store, T0, "third", flags=SKIP)
        assert [lease.id for lease in reserve(store, worker)] == ["third"]

    def test_two_reserved_at_once_do_not_overlap_either(self, store: Store, worker: int) -> None:
        store.put_schedule(schedule(overlap="skip"))
        store.put_schedule(schedule("other", overlap="skip"))
        for n, name in enumerate(("s", "s", "other")):
            occur(store, T0 - 3 + n, str(n), name, flags=SKIP)
        assert [lease.id for lease in reserve(store, worker)] == ["0", "2"]

    def test_a_queued_occurrence_starts_when_the_one_before_has_ended(self, store: Store, worker: int) -> None:
        store.put_schedule(schedule(overlap="queue"))
        for n in (3, 2, 1):
            occur(store, T0 - n, f"-{n}", flags=QUEUE)
        order = []
        for _ in range(3):
            lease = take(store, worker)
            order.append(lease.id)
            assert reserve(store, worker) == []
            settle(store, worker, lease)
        assert order == ["-3", "-2", "-1"]

    def test_the_death_of_a_worker_lets_the_queued_occurrence_start(
        self, store: Store, worker: int, other: int, clock: ManualClock
    ) -> None:
        store.put_schedule(schedule(overlap="queue"))
        occur(store, T0 - 2, "first", flags=QUEUE)
        occur(store, T0 - 1, "second", flags=QUEUE)
        take(store, worker)
        store.renew(other, 100 * LEASE)
        clock.advance(LEASE / SECOND + 1)
        store.rescue(max_lost=1)
        assert [lease.id for lease in reserve(store, other)] == ["second"]

    def test_the_retry_of_an_occurrence_waits_and_is_not_skipped(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        store.put_schedule(schedule(overlap="skip"))
        occur(store, T0 - 2, "first", flags=SKIP)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + SECOND)
        occur(store, T0, "second", flags=SKIP)
        lease = take(store, worker)
        clock.advance(2)
        assert reserve(store, worker) == []
        assert state(store, "first") == State.WAITING
        settle(store, worker, lease)
        assert [lease.id for lease in reserve(store, worker)] == ["first"]

    def test_what_waited_starts_when_its_schedule_is_gone_or_changed(self, store: Store, worker: int) -> None:
        store.put_schedule(schedule(overlap="queue"))
        occur(store, T0 - 2, "first", flags=QUEUE)
        take(store, worker)
        occur(store, T0 - 1, "second", flags=QUEUE)
        assert reserve(store, worker) == []
        store.put_schedule(schedule(overlap="allow"))
        due = store.next_due(["default"])
        assert due is not None
        assert due <= T0
        assert [lease.id for lease in reserve(store, worker)] == ["second"]

    def test_a_plain_job_is_held_back_by_no_schedule(self, store: Store, worker: int) -> None:
        store.put_schedule(schedule(overlap="skip"))
        occur(store, T0, "first", flags=SKIP)
        store.enqueue([Job(id=id, task="t", due=T0) for id in "ab"])
        assert {lease.id for lease in reserve(store, worker)} == {"first", "a", "b"}

    def test_schedules_survive_a_restart_of_the_store(self, store: Store, place: Any, clock: ManualClock) -> None:
        self.need("shared")
        store.put_schedule(schedule())
        occur(store, T0 + MINUTE, "a")
        again = self.make_store(clock, place)
        assert again.schedules() == store.schedules()
        assert again.occurrences("s") == store.occurrences("s")
        again.close()

    def test_replacing_a_field_is_seen_as_a_change(self, store: Store) -> None:
        store.put_schedule(schedule())
        for field, value in (("task", "u"), ("queue", "q"), ("priority", 1), ("catch_up", "all"), ("jitter", 5)):
            before = only(store)
            store.put_schedule(msgspec.structs.replace(schedule(), **{field: value}))
            assert only(store).revision != before.revision, field
