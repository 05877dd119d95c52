"""The store contract on a database that speaks SQL: what all of them have in common.

Each of the other modules here has the functions of one part of the contract, over an open transaction; their
statements are in the ``statements.sql`` of each database's package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from duly.clock import MICROS
from duly.errors import StaleLease
from duly.job import (
    COUNT_CAP,
    Advance,
    Answer,
    Attempt,
    Cancel,
    Change,
    Enqueued,
    Exchange,
    Filter,
    Flag,
    Gate,
    GateView,
    Job,
    JobView,
    Kind,
    Lease,
    Limit,
    Occurrence,
    Outcome,
    Page,
    QueueCount,
    Renewal,
    Rescued,
    Result,
    Schedule,
    WorkerInfo,
)  # fmt: skip
from duly.messages import Action, Control, Finding, Lane, OnLate, Reply, Rollup, Synced, TimeLimit
from duly.store.contract import WAKE_AHEAD, Channel, Listener, Order
from duly.store.sql import (
    lanes,
    liveness,
    looking,
    managing,
    messaging,
    recurring,
    rules,
    running,
    storing,
    syncing,
)  # fmt: skip
from duly.store.sql.db import Database, Db
from duly.store.sql.gates import Closed
from duly.store.sql.moving import Moves, check_open
from duly.store.sql.rows import job_row

_MINUTE = 60 * MICROS

_LANES = ("lanes",)  # what a reserve reads of limits is what it changes, and so is what an end lets go
_RULES = ("rules",)
_SCHEDULES = ("schedules",)


class _NeedsDisk(Exception):
    """A transaction has to be made again as one that waits for the disk."""


class SqlStore(ABC):
    """The store contract over ``write``, ``read`` and ``peek`` of a database. See ``contract.Store``.

    A subclass says how the database is reached, and what it can do better than statement by statement.
    """

    url: str
    durability: str
    capabilities: frozenset[str]

    def __init__(self, url: str, db: Database) -> None:
        self.url = url
        self._db = db
        self._rules = rules.NO_RULES

    @abstractmethod
    def now(self) -> int: ...

    @abstractmethod
    def listen(self, channel: Channel) -> Listener: ...

    @abstractmethod
    def notify(self, channel: Channel) -> None: ...

    @abstractmethod
    def examine(self) -> list[Finding]: ...

    @abstractmethod
    def migrate(self) -> list[int]: ...

    @abstractmethod
    def close(self) -> None: ...

    # -- producing -------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job], gates: Sequence[Gate] = ()) -> list[Enqueued]:
        if not jobs and not gates:
            return []
        now = self.now()
        answers = self._db.write(
            lambda db: storing.enqueue(db, jobs, gates, now), durable=False, locks=storing.locks(jobs)
        )
        self._wake_workers(min((job.due for job in jobs), default=now), now)
        self._db.sync()  # workers may begin meanwhile; the caller is told when nothing can be forgotten any more
        if any(job.key is not None and job.on_conflict == "replace" for job in jobs):
            self.notify("results")  # somebody may wait for the one that was replaced
        return answers

    # -- running: the hot path -------------------------------------------------------------------

    def exchange(
        self,
        worker: int,
        slot: int,
        outcomes: Sequence[Outcome],
        want: int,
        queues: Sequence[str],
        expect: bool = False,
    ) -> Exchange:
        now = self.now()
        if not outcomes and not (expect and want > 0):
            due = self.next_due(queues)  # an idle worker looks without taking the write lock from anybody
            if want <= 0 or due is None or due > now:
                return Exchange([], [])
        # A reserve that is undone by a loss of power leaves a job waiting, as a rescue would: no need for the disk.
        try:
            got, refused, closed = self._settle_and_reserve(worker, slot, outcomes, want, queues, bool(outcomes))
        except _NeedsDisk:
            got, refused, closed = self._settle_and_reserve(worker, slot, outcomes, want, queues, True)
        self._wake_after(outcomes, got.expired, closed, now)
        return Exchange(got.leases, refused, got.more)

    def _settle_and_reserve(
        self,
        worker: int,
        slot: int,
        outcomes: Sequence[Outcome],
        want: int,
        queues: Sequence[str],
        durable: bool,
    ) -> tuple[running.Reserved, list[Outcome], Closed]:
        """Raises _NeedsDisk, and changes nothing, if a job came that nobody may forget to have been started."""

        def work(db: Db) -> tuple[running.Reserved, list[Outcome], Closed]:
            now = self.now()  # here and not before: the lock may have been long in coming, and jobs expire
            in_force = self._current_rules(db)
            refused: list[Outcome] = []
            closed = Closed()
            if outcomes:
                refused, closed = running.settle(db, in_force, worker, slot, outcomes, now)
            got = running.reserve(db, in_force, worker, slot, want, queues, now) if want > 0 else running.NOTHING
            if not durable and any(lease.flags & Flag.AT_MOST_ONCE for lease in got.leases):
                raise _NeedsDisk
            return got, refused, closed

        return self._db.write(work, durable, locks=_LANES)

    def next_due(self, queues: Sequence[str]) -> int | None:
        return self._db.peek(lambda db: running.next_due(db, self._current_rules(db), queues))

    def save_progress(self, lease: Lease, progress: bytes) -> bool:
        values = (progress, lease.ref, lease.token)
        return self._db.write(lambda db: bool(db.run("set_progress", values).rowcount == 1), durable=False)

    def save_log(self, lease: Lease, log: bytes) -> bool:
        values = (log, lease.ref, lease.token)
        return self._db.write(lambda db: bool(db.run("set_log", values).rowcount == 1), durable=False)

    def load_effect(self, lease: Lease, key: str) -> bytes | None:
        row = self._db.peek(lambda db: db.run("get_effect", (lease.ref, lease.id, key)).fetchone())
        return None if row is None else bytes(row[0])

    def save_effect(self, lease: Lease, key: str, value: bytes) -> None:
        def record(db: Db) -> None:
            if db.run("record_effect", (key, value, lease.ref, lease.token)).rowcount == 1:
                return
            if not db.run("holds", (lease.ref, lease.token)).fetchone():
                raise StaleLease(
                    f"job {lease.id}: attempt {lease.attempt} lost its lease; effect {key!r} not recorded"
                )

        self._db.write(record, durable=False)
        self._db.sync()  # as an enqueue: outside of the lock, and shared

    # -- liveness --------------------------------------------------------------------------------

    def register(self, worker: WorkerInfo, lease: int) -> int:
        now = self.now()
        expires = now + lease
        info = msgspec.json.encode(msgspec.structs.replace(worker, started=worker.started or now, expires=expires))
        row = (worker.name, worker.host, expires, info)
        return self._db.write(lambda db: int(db.run("register", row).fetchone()[0]))

    def renew(self, worker: int, lease: int) -> Renewal:
        def work(db: Db) -> Renewal:
            if db.run("renew", (self.now() + lease, worker)).rowcount == 0:
                return Renewal(False, [])
            asked = db.run("cancels", (worker,)).fetchall()
            return Renewal(True, [Cancel(id, slot, token, cancel > 1) for id, slot, token, cancel in asked])

        return self._db.write(work, durable=False)

    def unregister(self, worker: int) -> None:
        self._db.write(lambda db: liveness.leave(db, worker, self.now()), locks=_LANES)
        self.notify("work")

    def abandon(self, worker: int, slot: int, started: Sequence[str], error: bytes, max_lost: int) -> list[Rescued]:
        rescued = self._db.write(
            lambda db: liveness.abandon(db, worker, slot, set(started), error, max_lost, self.now()), locks=_LANES
        )
        return self._announce(rescued)

    def rescue(self, max_lost: int, dead: Sequence[int] = (), lapsed: bool = True) -> list[Rescued]:
        now = self.now()
        before = now if lapsed else -1  # no lease expires before 1970
        if not dead and not self._db.read(lambda db: liveness.any_lapsed(db, before)):
            return []
        rescued = self._db.write(lambda db: liveness.rescue(db, max_lost, dead, before, now), locks=_LANES)
        return self._announce(rescued)

    def workers(self) -> list[WorkerInfo]:
        rows = self._db.read(lambda db: db.run("workers").fetchall())
        return [
            msgspec.structs.replace(liveness.worker_info(info), id=id, expires=expires) for id, expires, info in rows
        ]

    def update_worker(self, worker: int, queues: Sequence[str], slots: int) -> None:
        self._db.write(lambda db: messaging.update_worker(db, worker, queues, slots))

    # -- managing --------------------------------------------------------------------------------

    def cancel(self, which: Filter, terminate: bool = False) -> list[Answer]:
        now = self.now()
        answers, closed = self._db.write(lambda db: managing.cancel(db, which, terminate, now))
        if any(answer.verdict == "signalled" for answer in answers):
            self.notify("control")
        if closed.released is not None:
            self._wake_workers(closed.released, now)
        self.notify("results")
        return answers

    def move(self, which: Filter, change: Change) -> list[Answer]:
        answers = self._db.write(lambda db: managing.move(db, which, change, self.now()))
        self.notify("work")
        return answers

    def retry(self, which: Filter) -> list[Answer]:
        def work(db: Db) -> list[Answer]:
            check_open(db)
            return managing.retry(db, which, self.now())

        answers = self._db.write(work)
        self.notify("work")
        return answers

    def forget(self, ids: Sequence[str]) -> int:
        return self._db.write(lambda db: managing.forget(db, ids, self.now()))

    def prune(self, before: int, failed_before: int, limit: int) -> int:
        return self._db.write(lambda db: managing.prune(db, before, failed_before, limit))

    def sync(self, namespace: str, jobs: Sequence[Job], late: OnLate = "run") -> list[Synced]:
        now = self.now()

        def work(db: Db) -> list[Synced]:
            check_open(db)

            def insert(job: Job) -> None:
                db.run("insert", job_row(msgspec.structs.replace(job, key=None), now))

            return syncing.sync(db, namespace, jobs, late, now, insert)

        answers = self._db.write(work, locks=[f"sync:{namespace}"])
        verdicts = {answer.verdict for answer in answers}
        if verdicts & {"created", "moved", "edited"}:
            self._wake_workers(min(job.due for job in jobs), now)
        if "cancelled" in verdicts:
            self.notify("results")
        return answers

    # -- messages --------------------------------------------------------------------------------

    def unanswered(self, limit: int) -> list[JobView]:
        return self._db.read(lambda db: looking.unanswered(db, limit))

    def answered(self, jobs: Sequence[JobView]) -> None:
        self._db.write(lambda db: db.run_many("answered", [(job.id, job.finished) for job in jobs]), durable=False)

    def send_control(self, workers: Sequence[int], method: str, args: bytes, ttl: int) -> list[int]:
        now = self.now()
        ids = self._db.write(lambda db: messaging.send(db, workers, method, args, now + ttl, now))
        self.notify("control")
        return ids

    def controls(self, worker: int) -> list[Control]:
        return self._db.read(lambda db: messaging.unanswered(db, worker, self.now()))

    def answer_control(self, id: int, reply: bytes) -> None:
        self._db.write(lambda db: db.run("answer", (reply, id)))
        self.notify("replies")

    def control_replies(self, ids: Sequence[int]) -> list[Reply]:
        return self._db.read(lambda db: messaging.replies(db, ids))

    # -- the audit trail -------------------------------------------------------------------------

    def record_action(self, action: Action) -> int:
        return self._db.write(lambda db: messaging.record_action(db, action))

    def actions(self, before: int | None = None, limit: int = 100) -> list[Action]:
        return self._db.read(lambda db: messaging.actions(db, before, limit))

    # -- limits and pauses -----------------------------------------------------------------------

    def set_limit(self, limit: Limit) -> None:
        self._db.write(lambda db: rules.set_limit(db, limit), locks=_RULES)
        self.notify("work")

    def unset_limit(self, scope: str, name: str) -> bool:
        gone = self._db.write(lambda db: rules.unset_limit(db, scope, name), locks=_RULES)
        self.notify("work")
        return gone

    def declare_limits(self, tasks: Sequence[str], limits: Sequence[Limit]) -> None:
        self._db.write(lambda db: rules.declare(db, tasks, limits), locks=_RULES)

    def limits(self) -> list[Limit]:
        return self._db.read(lambda db: list(self._current_rules(db).limits.values()))

    def pause(self, queue: str) -> None:
        self._db.write(lambda db: rules.pause(db, queue, self.now()), locks=_RULES)

    def resume(self, queue: str) -> bool:
        was_paused = self._db.write(lambda db: rules.resume(db, queue), locks=_RULES)
        self.notify("work")
        return was_paused

    def paused(self) -> dict[str, int]:
        return self._db.read(lambda db: dict(self._current_rules(db).paused))

    def set_time_limit(self, limit: TimeLimit) -> None:
        self._db.write(lambda db: messaging.set_time_limit(db, limit))
        self.notify("control")

    def time_limits(self) -> list[TimeLimit]:
        return self._db.read(lambda db: messaging.time_limits(db))

    def _current_rules(self, db: Db) -> rules.Rules:
        self._rules = rules.current(db, self._rules)
        return self._rules

    # -- recurring work --------------------------------------------------------------------------

    def declare_schedules(self, owner: str, schedules: Sequence[Schedule]) -> None:
        self._db.write(lambda db: recurring.declare(db, owner, schedules, self.now()), locks=_SCHEDULES)

    def put_schedule(self, schedule: Schedule) -> None:
        one = msgspec.structs.replace(schedule, owner=None)
        self._db.write(lambda db: recurring.put(db, one, self.now()), locks=_SCHEDULES)

    def remove_schedule(self, name: str) -> bool:
        return self._db.write(lambda db: recurring.remove(db, name, self.now()), locks=_SCHEDULES)

    def pause_schedule(self, name: str) -> bool:
        return self._db.write(lambda db: recurring.pause(db, name, self.now()), locks=_SCHEDULES)

    def resume_schedule(self, seen: Schedule, next: int | None) -> bool:  # noqa: A002 - the field's name
        return self._db.write(lambda db: recurring.resume(db, seen, next), locks=_SCHEDULES)

    def schedules(self, names: Sequence[str] | None = None) -> list[Schedule]:
        return self._db.read(lambda db: recurring.schedules(db, names))

    def due_schedules(self, until: int) -> list[Schedule]:
        return self._db.read(lambda db: [] if self._current_rules(db).moving else recurring.due(db, until))

    def next_schedule(self) -> int | None:
        def earliest(db: Db) -> int | None:
            return None if self._current_rules(db).moving else recurring.earliest(db)

        return self._db.read(earliest)

    def occur(self, advances: Sequence[Advance]) -> list[int | None]:
        now = self.now()
        stored = self._db.write(lambda db: [recurring.advance(db, one, now) for one in advances], locks=_SCHEDULES)
        dues = [job.due for one, n in zip(advances, stored, strict=True) if n for _, job in one.jobs]
        if dues:
            self._wake_workers(min(dues), now)
        return stored

    def occurrences(self, name: str, limit: int = 100) -> list[Occurrence]:
        rows = self._db.read(lambda db: db.run("occurrences", (name, limit)).fetchall())
        return [Occurrence(schedule=s, nominal=n, job=j, made=m) for s, n, j, m in rows]

    # -- moving ----------------------------------------------------------------------------------

    @property
    def moves(self) -> Moves:
        return Moves(self._db, self.now, lambda: self.notify("work"))

    # -- looking ---------------------------------------------------------------------------------

    def jobs(self, which: Filter, order: Order = "newest", after: str | None = None, limit: int = 100) -> Page:
        return self._db.read(lambda db: looking.page(db, which, order, after, limit, self.now()))

    def attempts(self, job: str) -> list[Attempt]:
        return self._db.read(lambda db: looking.attempts(db, job))

    def effects(self, job: str) -> list[tuple[str, bytes]]:
        return self._db.read(lambda db: looking.effects(db, job))

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        return self._db.read(lambda db: looking.results(db, ids))

    def members(self, gate: str) -> list[Result]:
        return self._db.read(lambda db: looking.members(db, gate))

    def gates(self, ids: Sequence[str]) -> list[GateView | None]:
        return self._db.read(lambda db: looking.gates(db, ids))

    def counts(self) -> list[QueueCount]:
        return self._db.read(lambda db: looking.counts(db, self.now()))

    def due_counts(self, edges: Sequence[int], cap: int = COUNT_CAP) -> dict[str, list[int]]:
        return self._db.read(lambda db: looking.due_counts(db, edges, cap))

    def lanes_of(self, job: str) -> list[Lane]:
        return self._db.read(lambda db: messaging.lanes_of(db, self._current_rules(db), job, self.now()))

    def ahead(self, job: str) -> int:
        return self._db.read(lambda db: messaging.ahead(db, job, self.now()))

    def rollups(self, since: int, until: int) -> list[Rollup]:
        return self._db.read(lambda db: looking.rollups(db, since // _MINUTE, -(-until // _MINUTE)))

    # -- waiting ---------------------------------------------------------------------------------

    def maintain(self) -> None:
        now = self.now()
        latest = now + lanes.longest(self._db.read(self._current_rules))
        if self._db.read(lambda db: lanes.is_untidy(db, now, latest)):
            if self._db.write(lambda db: lanes.tidy(db, now, latest)):
                self.notify("results")
            self.notify("work")

    def _wake_workers(self, due: int, now: int) -> None:
        if due <= now + WAKE_AHEAD:
            self.notify("work")

    def _wake_after(self, outcomes: Sequence[Outcome], expired: bool, closed: Closed, now: int) -> None:
        """Callers who wait for results, and workers if something went back to the queue or was let go."""
        if outcomes or expired:
            self.notify("results")
            back = [lease_due for o in outcomes if (lease_due := due_again(o)) is not None]
            if closed.released is not None:
                back.append(closed.released)
            if back:
                self._wake_workers(min(back), now)

    def _announce(self, rescued: list[Rescued]) -> list[Rescued]:
        if rescued:
            self.notify("work")
            self.notify("results")
        return rescued


def due_again(outcome: Outcome) -> int | None:
    """When a job that was given back is due; None for one that ended."""
    if outcome.kind in (Kind.RETRY, Kind.POSTPONED):
        return outcome.due
    if outcome.then is not None:
        return min((job.due for job in outcome.then.jobs), default=None)
    return outcome.lease.due if outcome.kind == Kind.RELEASED else None
