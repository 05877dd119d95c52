"""What every store promises. The conformance suite in ``duly.testing`` is this page as tests.

A store holds every job from enqueue to outcome; nobody holds a job in memory to wait for its time.

Promises
    1. *Acknowledged means kept.* When a call returns, what it wrote survives the death of the caller;
       what it survives beyond that (power, disk) is the store's ``durability`` line.
    2. *One live lease.* A job is reserved by at most one seat. Its lease ends when an outcome is settled,
       when the seat is abandoned, or when its worker's lease has lapsed and somebody rescues it.
    3. *Fenced.* Every write about a running job carries the token of the attempt and changes nothing
       when another attempt has been made since. The caller is told.
    4. *Never early.* No job is reserved before its due, on the store's own clock.
    5. *Atomic.* A call happens as a whole or not at all.
    6. *Batched.* A call is one transaction or one round trip, whatever the length of its lists.

Instants are integers, microseconds UTC, on the store's clock. Errors are ``duly.errors.StoreError``;
a call that raised one may be repeated: ``enqueue`` is idempotent by job id, everything else by token.

A store may be used from any thread, and after a fork (each process gets a connection of its own).

Gates
    A job with ``gates`` is a member of them, a job with ``after`` is *held* there: it is waiting, but is not
    reserved and not in ``next_due`` or ``counts``. Whatever ends a member (settle, cancel, expiry, a worker's death,
    another job with its key) counts its end in the same transaction, once: ``left`` goes down, and unless it
    succeeded ``failed`` goes up. RETRY, RELEASED, POSTPONED, REPLACED and a rescue to waiting are no ends. A gate
    without members left closes its count:

    - none failed: it opens. Held jobs are released; those with ON_FAILURE are deleted, and so is what is held at
      gates that the deleted ones are members of.
    - some failed: held jobs end FAILED, never started, with the error of the first failed member (a JobError if it
      has none), and count in their own gates; those with ON_FAILURE are released.

    *Released*: due now, or at its due if that is later; FROM_RELEASE shifts due and expires by the time since it was
    stored. A call that ends several jobs ends all of them before it counts. A job that is stored when its gate has
    closed already goes the way of those that were held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from duly.job import (
    COUNT_CAP,
    Advance,
    Answer,
    Attempt,
    Change,
    Enqueued,
    Exchange,
    Filter,
    Gate,
    GateView,
    Job,
    JobView,
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
)
from duly.messages import Action, Control, Finding, Lane, OnLate, Reply, Rollup, Synced, TimeLimit

Channel = Literal["work", "results", "control", "replies"]
"""What a listener waits for: jobs to run, jobs that ended, something for the supervisors, their replies."""

Order = Literal["newest", "due"]

CAPABILITIES = {
    "transactions": "a job can be stored in the caller's own transaction of the same database (Joining, Task.using)",
}
"""What some stores can do and others cannot, by its nature. Who needs one asks ``Store.capabilities``;
``duly doctor`` names them; tests that need one are skipped by its name."""


WAKE_AHEAD = 2_000_000
"""µs. A job due further ahead than this needs no wake-up, because whoever waits for work looks at least
as often by itself, and so finds it before it is due."""


class Listener(Protocol):
    """A place where wake-ups arrive. A wake-up is a hint: it may be lost, or be for nothing."""

    def wait(self, timeout: float) -> bool:
        """Block until a wake-up or for ``timeout`` seconds; True if one came. Earlier ones count."""
        ...

    def poke(self) -> None:
        """Wake whoever waits here. Safe from any thread and from a signal handler."""
        ...

    def fileno(self) -> int:
        """Readable when a wake-up is there; for select() and event loops. ``wait(0)`` takes it."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """The store contract. See the module's text for what holds of every method."""

    url: str
    capabilities: frozenset[str]  # what it can do beyond this page, by name; see CAPABILITIES

    @property
    def durability(self) -> str:
        """One sentence for people: what survives a loss of power. May have to ask a server."""
        ...

    def now(self) -> int:
        """The store's clock."""
        ...

    # -- producing -------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job], gates: Sequence[Gate] = ()) -> list[Enqueued]:
        """Store jobs, in order, and gates; one answer for each job.

        A gate whose id is already there is left as it is. Raises ConfigError, and stores nothing, if a job names a
        gate that is neither there nor in ``gates``.

        A job whose id is already there is not stored again. A job whose key a live job holds follows
        its ``on_conflict``: *skip* leaves the holder; *replace* puts the new job in a waiting holder's
        place (the holder ends cancelled), while a running holder goes on and hands over the key;
        *error* raises DuplicateKey, and then none of ``jobs`` is stored.
        """
        ...

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
        """Settle ``outcomes`` and reserve up to ``want`` due jobs for seat (worker, slot).

        The queues take turns in the order given, a job each; one named twice has two turns in each round; one with
        nothing due is passed over. Within a queue jobs come by priority (9 first), then due, then age. A job found
        expired ends cancelled instead. Statistics are written in the same transaction. A worker whose lease was
        given away reserves nothing (and its outcomes are refused by their tokens). A RETRY of a job
        that was asked to cancel ends cancelled, and so does a REPLACED. A job whose RETRY has ``args`` is called with
        these from then on; its limit key stays.

        REPLACED: the row takes the task, arguments, queue, priority, due, expiry, headers, options, flags, limit key
        and ``after`` of the job of the same id in ``then``, and waits with retries and losses forgotten; id and
        memberships stay, those of that job are added. ``then`` is stored with an accepted outcome as by
        :meth:`enqueue`; when the job ends cancelled instead, it is not.

        An idle worker that merely looks takes no lock to find nothing; with ``expect`` it does, because it has
        reason to think that something is due, and a look beforehand would only make the job later.
        """
        ...

    def next_due(self, queues: Sequence[str]) -> int | None:
        """The earliest due of the waiting jobs in ``queues``; it may lie in the past."""
        ...

    def save_progress(self, lease: Lease, progress: bytes) -> bool:
        """Note how far a running job is; False if the lease is stale."""
        ...

    def save_log(self, lease: Lease, log: bytes) -> bool:
        """Note what a running attempt has logged so far, in place of what was noted before; False if the lease is
        stale. Its outcome's log takes its place; of an attempt that is lost it stays."""
        ...

    def load_effect(self, lease: Lease, key: str) -> bytes | None:
        """The recorded value of a step of this job, from this or an earlier attempt."""
        ...

    def save_effect(self, lease: Lease, key: str, value: bytes) -> None:
        """Record a step's value. Raises StaleLease. The first value recorded stays."""
        ...

    # -- liveness --------------------------------------------------------------------------------

    def register(self, worker: WorkerInfo, lease: int) -> int:
        """A new worker incarnation, alive for ``lease`` µs; gives its id, never used before."""
        ...

    def renew(self, worker: int, lease: int) -> Renewal:
        """The heartbeat: one row, whatever the worker runs. A lapsed worker that nobody has rescued
        yet lives on."""
        ...

    def unregister(self, worker: int) -> None:
        """Leave properly. Jobs it still holds are released."""
        ...

    def abandon(self, worker: int, slot: int, started: Sequence[str], error: bytes, max_lost: int) -> list[Rescued]:
        """An executor died; its supervisor gives back its seat's jobs at once.

        Jobs named in ``started`` were running and count as lost (as in :meth:`rescue`, with ``error``
        as the reason); the others are released.
        """
        ...

    def rescue(self, max_lost: int, dead: Sequence[int] = (), lapsed: bool = True) -> list[Rescued]:
        """Give back the jobs of workers whose lease has lapsed (at ``expires``; unless ``lapsed`` is False), and of
        the ``dead`` ones named.

        A job becomes waiting again, due at its old due, unless: it was asked to cancel (cancelled), is
        at-most-once (uncertain), or this is loss number ``max_lost`` (failed, WorkerLost).
        """
        ...

    def workers(self) -> list[WorkerInfo]:
        """Every registered worker, lapsed ones too, newest first."""
        ...

    def update_worker(self, worker: int, queues: Sequence[str], slots: int) -> None:
        """A living worker serves other queues, or runs more or fewer jobs at once, than it registered with."""
        ...

    # -- managing --------------------------------------------------------------------------------

    def cancel(self, which: Filter, terminate: bool = False) -> list[Answer]:
        """Waiting jobs end cancelled (*prevented*); running ones are asked to stop (*signalled*).

        Durable with every worker down: a job that was asked to cancel is never given back or retried.
        """
        ...

    def move(self, which: Filter, change: Change) -> list[Answer]:
        """Change waiting jobs. One that is moved to its expiry or beyond has as long to start then as it had before;
        one that had no time left has no expiry any more. A held one stays held; a due that is given counts from the
        release no longer, and the expiry goes along with it."""
        ...

    def retry(self, which: Filter) -> list[Answer]:
        """Put finished jobs back to waiting, due now, retries and losses forgotten, history kept.

        The end of a member that is retried counts no longer, unless the gate has opened, where the new run counts
        nowhere. Of a gate that had failed, those that it failed are held again, and so on downstream; what it
        released or deleted stays so. A job that ended before its gate had let it go is held again while the gate
        counts; if the gate has closed the other way it is *too late*: retry the member that failed.
        """
        ...

    def forget(self, ids: Sequence[str]) -> int:
        """Delete finished jobs with their history, but no members of a gate at which a job is held, or from which one
        was released that has not ended; gives how many. A gate goes with the last of its jobs."""
        ...

    def prune(self, before: int, failed_before: int, limit: int) -> int:
        """Delete at most ``limit`` old records: succeeded and cancelled jobs that finished before
        ``before``, failed and uncertain ones before ``failed_before``, workers that left, old rollups and lines of
        the audit trail; gives how many jobs went."""
        ...

    def sync(self, namespace: str, jobs: Sequence[Job], late: OnLate = "run") -> list[Synced]:
        """Make the waiting jobs of ``namespace`` what ``jobs`` says, each under its ``key``, unique among them.

        One transaction, so two at once happen one after the other. A waiting job is compared and changed (once it
        has run, its due and expiry only when another due is wanted than before); a running one is left to run; a
        finished one is left, unless another due than before is wanted and lies ahead: then there is a new job.
        What was wanted before, waits, and is not among ``jobs`` is cancelled and forgotten. A job whose due has
        passed and that was never stored is stored all the same, or with ``late="skip"`` not; an expired one never
        is. The keys are those of ``namespace`` alone: they say nothing about ``Job.key`` of other jobs, and the
        stored jobs hold no key.
        """
        ...

    # -- messages --------------------------------------------------------------------------------

    def unanswered(self, limit: int) -> list[JobView]:
        """Jobs with Flag.ANSWER that have ended and are not ``answered``; those that ended first."""
        ...

    def answered(self, jobs: Sequence[JobView]) -> None:
        """The end of these jobs, as it was read, was told; a retry by hand takes that back."""
        ...

    def send_control(self, workers: Sequence[int], method: str, args: bytes, ttl: int) -> list[int]:
        """Leave a message for each of these incarnations, to be obeyed within ``ttl`` µs; gives their ids."""
        ...

    def controls(self, worker: int) -> list[Control]:
        """The messages that wait for this worker, oldest first."""
        ...

    def answer_control(self, id: int, reply: bytes) -> None:
        """Answer a message with JSON. It was obeyed, or refused; the first answer stays."""
        ...

    def control_replies(self, ids: Sequence[int]) -> list[Reply]:
        """What was answered to these messages so far; kept for an hour after they expired."""
        ...

    # -- the audit trail -------------------------------------------------------------------------

    def record_action(self, action: Action) -> int:
        """Add a line to the audit trail, or put it in the place of the line of its ``id``; gives the id."""
        ...

    def actions(self, before: int | None = None, limit: int = 100) -> list[Action]:
        """The audit trail, newest first; those with an id less than ``before``."""
        ...

    # -- limits and pauses -----------------------------------------------------------------------

    def set_limit(self, limit: Limit) -> None:
        """Put a limit in force for every worker, from the next reserve on."""
        ...

    def unset_limit(self, scope: str, name: str) -> bool:
        """Take away a limit that was set by hand (a declared one shows again); False if there is none."""
        ...

    def declare_limits(self, tasks: Sequence[str], limits: Sequence[Limit]) -> None:
        """What an app's code says of its ``tasks``, in place of what it said before."""
        ...

    def limits(self) -> list[Limit]:
        """The limits in force."""
        ...

    def pause(self, queue: str) -> None:
        """Start nothing from this queue until it is resumed; running jobs go on."""
        ...

    def resume(self, queue: str) -> bool:
        """End a pause; False if there was none."""
        ...

    def paused(self) -> dict[str, int]:
        """The paused queues by name, and since when, in µs."""
        ...

    def set_time_limit(self, limit: TimeLimit) -> None:
        """Put a task's time limits in force for jobs that start from now on, in place of what was set before."""
        ...

    def time_limits(self) -> list[TimeLimit]:
        """The time limits that were set at run time."""
        ...

    # -- recurring work --------------------------------------------------------------------------

    def declare_schedules(self, owner: str, schedules: Sequence[Schedule]) -> None:
        """What an app's code says, in place of what it said before; schedules of others stay as they are.

        An unchanged one keeps its ``next``, so that a worker that was down for a while finds what it missed.
        A changed one is treated as by :meth:`put_schedule`, one that is declared no longer as by
        :meth:`remove_schedule`. A pause outlives a change. Raises ConfigError, and changes nothing, if a name is
        taken by somebody else.
        """
        ...

    def put_schedule(self, schedule: Schedule) -> None:
        """Store a schedule by hand, new or in place of one of this name.

        In a change the jobs of occurrences that are still ahead are withdrawn (they end cancelled), to be made anew.
        ``next`` is as given if the rule is another one; else it goes back to the first one withdrawn, and what was
        missed stays missed. Raises ConfigError if an app's code declares this name.
        """
        ...

    def remove_schedule(self, name: str) -> bool:
        """Take a schedule away; occurrences that have not started end cancelled. False if there is none.

        Raises ConfigError if an app's code declares it.
        """
        ...

    def pause_schedule(self, name: str) -> bool:
        """Make no more occurrences; those still ahead are withdrawn. False if there is no such schedule."""
        ...

    def resume_schedule(self, seen: Schedule, next: int | None) -> bool:  # noqa: A002 - the field's name
        """End a pause, going on with ``next``. False if the schedule has changed since it was ``seen``."""
        ...

    def schedules(self, names: Sequence[str] | None = None) -> list[Schedule]:
        """All schedules, or those of these names, by name."""
        ...

    def due_schedules(self, until: int) -> list[Schedule]:
        """The schedules whose ``next`` is not after ``until`` and that are not paused, earliest first."""
        ...

    def next_schedule(self) -> int | None:
        """The earliest ``next`` of the schedules that are not paused."""
        ...

    def occur(self, advances: Sequence[Advance]) -> list[int | None]:
        """Take schedules forward: store the jobs of occurrences that have none, and set ``next``.

        For each the number of jobs stored; None, and nothing is changed, if the schedule is no longer as it was
        seen. So whoever else does the same at the same time, an occurrence is made once.
        """
        ...

    def occurrences(self, name: str, limit: int = 100) -> list[Occurrence]:
        """What a schedule made, newest first. An occurrence is kept as long as its job."""
        ...

    # -- looking ---------------------------------------------------------------------------------

    def jobs(self, which: Filter, order: Order = "newest", after: str | None = None, limit: int = 100) -> Page:
        """A page of jobs. ``after`` is the last page's ``after``; pages skip and repeat nothing."""
        ...

    def attempts(self, job: str) -> list[Attempt]:
        """The job's history, oldest first, the running or last attempt included."""
        ...

    def effects(self, job: str) -> list[tuple[str, bytes]]:
        """The steps this job has recorded, by key, with their values; empty for an unknown one."""
        ...

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        """What became of these jobs; None for an unknown one."""
        ...

    def members(self, gate: str) -> list[Result]:
        """What became of the members of a gate, by index; those that are in the store."""
        ...

    def gates(self, ids: Sequence[str]) -> list[GateView | None]:
        """How these gates stand; None for an unknown one."""
        ...

    def counts(self) -> list[QueueCount]:
        """Every queue with live jobs."""
        ...

    def due_counts(self, edges: Sequence[int], cap: int = COUNT_CAP) -> dict[str, list[int]]:
        """For each queue how many waiting jobs are due in each span, from one edge (inclusive) to the next.

        Each number stops at ``cap``. The edges grow. Queues with nothing due in any span, and jobs that a limit
        holds back (they are due already), are left out. Bounded work: a timeline asks with 100 edges.
        """
        ...

    def lanes_of(self, job: str) -> list[Lane]:
        """The limits that this job has to pass, and how they stand; empty for an unknown one."""
        ...

    def ahead(self, job: str) -> int:
        """How many due jobs of its queue come before this one, up to COUNT_CAP, those under a limit left out."""
        ...

    def examine(self) -> list[Finding]:
        """What the store finds right and wrong with itself and its place. It may read everything: that takes."""
        ...

    def rollups(self, since: int, until: int) -> list[Rollup]:
        """The statistics of the minutes from ``since`` (inclusive) to ``until`` (exclusive), in µs."""
        ...

    # -- waiting ---------------------------------------------------------------------------------

    def listen(self, channel: Channel) -> Listener:
        """Wake-ups of one kind. The caller closes it."""
        ...

    def notify(self, channel: Channel) -> None:
        """Wake every listener of a channel."""
        ...

    def migrate(self) -> list[int]:
        """Make the schema, or bring it to what this release needs; gives the versions it went through.

        Stores that do so by themselves when they are opened have nothing to do.
        """
        ...

    def maintain(self) -> None:
        """Housekeeping that is due now and then (jobs that expired while a limit held them back, checkpoints); quick
        when there is none."""
        ...

    def close(self) -> None:
        """Let go of connections. The store opens again by itself when used again."""
        ...


@runtime_checkable
class Joining(Protocol):
    """The capability "transactions"."""

    def enqueue_within(self, connection: object, jobs: Sequence[Job]) -> list[Enqueued]:
        """:meth:`Store.enqueue` on a connection of the caller's, in whatever transaction that is in.

        What is rolled back has never been. Wake-ups go with the commit. Raises ConfigError, and leaves the
        transaction as it is, for a connection of a kind that is not known or that leads to another database.
        """
        ...
