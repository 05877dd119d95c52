"""The store contract as plain dictionaries: what a store must answer, worked out the simple way.

It has no transactions, indexes, threads or disk, and does not try to be quick. ``machine.py`` does the same
to it and to a real store, and compares. What it leaves out: statistics, history, effects, wake-ups, limits, and
which of several members that ended in one call failed first.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from duly.job import Change, Flag, Gate, Job, Kind, State, Then, Verdict

Seat = tuple[int, int]  # worker, slot


@dataclass
class Entry:
    """One job as the model keeps it."""

    job: Job
    age: int
    due: int
    priority: int
    queue: str
    key: str | None
    state: State = State.WAITING
    attempt: int = 0
    retries: int = 0
    lost: int = 0
    cancel: bool = False
    expires: int | None = None
    finished: int | None = None
    seat: Seat | None = None
    lease: int = 0  # which reserve it was, of all; 0: none holds
    flags: int = 0
    after: str | None = None
    held: bool = False  # its gate has not let it go; stays so if it ends before
    created: int = 0


@dataclass
class Count:
    """One gate as the model keeps it."""

    size: int
    left: int
    failed: int = 0
    members: dict[str, bool | None] = field(default_factory=dict)  # job: whether it succeeded; None: not counted


class UnknownGateError(Exception):
    """What the model says where the store raises ConfigError."""


class DuplicateKeyError(Exception):
    """What the model says where the store raises DuplicateKey."""


@dataclass
class Model:
    """A store of dictionaries. ``now`` is set by whoever drives it."""

    now: int
    entries: dict[str, Entry] = field(default_factory=dict)
    gates: dict[str, Count] = field(default_factory=dict)
    workers: dict[int, int | None] = field(default_factory=dict)  # id -> lease end; None: gone
    reserves: int = 0
    ages: int = 0

    # -- producing -------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job], gates: Sequence[Gate] = ()) -> list[tuple[str, bool]]:
        kept = copy.deepcopy((self.entries, self.gates))
        try:
            answers = [self._enqueue(job) for job in jobs]
            self._attach([job for job, (_, stored) in zip(jobs, answers, strict=True) if stored], gates)
            return answers
        except (DuplicateKeyError, UnknownGateError):
            self.entries, self.gates = kept
            raise

    def _attach(self, jobs: Sequence[Job], gates: Sequence[Gate]) -> None:
        for gate in gates:
            self.gates.setdefault(gate.id, Count(gate.size, gate.size))
        for job in jobs:
            for name in [name for name, _ in job.gates] + ([] if job.after is None else [job.after]):
                if name not in self.gates:
                    raise UnknownGateError(name)
        for job in jobs:
            for name, _ in job.gates:
                self.gates[name].members[job.id] = None
        for name in {job.after for job in jobs if job.after is not None}:
            if name in self.gates and self.gates[name].left == 0:  # the close of another may have deleted it
                self._close(name)

    def _enqueue(self, job: Job) -> tuple[str, bool]:
        if job.id in self.entries:
            return job.id, False
        holder = self.holder(job.key)
        if holder is not None:
            if job.on_conflict == "error":
                raise DuplicateKeyError(job.key)
            if job.on_conflict == "skip":
                return holder.job.id, False
            if holder.state == State.WAITING:
                self._end(holder, State.CANCELLED)
                self.count()
            else:
                holder.key = None
        self.ages += 1
        self.entries[job.id] = Entry(
            job, self.ages, job.due, job.priority, job.queue, job.key, expires=job.expires, flags=job.flags,
            after=job.after, held=job.after is not None, created=self.now,
        )  # fmt: skip
        return job.id, True

    def holder(self, key: str | None) -> Entry | None:
        live = [e for e in self.entries.values() if key is not None and e.key == key and not e.state.final]
        assert len(live) <= 1, "the model lets two live jobs hold a key"
        return live[0] if live else None

    # -- running ---------------------------------------------------------------------------------

    def startable(self, queues: Sequence[str]) -> list[Entry]:
        """What is due and has not expired, in the order to reserve it: the queues take turns."""
        lines = {queue: self._line(queue) for queue in queues}
        order: list[Entry] = []
        while any(lines.values()):
            for queue in queues:
                order += lines[queue][:1]
                del lines[queue][:1]
        return order

    def _line(self, queue: str) -> list[Entry]:
        due = [e for e in self._due((queue,)) if not self._is_expired(e)]
        return sorted(due, key=lambda e: (-e.priority, e.due, e.age))

    def expired(self, queues: Sequence[str]) -> list[Entry]:
        """What is due in these queues and too late to start."""
        return [e for e in self._due(queues) if self._is_expired(e)]

    def _due(self, queues: Sequence[str]) -> list[Entry]:
        waiting = (e for e in self.entries.values() if e.state == State.WAITING and not e.held)
        return [e for e in waiting if e.queue in queues and e.due <= self.now]

    def _is_expired(self, entry: Entry) -> bool:
        return entry.expires is not None and entry.expires <= self.now

    def reserve(self, seat: Seat, entry: Entry) -> None:
        self.reserves += 1
        entry.state, entry.seat, entry.lease = State.RUNNING, seat, self.reserves
        entry.attempt += 1

    def expire(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._end(entry, State.CANCELLED)
        self.count()

    def next_due(self, queues: Sequence[str]) -> int | None:
        waiting = (e for e in self.entries.values() if e.state == State.WAITING and not e.held)
        return min((e.due for e in waiting if e.queue in queues), default=None)

    def settle(self, id: str, lease: int, kind: Kind, due: int, then: Then | None = None) -> bool:
        """One outcome; False if the lease is stale, and then nothing has changed. ``count`` has to follow."""
        entry = self.entries.get(id)
        if entry is None or entry.state != State.RUNNING or entry.lease != lease:
            return False
        if kind <= Kind.UNCERTAIN:
            self._end(entry, State(int(kind)))
        elif kind == Kind.RELEASED:
            self._release(entry)
        elif kind == Kind.REPLACED:
            assert then is not None
            self._replace(entry, then)
        else:
            entry.due = due
            entry.retries += kind == Kind.RETRY
            self._back(entry)
        return True

    def _replace(self, entry: Entry, then: Then) -> None:
        entry.retries = entry.lost = 0
        self._back(entry)
        if entry.state == State.CANCELLED:
            return
        [job] = [job for job in then.jobs if job.id == entry.job.id]
        entry.due, entry.priority, entry.queue, entry.expires = job.due, job.priority, job.queue, job.expires
        entry.flags, entry.after, entry.held, entry.created = job.flags, job.after, job.after is not None, self.now
        others = [job for job in then.jobs if job.id != entry.job.id and self._enqueue(job)[1]]
        self._attach([*others, job], then.gates)

    # -- gates -----------------------------------------------------------------------------------

    def count(self) -> None:
        """Count what has ended and is not counted yet, and go on until nothing more ends."""
        while True:
            closed = []
            for name, gate in self.gates.items():
                for id, counted in gate.members.items():
                    entry = self.entries[id]
                    if counted is None and gate.left and entry.state.final:
                        gate.members[id] = entry.state == State.SUCCEEDED
                        gate.left -= 1
                        gate.failed += entry.state != State.SUCCEEDED
                        if gate.left == 0:
                            closed.append(name)
            if not closed:
                return
            for name in closed:
                self._close(name)

    def _close(self, name: str) -> None:
        failed = self.gates[name].failed > 0
        for entry in [e for e in self.entries.values() if e.after == name and e.held and not e.state.final]:
            if bool(entry.flags & Flag.ON_FAILURE) == failed:
                self._let_go(entry)
            elif failed:
                self._end(entry, State.FAILED)
            else:
                self._drop(entry)
        self.count()

    def _let_go(self, entry: Entry) -> None:
        if entry.flags & Flag.FROM_RELEASE:
            entry.due += self.now - entry.created
            entry.expires = None if entry.expires is None else entry.expires + self.now - entry.created
        entry.due, entry.held = max(entry.due, self.now), False
        entry.flags &= ~Flag.FROM_RELEASE

    def _drop(self, entry: Entry) -> None:
        mine = [name for name, gate in self.gates.items() if entry.job.id in gate.members]
        self._delete(entry.job.id)
        for name in mine:
            for other in [e for e in self.entries.values() if e.after == name and e.held and not e.state.final]:
                self._drop(other)

    def _delete(self, id: str) -> None:
        entry = self.entries.pop(id)
        mine = {name for name, gate in self.gates.items() if id in gate.members} | {entry.after}
        for gate in self.gates.values():
            gate.members.pop(id, None)
        for name in mine:
            if name in self.gates and not self.gates[name].members and not self._at(name):
                del self.gates[name]

    def _at(self, gate: str) -> list[Entry]:
        return [e for e in self.entries.values() if e.after == gate]

    def _take_back(self, id: str) -> None:
        """The end of a member that is to run again counts no longer."""
        for name, gate in self.gates.items():
            if gate.members.get(id) is None or (gate.left == 0 and gate.failed == 0):
                continue
            gate.left += 1
            gate.failed -= gate.members[id] is False
            gate.members[id] = None
            for entry in self._at(name):
                if entry.held and entry.state == State.FAILED:
                    entry.state, entry.finished = State.WAITING, None
                    self._take_back(entry.job.id)

    def needed(self, id: str) -> bool:
        """Whether a job that is held, or was and has not ended, follows this one."""
        gates = [name for name, gate in self.gates.items() if id in gate.members]
        return any(not entry.state.final for name in gates for entry in self._at(name))

    # -- running, the rest -----------------------------------------------------------------------

    def _release(self, entry: Entry) -> None:
        entry.attempt -= 1
        self._back(entry)

    def _back(self, entry: Entry) -> None:
        if entry.cancel:
            self._end(entry, State.CANCELLED)
        else:
            entry.state, entry.seat, entry.lease = State.WAITING, None, 0

    def _end(self, entry: Entry, state: State) -> None:
        entry.state, entry.finished, entry.seat, entry.lease = state, self.now, None, 0

    # -- liveness --------------------------------------------------------------------------------

    def renew(self, worker: int, lease: int) -> bool:
        if self.workers.get(worker) is None:
            return False
        self.workers[worker] = self.now + lease
        return True

    def unregister(self, worker: int) -> None:
        for entry in self._held(worker):
            self._release(entry)
        self.count()
        if worker in self.workers:
            self.workers[worker] = None

    def abandon(self, seat: Seat, started: Sequence[str], max_lost: int) -> set[str]:
        held = [entry for entry in self._held(seat[0]) if entry.seat == seat]
        for entry in held:
            if entry.job.id in started:
                self._lose(entry, max_lost)
            else:
                self._release(entry)
        self.count()
        return {entry.job.id for entry in held}

    def rescue(self, max_lost: int, dead: Sequence[int]) -> set[str]:
        rescued = set()
        for worker, end in self.workers.items():
            if end is not None and (end <= self.now or worker in dead):
                for entry in self._held(worker):
                    self._lose(entry, max_lost)
                    rescued.add(entry.job.id)
                self.workers[worker] = None
        self.count()
        return rescued

    def _held(self, worker: int) -> list[Entry]:
        return [e for e in self.entries.values() if e.seat is not None and e.seat[0] == worker]

    def _lose(self, entry: Entry, max_lost: int) -> None:
        entry.lost += 1
        if entry.cancel:
            self._end(entry, State.CANCELLED)
        elif entry.flags & Flag.AT_MOST_ONCE:  # of what it goes on as, if it was replaced
            self._end(entry, State.UNCERTAIN)
        elif entry.lost >= max_lost:
            self._end(entry, State.FAILED)
        else:
            self._back(entry)

    # -- managing --------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[str]) -> list[Verdict]:
        verdicts = [self._cancel(id) for id in ids]
        self.count()
        return verdicts

    def _cancel(self, id: str) -> Verdict:
        entry = self.entries.get(id)
        if entry is None:
            return "unknown"
        if entry.state == State.WAITING:
            self._end(entry, State.CANCELLED)
            return "prevented"
        if entry.state == State.RUNNING:
            entry.cancel = True
            return "signalled"
        return "too late"

    def move(self, id: str, change: Change) -> Verdict:
        entry = self.entries.get(id)
        if entry is None:
            return "unknown"
        if entry.state != State.WAITING:
            return "too late"
        relative = bool(entry.flags & Flag.FROM_RELEASE)
        if change.due is not None and entry.expires is not None and (entry.expires <= change.due or relative):
            left = entry.expires - entry.due
            entry.expires = change.due + left if left > 0 else None
        if change.due is not None:
            entry.flags &= ~Flag.FROM_RELEASE
        entry.due = entry.due if change.due is None else change.due
        entry.queue = entry.queue if change.queue is None else change.queue
        entry.priority = entry.priority if change.priority is None else change.priority
        return "moved"

    def retry(self, id: str) -> Verdict:
        entry = self.entries.get(id)
        if entry is None:
            return "unknown"
        if not entry.state.final:
            return "too late"
        if entry.held and entry.after in self.gates:
            gate = self.gates[entry.after]
            if gate.left:
                entry.state, entry.cancel, entry.finished = State.WAITING, False, None
                self._take_back(id)
                return "retried"
            if bool(gate.failed) != bool(entry.flags & Flag.ON_FAILURE):
                return "too late"
        if self.holder(entry.key) is not None:
            return "key taken"
        self._take_back(id)
        entry.state, entry.due, entry.retries, entry.lost = State.WAITING, self.now, 0, 0
        entry.cancel, entry.expires, entry.finished, entry.held = False, None, None, False
        return "retried"

    def prune(self, before: int, failed_before: int) -> int:
        limits = {
            State.SUCCEEDED: before,
            State.CANCELLED: before,
            State.FAILED: failed_before,
            State.UNCERTAIN: failed_before,
        }
        old = [id for id, e in self.entries.items() if e.finished is not None and e.finished < limits.get(e.state, 0)]
        return self._delete_all([id for id in old if not self.needed(id)])

    def forget(self, ids: Sequence[str]) -> int:
        ended = [id for id in dict.fromkeys(ids) if id in self.entries and self.entries[id].state.final]
        return self._delete_all([id for id in ended if not self.needed(id)])

    def _delete_all(self, ids: Sequence[str]) -> int:
        for id in ids:
            self._delete(id)
        return len(ids)
