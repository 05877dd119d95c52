"""The store contract as plain dictionaries: what a store must answer, worked out the simple way.

It has no transactions, indexes, threads or disk, and does not try to be quick. ``machine.py`` does the same
to it and to a real store, and compares. What it leaves out: statistics, history, effects, wake-ups, limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from duly.job import Change, Flag, Job, Kind, State, Verdict

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


class DuplicateKeyError(Exception):
    """What the model says where the store raises DuplicateKey."""


@dataclass
class Model:
    """A store of dictionaries. ``now`` is set by whoever drives it."""

    now: int
    entries: dict[str, Entry] = field(default_factory=dict)
    workers: dict[int, int | None] = field(default_factory=dict)  # id -> lease end; None: gone
    reserves: int = 0
    ages: int = 0

    # -- producing -------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job]) -> list[tuple[str, bool]]:
        kept = {id: _copy(entry) for id, entry in self.entries.items()}
        try:
            return [self._enqueue(job) for job in jobs]
        except DuplicateKeyError:
            self.entries = kept
            raise

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
            else:
                holder.key = None
        self.ages += 1
        self.entries[job.id] = Entry(job, self.ages, job.due, job.priority, job.queue, job.key, expires=job.expires)
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
        waiting = (e for e in self.entries.values() if e.state == State.WAITING)
        return [e for e in waiting if e.queue in queues and e.due <= self.now]

    def _is_expired(self, entry: Entry) -> bool:
        return entry.expires is not None and entry.expires <= self.now

    def reserve(self, seat: Seat, entry: Entry) -> None:
        self.reserves += 1
        entry.state, entry.seat, entry.lease = State.RUNNING, seat, self.reserves
        entry.attempt += 1

    def expire(self, entry: Entry) -> None:
        self._end(entry, State.CANCELLED)

    def next_due(self, queues: Sequence[str]) -> int | None:
        waiting = (e.due for e in self.entries.values() if e.state == State.WAITING and e.queue in queues)
        return min(waiting, default=None)

    def settle(self, id: str, lease: int, kind: Kind, due: int) -> bool:
        """One outcome; False if the lease is stale, and then nothing has changed."""
        entry = self.entries.get(id)
        if entry is None or entry.state != State.RUNNING or entry.lease != lease:
            return False
        if kind <= Kind.UNCERTAIN:
            self._end(entry, State(int(kind)))
        elif kind == Kind.RELEASED:
            self._release(entry)
        else:
            entry.due = due
            entry.retries += kind == Kind.RETRY
            self._back(entry)
        return True

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
        if worker in self.workers:
            self.workers[worker] = None

    def abandon(self, seat: Seat, started: Sequence[str], max_lost: int) -> set[str]:
        held = [entry for entry in self._held(seat[0]) if entry.seat == seat]
        for entry in held:
            if entry.job.id in started:
                self._lose(entry, max_lost)
            else:
                self._release(entry)
        return {entry.job.id for entry in held}

    def rescue(self, max_lost: int, dead: Sequence[int]) -> set[str]:
        rescued = set()
        for worker, end in self.workers.items():
            if end is not None and (end <= self.now or worker in dead):
                for entry in self._held(worker):
                    self._lose(entry, max_lost)
                    rescued.add(entry.job.id)
                self.workers[worker] = None
        return rescued

    def _held(self, worker: int) -> list[Entry]:
        return [e for e in self.entries.values() if e.seat is not None and e.seat[0] == worker]

    def _lose(self, entry: Entry, max_lost: int) -> None:
        entry.lost += 1
        if entry.cancel:
            self._end(entry, State.CANCELLED)
        elif entry.job.flags & Flag.AT_MOST_ONCE:
            self._end(entry, State.UNCERTAIN)
        elif entry.lost >= max_lost:
            self._end(entry, State.FAILED)
        else:
            self._back(entry)

    # -- managing --------------------------------------------------------------------------------

    def cancel(self, id: str) -> Verdict:
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
        if change.due is not None and entry.expires is not None and entry.expires <= change.due:
            left = entry.expires - entry.due
            entry.expires = change.due + left if left > 0 else None
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
        if self.holder(entry.key) is not None:
            return "key taken"
        entry.state, entry.due, entry.retries, entry.lost = State.WAITING, self.now, 0, 0
        entry.cancel, entry.expires, entry.finished = False, None, None
        return "retried"

    def prune(self, before: int, failed_before: int) -> int:
        limits = {
            State.SUCCEEDED: before,
            State.CANCELLED: before,
            State.FAILED: failed_before,
            State.UNCERTAIN: failed_before,
        }
        old = [id for id, e in self.entries.items() if e.finished is not None and e.finished < limits.get(e.state, 0)]
        for id in old:
            del self.entries[id]
        return len(old)


def _copy(entry: Entry) -> Entry:
    return Entry(**vars(entry))
