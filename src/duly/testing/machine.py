"""Random histories: the same calls to a store and to the model, compared after each. Needs hypothesis.

Whatever the history, the two agree on every answer and on every job, and

- no job is lost, and none appears;
- no job has two live leases;
- a stale token never wins;
- at most one live job holds a key;
- what is final changes only by ``retry``;
- each end of a member of a gate is counted once, and the held jobs go the way it says;
- ``next_due`` and the order of reserving are right.

A subclass gives ``make_store(clock)``, and ``Subclass.TestCase`` is the test.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from duly.errors import DuplicateKey
from duly.job import Change, Filter, Flag, Gate, Job, Kind, Lease, Outcome, State, Then, WorkerInfo
from duly.store.contract import Store
from duly.store.offering import Offering
from duly.testing.clock import START, ManualClock
from duly.testing.model import DuplicateKeyError, Entry, Model

LEASE = 4_000_000
MAX_LOST = 3
QUEUES = ("a", "b")
STEP = 1_000_000

ids = st.integers(0, 9).map(lambda n: f"job{n}")
keys = st.sampled_from([None, "k", "k"])
steps = st.sampled_from([0, 0, -STEP, STEP, 4 * STEP])
orders = st.sampled_from([("a", "b"), ("b", "a"), ("a",)])


class StoreMachine(RuleBasedStateMachine):
    """The rules; see the module's text."""

    def make_store(self, clock: ManualClock) -> Store:
        """A new, empty store that reads ``clock``."""
        raise NotImplementedError("a subclass gives make_store(clock)")

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock(START)
        self.store = self.make_store(self.clock)
        self.model = Model(START)
        self.gates = 0  # how many there were
        self.leases: list[tuple[Lease, int]] = []  # every lease ever given, with the model's number of it
        self.register()
        self.register()
        # Something of each kind to begin with; hypothesis rarely gets round to it by itself.
        self._enqueue(
            Job(id="job0", task="t", due=START, queue="a"),
            Job(id="job1", task="t", due=START, queue="a", priority=5),
            Job(id="job2", task="t", due=START - STEP, queue="a", key="k"),
            Job(id="job3", task="t", due=START, queue="b", flags=int(Flag.AT_MOST_ONCE)),
            Job(id="job4", task="t", due=START, queue="b", expires=START + 2 * STEP),
            Job(id="job5", task="t", due=START + STEP, queue="a", key="l"),
        )

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    # -- producing -------------------------------------------------------------------------------

    @rule(
        batch=st.lists(
            st.tuples(
                ids, keys, st.sampled_from(["skip", "replace", "error"]), steps, st.sampled_from([0, 0, 5, 9]),
                st.sampled_from(QUEUES), st.sampled_from([None, None, 2 * STEP]),
                st.sampled_from([0, 0, int(Flag.AT_MOST_ONCE)]),
            ),
            min_size=1, max_size=2,
        )
    )  # fmt: skip
    def enqueue(self, batch: list[Any]) -> None:
        now = self.clock.now()
        jobs = [
            Job(
                id=id, task="t", due=now + ahead, key=key, on_conflict=conflict, priority=priority, queue=queue,
                expires=None if expires is None else now + ahead + expires, flags=flags,
            )
            for id, key, conflict, ahead, priority, queue, expires, flags in batch
        ]  # fmt: skip
        self._enqueue(*jobs)

    def _enqueue(self, *jobs: Job) -> None:
        try:
            wanted = self.model.enqueue(jobs)
        except DuplicateKeyError:
            try:
                self.store.enqueue(jobs)
            except DuplicateKey:
                return
            raise AssertionError("a key that is held was stored twice") from None
        assert [(one.id, one.stored) for one in self.store.enqueue(jobs)] == wanted

    # -- canvases --------------------------------------------------------------------------------

    @rule(
        steps=st.lists(
            st.tuples(
                ids, steps, st.sampled_from(QUEUES),
                st.sampled_from([0, 0, int(Flag.ON_FAILURE), int(Flag.FROM_RELEASE)]),
                st.sets(st.integers(0, 2), max_size=2), st.integers(0, 2) | st.none(),
            ),
            min_size=2, max_size=6, unique_by=lambda step: step[0],
        ),
        older=st.booleans(),
    )  # fmt: skip
    def canvas(self, steps: list[Any], older: bool) -> None:
        """Jobs that are members of three new gates, and held at these or at the three before."""
        now = self.clock.now()
        at = self.gates - 3 if older and self.gates >= 3 and self._there(self.gates - 3) else self.gates
        jobs = [
            Job(
                id=id, task="t", due=now + ahead, queue=queue, flags=flags,
                expires=now + ahead + 2 * STEP if not counts_in else None,
                gates=tuple((f"g{self.gates + n}", int(id[3:])) for n in sorted(counts_in)),
                after=None if after is None else f"g{at + after}",
            )
            for id, ahead, queue, flags, counts_in, after in steps
        ]  # fmt: skip
        new = [job for job in jobs if job.id not in self.model.entries]
        names = [f"g{self.gates + n}" for n in range(3)]
        made = [Gate(name, sum(name in dict(job.gates) for job in new)) for name in names]
        self.gates += 3
        wanted = self.model.enqueue(jobs, made)
        assert [(one.id, one.stored) for one in self.store.enqueue(jobs, made)] == wanted

    def _there(self, first: int) -> bool:
        return all(f"g{first + n}" in self.model.gates for n in range(3))

    def _then(self, data: st.DataObject, id: str) -> Then:
        """What a job goes on as: itself, at once or after a new one."""
        now = self.clock.now()
        free = [f"job{n}" for n in range(10) if f"job{n}" not in self.model.entries]
        gate = Gate(f"g{self.gates}", 1)
        self.gates += 1
        if not free or data.draw(st.booleans()):
            return Then((Job(id=id, task="u", due=now, queue="b", gates=((gate.id, 0),)),), (gate,))
        first = Job(id=data.draw(st.sampled_from(free)), task="t", due=now, queue="a", gates=((gate.id, 0),))
        return Then((first, Job(id=id, task="u", due=now, queue="b", after=gate.id)), (gate,))

    # -- running ---------------------------------------------------------------------------------

    @rule(data=st.data(), slot=st.integers(0, 1), want=st.integers(1, 3), queues=orders, woken=st.booleans())
    def reserve(self, data: st.DataObject, slot: int, want: int, queues: tuple[str, ...], woken: bool) -> None:
        worker = self._a_worker(data)
        self._reserved(self.store.exchange(worker, slot, [], want, queues, woken).leases, worker, slot, want, queues)

    def _reserved(self, leases: list[Lease], worker: int, slot: int, want: int, queues: tuple[str, ...]) -> None:
        wanted = self._wanted(leases, worker, want, queues)
        for entry in wanted:
            self.model.reserve((worker, slot), entry)
        for lease, entry in zip(leases, wanted, strict=True):
            assert (lease.attempt, lease.retries, lease.lost) == (entry.attempt, entry.retries, entry.lost)
            assert lease.due == entry.due <= self.clock.now()
            assert all(old.token != lease.token for old, _ in self.leases if old.id == lease.id)
            self.leases.append((lease, entry.lease))

    def _wanted(self, leases: list[Lease], worker: int, want: int, queues: tuple[str, ...]) -> list[Entry]:
        """The jobs that had to come. Whether an expired one takes its queue's turn is the store's to choose."""
        if self.model.workers[worker] is None:
            assert leases == []
            return []
        due, expired = self.model.startable(queues), self.model.expired(queues)
        if not expired:
            assert [lease.id for lease in leases] == [entry.job.id for entry in due[:want]]
            return due[:want]
        for queue in queues:
            came = [lease.id for lease in leases if lease.queue == queue]
            assert came == [entry.job.id for entry in due if entry.queue == queue][: len(came)]
        assert len(leases) == min(want, len(due))
        names = tuple(entry.job.id for entry in expired)
        gone = {v.id for v in self.store.jobs(Filter(ids=names, states=("cancelled",))).jobs}
        self.model.expire([entry for entry in expired if entry.job.id in gone])
        return [self.model.entries[lease.id] for lease in leases]

    @precondition(lambda self: isinstance(self.store, Offering))
    @rule(data=st.data(), id=ids, slot=st.integers(0, 1), ahead=steps, heard=st.booleans())
    def offer(self, data: st.DataObject, id: str, slot: int, ahead: int, heard: bool) -> None:
        """A job is stored while a seat offers to run one; whether the seat hears of it, or looks by itself. Mostly in
        a queue of its own, where often nothing else is due."""
        queues = data.draw(st.sampled_from([("c",), ("c",), ("b", "c"), ("c", "b")]))
        assert isinstance(self.store, Offering)
        worker = self._a_worker(data)
        with contextlib.closing(self.store.listen_as_seat(worker, slot)) as seat:
            assert seat.offer(queues, STEP) == self.model.next_due(queues)
            self._enqueue(Job(id=id, task="t", due=self.clock.now() + ahead, queue="c"))
            (stored,) = self.store.results([id])
            assert stored is not None
            given = stored.state == State.RUNNING and self.model.entries[id].state == State.WAITING
            if not given or not heard:
                leases = self.store.exchange(worker, slot, [], 1, queues).leases
                self._reserved(leases, worker, slot, 1, queues)
                return
            while (lease := seat.given()) is None:
                assert seat.wait(60)
            self._reserved([lease], worker, slot, 1, queues)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), want=st.integers(0, 2), queues=orders, slot=st.integers(0, 1))
    def settle(self, data: st.DataObject, want: int, queues: tuple[str, ...], slot: int) -> None:
        """Any leases ever given, live or stale, each with some outcome, and a reserve in the same call."""
        worker = self._a_worker(data)
        newest = range(len(self.leases) - 1, -1, -1)  # simplest first: the ones most likely to be live
        picked = data.draw(st.lists(st.sampled_from(newest), min_size=1, max_size=3))
        now = self.clock.now()
        outcomes, accepted = [], {}
        for index in picked:
            kind = data.draw(st.sampled_from([kind for kind in Kind if kind != Kind.LOST]))
            lease = self.leases[index][0]
            due = now + data.draw(steps)
            then = self._then(data, lease.id) if kind == Kind.REPLACED else None
            outcomes.append(Outcome(lease=lease, kind=kind, started=now, finished=now, due=due, then=then))
        # Final ones first: which of two outcomes for one lease counts is the store's to choose.
        if len({outcome.lease.id for outcome in outcomes}) < len(outcomes):
            outcomes, picked = outcomes[:1], picked[:1]
        for index, outcome in zip(picked, outcomes, strict=True):
            accepted[id(outcome)] = self.model.settle(
                outcome.lease.id, self.leases[index][1], outcome.kind, outcome.due, outcome.then
            )
        self.model.count()
        answer = self.store.exchange(worker, slot, outcomes, want, queues)
        assert {id(o) for o in answer.refused} == {key for key, taken in accepted.items() if not taken}
        self._reserved(answer.leases, worker, slot, want, queues)

    # -- liveness and time -----------------------------------------------------------------------

    @rule()
    def register(self) -> None:
        worker = self.store.register(WorkerInfo(name="w", host="h", pid=1), LEASE)
        assert worker not in self.model.workers
        self.model.workers[worker] = self.clock.now() + LEASE

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        worker = self._a_worker(data)
        renewal = self.store.renew(worker, LEASE)
        assert renewal.alive == self.model.renew(worker, LEASE)
        asked = {e.job.id for e in self.model._held(worker) if e.cancel}
        assert {cancel.id for cancel in renewal.cancels} == (asked if renewal.alive else set())

    @rule(data=st.data())
    def unregister(self, data: st.DataObject) -> None:
        worker = self._a_worker(data)
        self.store.unregister(worker)
        self.model.unregister(worker)

    @rule(data=st.data(), slot=st.integers(0, 1), started=st.lists(ids, max_size=6))
    def abandon(self, data: st.DataObject, slot: int, started: list[str]) -> None:
        worker = self._a_worker(data)
        held = self.model.abandon((worker, slot), started, MAX_LOST)
        answer = self.store.abandon(worker, slot, started, b"{}", MAX_LOST)
        assert {one.id for one in answer} == held

    @rule(data=st.data(), name_one=st.booleans())
    def rescue(self, data: st.DataObject, name_one: bool) -> None:
        dead = [self._a_worker(data)] if name_one else []
        answer = self.store.rescue(MAX_LOST, dead)
        assert {one.id for one in answer} == self.model.rescue(MAX_LOST, dead)
        assert all(one.state == self.model.entries[one.id].state for one in answer)

    @rule(seconds=st.integers(1, 6))
    def time_passes(self, seconds: int) -> None:
        self.model.now = self.clock.advance(seconds)

    def _a_worker(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.model.workers, reverse=True)))

    # -- managing --------------------------------------------------------------------------------

    @rule(chosen=st.lists(ids, min_size=1, max_size=4, unique=True), terminate=st.booleans())
    def cancel(self, chosen: list[str], terminate: bool) -> None:
        answers = self.store.cancel(Filter(ids=tuple(chosen)), terminate)
        assert [(one.id, one.verdict) for one in answers] == list(zip(chosen, self.model.cancel(chosen), strict=True))

    @rule(
        chosen=st.lists(ids, min_size=1, max_size=4, unique=True),
        ahead=st.none() | steps,
        queue=st.sampled_from([None, *QUEUES]),
        priority=st.sampled_from([None, 0, 9]),
    )
    def move(self, chosen: list[str], ahead: int | None, queue: str | None, priority: int | None) -> None:
        due = None if ahead is None else self.clock.now() + ahead
        change = Change(due=due, queue=queue, priority=priority)
        answers = self.store.move(Filter(ids=tuple(chosen)), change)
        assert [(one.id, one.verdict) for one in answers] == [(id, self.model.move(id, change)) for id in chosen]

    @rule(chosen=ids)
    def retry(self, chosen: str) -> None:
        [answer] = self.store.retry(Filter(ids=(chosen,)))
        assert answer.verdict == self.model.retry(chosen)

    @rule(back=st.integers(0, 5), failed_back=st.integers(0, 5))
    def prune(self, back: int, failed_back: int) -> None:
        before, failed_before = self.clock.now() - back * STEP, self.clock.now() - failed_back * STEP
        assert self.store.prune(before, failed_before, 1000) == self.model.prune(before, failed_before)

    @rule(chosen=st.lists(ids, min_size=1, max_size=4, unique=True))
    def forget(self, chosen: list[str]) -> None:
        assert self.store.forget(chosen) == self.model.forget(chosen)

    # -- what holds always -----------------------------------------------------------------------

    @invariant()
    def the_store_has_the_models_jobs(self) -> None:
        if not hasattr(self, "model"):
            return
        seen = {
            v.id: (
                v.state,
                v.due,
                v.expires,
                v.queue,
                v.priority,
                v.attempt,
                v.retries,
                v.lost,
                v.cancelling,
                v.held,
            )
            for v in self.store.jobs(Filter(), limit=1000).jobs
        }
        wanted = {
            id: (
                e.state, e.due, e.expires, e.queue, e.priority, e.attempt, e.retries, e.lost,
                e.cancel and not e.state.final, e.held and not e.state.final,
            )
            for id, e in self.model.entries.items()
        }  # fmt: skip
        differ = sorted(id for id in seen | wanted if seen.get(id) != wanted.get(id))
        assert not differ, [(id, "store", seen.get(id), "model", wanted.get(id)) for id in differ]

    @invariant()
    def the_gates_stand_as_in_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        names = [f"g{n}" for n in range(self.gates)]
        for name, seen in zip(names, self.store.gates(names), strict=True):
            wanted = self.model.gates.get(name)
            assert (seen is None) == (wanted is None), name
            if seen is None or wanted is None:
                continue
            assert (seen.size, seen.left, seen.failed) == (wanted.size, wanted.left, wanted.failed), name
            assert (seen.finished is None) == (seen.left > 0)
            if seen.first_failed in wanted.members:
                assert wanted.members[seen.first_failed] is False
            assert {one.id for one in self.store.members(name)} == set(wanted.members)

    @invariant()
    def next_due_is_right(self) -> None:
        if hasattr(self, "model"):
            for queues in (("a",), ("a", "b")):
                assert self.store.next_due(queues) == self.model.next_due(queues)
