"""Reconciling in the store: each verdict, and random histories against a model."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from control_kit import job, put, register, reserve, settle, state, view
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import duly.store
from duly.clock import MICROS
from duly.job import Filter, Kind, State
from duly.messages import Synced
from duly.store.contract import Store
from duly.testing.clock import START, ManualClock

HOUR = 3600 * MICROS
DUE = START + HOUR


def verdicts(answers: list[Synced]) -> dict[str, str]:
    return {answer.key: answer.verdict for answer in answers}


def one(store: Store, **fields: Any) -> Synced:
    """Reconcile one key, "k"; gives its answer."""
    [answer] = store.sync("cal", [job(key="k", **{"due": DUE} | fields)])
    return answer


def test_a_wanted_job_is_created_once(store: Store) -> None:
    first = one(store)
    assert first.verdict == "created"
    assert first.id is not None
    assert view(store, first.id).due == DUE
    assert one(store) == Synced("k", "unchanged", first.id)


def test_a_second_identical_sync_writes_nothing(store: Store, tmp_path: Path) -> None:
    store.sync("cal", [job(key=str(i), due=DUE + i) for i in range(50)])
    other = sqlite3.connect(tmp_path / "duly.db")
    before = other.execute("PRAGMA data_version").fetchone()
    answers = store.sync("cal", [job(key=str(i), due=DUE + i) for i in range(50)])
    assert {answer.verdict for answer in answers} == {"unchanged"}
    assert other.execute("PRAGMA data_version").fetchone() == before
    other.close()


def test_another_due_moves_it(store: Store) -> None:
    id = one(store).id
    assert one(store, due=DUE + 5, args=b"[[1],{}]") == Synced("k", "moved", id)
    assert id is not None
    assert (view(store, id).due, view(store, id).args) == (DUE + 5, b"[[1],{}]")


@pytest.mark.parametrize(
    "change",
    [
        {"args": b"[[1],{}]"},
        {"queue": "other"},
        {"priority": 5},
        {"expires": DUE + 1},
        {"headers": b'{"a":1}'},
        {"options": b'{"time_limit":5.0}'},
        {"task": "u"},
        {"limit_key": "acme"},
        {"flags": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_field_edits_it(store: Store, change: dict[str, Any]) -> None:
    id = one(store).id
    assert one(store, **change) == Synced("k", "edited", id)
    assert id is not None
    name, value = next(iter(change.items()))
    assert getattr(view(store, id), name) == value
    assert one(store, **change).verdict == "unchanged"


def test_the_order_of_keywords_is_no_change_but_their_type_is(store: Store) -> None:
    one(store, args=b'[[],{"a":1,"b":2}]')
    assert one(store, args=b'[[],{"b":2,"a":1}]').verdict == "unchanged"
    assert one(store, args=b'[[],{"a":true,"b":2}]').verdict == "edited"
    assert one(store, args=b'[[],{"a":1.0,"b":2}]').verdict == "edited"


def test_what_is_wanted_no_more_is_cancelled_and_forgotten(store: Store) -> None:
    id = one(store).id
    assert store.sync("cal", []) == [Synced("k", "cancelled", id)]
    assert id is not None
    assert state(store, id) == State.CANCELLED
    assert store.sync("cal", []) == []
    restored = one(store)
    assert restored.verdict == "created"
    assert restored.id != id


def test_a_running_job_is_left_to_run(store: Store, clock: ManualClock) -> None:
    id = one(store).id
    clock.advance(3600)
    worker = register(store)
    [lease] = reserve(store, worker)
    assert one(store).verdict == "unchanged"
    assert one(store, due=DUE + HOUR) == Synced("k", "too late", id)
    assert one(store, args=b"[[1],{}]") == Synced("k", "too late", id)
    assert store.sync("cal", []) == [Synced("k", "too late", id)]
    settle(store, worker, lease, Kind.SUCCEEDED)
    assert one(store, due=DUE + HOUR).verdict == "created"


def test_a_finished_job_is_left_unless_another_time_ahead_is_wanted(store: Store, clock: ManualClock) -> None:
    id = one(store).id
    clock.advance(3600)
    worker = register(store)
    settle(store, worker, reserve(store, worker)[0], Kind.FAILED)
    assert one(store) == Synced("k", "left", id)
    assert one(store, args=b"[[1],{}]") == Synced("k", "left", id)
    assert one(store, due=DUE - 5) == Synced("k", "left", id)
    again = one(store, due=DUE + HOUR)
    assert again.verdict == "created"
    assert again.id != id


def test_a_job_that_a_person_cancelled_is_not_made_again(store: Store) -> None:
    id = one(store).id
    assert id is not None
    one(store, due=DUE + 1)
    store.cancel(Filter(ids=(id,)))
    assert one(store, due=DUE + 1) == Synced("k", "left", id)
    assert one(store, due=DUE + 2).verdict == "created"


def test_a_job_that_a_person_moved_is_moved_back(store: Store) -> None:
    from duly.job import Change

    id = one(store).id
    assert id is not None
    store.move(Filter(ids=(id,)), Change(due=DUE + HOUR))
    assert one(store) == Synced("k", "moved", id)
    assert view(store, id).due == DUE


def test_a_retry_keeps_its_own_time(store: Store, clock: ManualClock) -> None:
    id = one(store, expires=DUE + HOUR).id
    assert id is not None
    clock.advance(3600)
    worker = register(store)
    settle(store, worker, reserve(store, worker)[0], Kind.RETRY, due=DUE + 60 * MICROS)
    assert one(store, expires=DUE + HOUR).verdict == "unchanged"
    assert one(store, expires=DUE + HOUR, priority=3).verdict == "edited"
    assert view(store, id).due == DUE + 60 * MICROS
    assert one(store, due=DUE + 2 * HOUR, priority=3) == Synced("k", "moved", id)
    assert view(store, id).due == DUE + 2 * HOUR


def test_a_finished_key_is_known_as_long_as_it_is_wanted(store: Store, clock: ManualClock) -> None:
    id = one(store).id
    assert id is not None
    clock.advance(3600)
    worker = register(store)
    settle(store, worker, reserve(store, worker)[0], Kind.SUCCEEDED)
    assert store.forget([id]) == 1
    assert one(store) == Synced("k", "left", id)
    assert store.sync("cal", []) == []
    assert one(store).verdict == "created"


def test_late_ones_run_or_are_skipped(store: Store) -> None:
    late = job(key="late", due=START - 1)
    assert verdicts(store.sync("a", [late], late="skip")) == {"late": "too late"}
    assert store.jobs(Filter()).jobs == []
    assert verdicts(store.sync("a", [late], late="run")) == {"late": "created"}
    expired = job(key="x", due=START - 2, expires=START - 1)
    assert verdicts(store.sync("b", [expired])) == {"x": "too late"}


def test_namespaces_and_keys_of_other_jobs_are_independent(store: Store) -> None:
    put(store, key="k")
    a, b = (store.sync(name, [job(key="k", due=DUE)])[0] for name in ("a", "b"))
    assert a.verdict == b.verdict == "created"
    assert a.id != b.id
    assert verdicts(store.sync("a", [])) == {"k": "cancelled"}
    assert verdicts(store.sync("b", [job(key="k", due=DUE)])) == {"k": "unchanged"}


# -- against a model -----------------------------------------------------------------------------


@dataclass
class Thing:
    """A job, as the model sees it."""

    due: int
    args: bytes
    wanted_due: int
    state: str = "waiting"
    attempt: int = 0


@dataclass
class Model:
    now: int = START
    jobs: dict[str, Thing] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def sync(self, wanted: dict[str, tuple[int, bytes]]) -> dict[str, str]:
        answers = {key: self.reconcile(key, *what) for key, what in wanted.items()}
        for key in set(self.keys) - set(wanted):
            thing = self.jobs[self.keys[key]]
            if thing.state == "running":
                answers[key] = "too late"
            elif thing.state == "waiting":
                thing.state = "ended"
                answers[key] = "cancelled"
                del self.keys[key]
        return answers

    def reconcile(self, key: str, due: int, args: bytes) -> str:
        thing = self.jobs.get(self.keys.get(key, ""))
        if thing is None or (thing.state == "ended" and due != thing.wanted_due and due > self.now):
            return "created"  # the id is the store's to tell
        if thing.state == "ended":
            return "left"
        moved = due != (thing.due if thing.attempt == 0 else thing.wanted_due)
        if not moved and args == thing.args:
            return "unchanged"
        if thing.state == "running":
            return "too late"
        thing.args = args
        if moved:
            thing.due = thing.wanted_due = due
        return "moved" if moved else "edited"


class Reconciling(RuleBasedStateMachine):
    wants = st.dictionaries(
        st.sampled_from("abc"), st.tuples(st.integers(-3, 9), st.sampled_from([b"[[1],{}]", b"[[2],{}]"])), max_size=3
    )

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.store = duly.store.open("sqlite:///:memory:", clock=self.clock)
        self.worker = register(self.store, lease=10**15)
        self.model = Model()
        self.leases: dict[str, Any] = {}
        self.last: dict[str, tuple[int, bytes]] = {}

    @rule(wanted=wants)
    def sync(self, wanted: dict[str, tuple[int, bytes]]) -> None:
        plan = {key: (START + minutes * HOUR, args) for key, (minutes, args) in wanted.items()}
        expected = self.model.sync(plan)
        answers = self.store.sync("n", [job(key=key, due=due, args=args) for key, (due, args) in plan.items()])
        assert verdicts(answers) == expected
        for answer in answers:
            if answer.verdict == "created":
                assert answer.id is not None
                due, args = plan[answer.key]
                self.model.jobs[answer.id] = Thing(due, args, due)
                self.model.keys[answer.key] = answer.id
        again = verdicts(self.store.sync("n", [job(key=k, due=due, args=a) for k, (due, a) in plan.items()]))
        assert set(again.values()) <= {"unchanged", "left", "too late"}

        self.last = wanted

    @rule()
    def sync_the_same_later(self) -> None:
        self.sync(self.last)

    @rule(hours=st.integers(1, 3))
    def wait(self, hours: int) -> None:
        self.clock.advance(hours * 3600)
        self.model.now += hours * HOUR

    @rule()
    def start(self) -> None:
        for lease in reserve(self.store, self.worker, want=1):
            self.model.jobs[lease.id].state = "running"
            self.model.jobs[lease.id].attempt += 1
            self.leases[lease.id] = lease

    @rule(retry=st.booleans(), data=st.data())
    def end(self, retry: bool, data: st.DataObject) -> None:
        if not self.leases:
            return
        id = data.draw(st.sampled_from(sorted(self.leases)))
        due = self.model.now + HOUR
        settle(self.store, self.worker, self.leases.pop(id), Kind.RETRY if retry else Kind.SUCCEEDED, due=due)
        thing = self.model.jobs[id]
        thing.state, thing.due = ("waiting", due) if retry else ("ended", thing.due)

    @rule(key=st.sampled_from("abc"))
    def cancel_by_hand(self, key: str) -> None:
        id = self.model.keys.get(key)
        if id is not None and self.model.jobs[id].state == "waiting":
            self.store.cancel(Filter(ids=(id,)))
            self.model.jobs[id].state = "ended"

    @invariant()
    def jobs_are_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        there = {job.id: (job.due, job.args) for job in self.store.jobs(Filter()).jobs if job.state == State.WAITING}
        model = {id: (t.due, t.args) for id, t in self.model.jobs.items() if t.state == "waiting"}
        assert there == model

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


TestReconciling = Reconciling.TestCase
TestReconciling.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
