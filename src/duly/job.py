"""The nouns: Job, Lease, Outcome and what a store says about them. No behaviour, no I/O.

The life of a job::

    waiting ──reserve──▶ running ──settle──▶ succeeded | failed | cancelled | uncertain
       ▲                    │
       └── retry, release, rescue

``waiting`` is one stored state with three names for people, decided by the clock and the history
(:func:`state_name`): *scheduled* (due ahead), *queued* (due), *retrying* (run before, to run again).
Nothing has to happen when a scheduled job becomes due, so nothing can fail to happen.

A canvas (a chain, a chord) is jobs and *gates*, stored together. A gate counts the ends of the jobs that are its
*members*; jobs *held* at it, the fourth name of waiting, wait until all of them have ended::

    held ──all succeeded──▶ waiting, from where it goes as above
      └────one did not────▶ failed, with that one's error      (Flag.ON_FAILURE: the other way round)
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

OnConflict = Literal["skip", "replace", "error"]
"""What to do when a live job holds the same key: keep it, put the new one in its place, or raise."""

Verdict = Literal["prevented", "signalled", "moved", "retried", "too late", "key taken", "unknown"]
"""What a job answers to cancel (prevented, signalled), move (moved) or retry (retried, key taken).

*too late*: its state no longer allows it. *unknown*: no such job.
"""

WhenLate = Literal["run", "skip", "fail"]
"""What happens to a job that can start only later than its tolerance allows: it runs all the same, ends cancelled, or
ends failed."""

MAX_PRIORITY = 9


class State(enum.IntEnum):
    """The stored state. Values are in databases: never renumber."""

    WAITING = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    UNCERTAIN = 5

    @property
    def final(self) -> bool:
        return self >= State.SUCCEEDED


STATE_NAMES = ("scheduled", "held", "queued", "retrying", "running", "succeeded", "failed", "cancelled", "uncertain")
"""Every name :func:`state_name` can give, in the order of a job's life."""


def state_name(state: int, attempt: int, due: int, now: int, held: bool = False) -> str:
    """The name people read for a stored state (see the module's text)."""
    if state == State.WAITING:
        if held:
            return "held"
        if attempt:
            return "retrying"
        return "scheduled" if due > now else "queued"
    return State(state).name.lower()


class Flag(enum.IntFlag):
    """Facts about a job that the store itself acts on. Values are in databases: never renumber."""

    AT_MOST_ONCE = 1  # a lost attempt ends uncertain instead of being given back
    IGNORE_RESULT = 2  # the task's return value is not kept
    NO_OVERLAP_SKIP = 4  # an occurrence: ends cancelled if one of its schedule runs when it is due
    NO_OVERLAP_QUEUE = 8  # an occurrence: waits while one of its schedule runs
    ON_FAILURE = 16  # held: wanted if its gate fails, deleted if it opens
    FROM_RELEASE = 32  # held: due and expires count from its release as they would have from its storing
    MEMBER = 64  # counts in a gate; set by the store, so that the end of other jobs looks nothing up
    ANSWER = 128  # somebody elsewhere is to hear of its end, from a gateway
    ANSWERED = 256  # has heard of it; set by the store, and taken back by a retry by hand


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One stored request to run a task, as a producer writes it."""

    id: str  # UUIDv7 unless the producer chose one; any non-empty text
    task: str  # the task's registered name
    due: int  # µs UTC; never started before
    args: bytes = b"[[],{}]"  # JSON: [positional, keyword]
    queue: str = "default"
    priority: int = 0  # 0..9, 9 first
    expires: int | None = None  # µs UTC; not started at or after
    key: str | None = None  # unique among live (waiting or running) jobs
    on_conflict: OnConflict = "skip"  # what to do when the key is held
    headers: bytes | None = None  # JSON object, the user's; carried along unread
    options: bytes | None = None  # JSON of Options; None nearly always
    flags: int = 0  # Flag
    limit_key: str | None = None  # what a limit per key counts it under
    after: str | None = None  # the gate it is held at
    gates: tuple[tuple[str, int], ...] = ()  # the gates it is a member of, and its index in each


class Gate(msgspec.Struct, frozen=True):
    """What counts the ends of its members, and holds other jobs until then."""

    id: str
    size: int  # how many members it has; some of them may be stored later


class Then(msgspec.Struct, frozen=True):
    """What is stored with an outcome, if the outcome is accepted and its job does not end cancelled."""

    jobs: tuple[Job, ...] = ()
    gates: tuple[Gate, ...] = ()


class GateView(msgspec.Struct, frozen=True, kw_only=True):
    """How a gate stands. ``left`` 0: it has closed its count; it opened if none failed."""

    id: str
    size: int
    left: int  # members that have not ended
    failed: int  # members that ended and did not succeed
    first_failed: str | None  # id of the first of these
    finished: int | None  # µs UTC, when the last member ended


class Feed(msgspec.Struct, frozen=True, array_like=True):
    """What comes before a job's own arguments when it starts, from the members of the gate it was held at."""

    gate: str
    size: int  # of the gate
    kind: Literal["one", "all", "error"]  # the one member's result; the list of all results; which failed, and how


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where in a canvas a job stands; None: nowhere of that kind."""

    root: str | None = None  # id of the job that the canvas, or the one it was called from, began with
    parent: str | None = None  # id of the job before it, or of the one that called the canvas
    group: str | None = None  # id of its group, which is that of the group's gate
    index: int | None = None  # in the group
    chord: str | None = None  # id of the job that its group is followed by
    feed: Feed | None = None


class Sender(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a job that came in through a gateway: what is needed to answer whoever sent it, and to go on there."""

    reply_to: str | None = None  # the queue on which an answer over AMQP is waited for
    correlation_id: str | None = None
    children: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # JSON of the results that follow, in Celery's form
    embed: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # JSON of what follows it elsewhere (gateway.wire.Embed)


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Per-job overrides of the task's own settings, kept as JSON in ``Job.options``."""

    soft_time_limit: float | None = None  # seconds
    time_limit: float | None = None  # seconds
    max_retries: int | None = None
    on_late: WhenLate | None = None
    late_tolerance: float | None = None  # seconds
    sensitive: tuple[str | int, ...] = ()  # names and positions of arguments that are not shown to people
    place: Place | None = None  # of a job of a canvas
    sender: Sender | None = None  # of a job that a gateway took in


class Enqueued(msgspec.Struct, frozen=True):
    """What became of one job handed to ``enqueue``."""

    id: str  # the job that stands for the request: itself, or the one that held its id or key
    stored: bool  # False: nothing was written, ``id`` names the job already there


class Lease(msgspec.Struct, frozen=True):
    """A reserved job: the right to run it, for as long as the worker's lease is renewed.

    ``token`` is unique to this attempt; whatever the worker writes about the job carries it and is
    refused once the job was given to somebody else. ``ref`` is the store's own handle; nobody else
    looks at it.
    """

    token: int
    ref: int
    id: str
    task: str
    args: bytes
    queue: str
    priority: int
    due: int
    expires: int | None
    attempt: int  # 1 for the first run
    retries: int  # how often the task itself asked for another run
    lost: int  # how often a worker died running it
    flags: int
    headers: bytes | None
    options: bytes | None


class Kind(enum.IntEnum):
    """How an attempt ended. Values are in databases: never renumber."""

    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    UNCERTAIN = 5
    RETRY = 6  # to run again at ``due``
    RELEASED = 7  # never started; as if never reserved
    LOST = 8  # its worker died
    POSTPONED = 9  # the task could not even be called; again at ``due``, counted as no retry
    REPLACED = 10  # the job goes on as another: the one in ``then`` that has its id


class Outcome(msgspec.Struct, frozen=True):
    """How one attempt ended; ``exchange`` writes it if the lease still holds."""

    lease: Lease
    kind: Kind
    started: int = 0  # µs UTC on the store's clock
    finished: int = 0
    result: bytes | None = None  # SUCCEEDED: JSON of the return value; None when not kept
    error: bytes | None = None  # JSON of ErrorInfo
    due: int = 0  # RETRY, POSTPONED: when to run again
    progress: bytes | None = None  # JSON of Progress, the last one reported
    log: bytes | None = None  # the tail of what the attempt logged, UTF-8
    then: Then | None = None  # stored in the same transaction; of final kinds and REPLACED
    args: bytes | None = None  # RETRY: what the next run is called with; None: the same


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An exception as it is stored."""

    type: str  # class name
    message: str
    module: str = "builtins"
    args: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # JSON array of exception.args if they have a JSON form
    traceback: str | None = None
    help: str | None = None  # what a person can do about it


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a running task says it is."""

    done: float
    total: float | None = None
    note: str | None = None
    state: str | None = None  # a name of the task's own for where it is (``update_state``)
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # JSON that goes with it


class Exchange(msgspec.Struct, frozen=True):
    """What ``exchange`` brings back."""

    leases: list[Lease]  # in the order to run them
    refused: list[Outcome]  # outcomes whose lease was stale; nothing of them was written
    more: bool = False  # no lease, but not every due job was looked at yet: ask again soon


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a job's history."""

    attempt: int
    outcome: str  # a Kind's name in lower case, or "running"
    worker: str | None  # "name@host", None when the worker's record was pruned
    slot: int | None
    started: int | None
    finished: int | None
    error: bytes | None
    log: bytes | None


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the store knows of one job."""

    id: str
    task: str
    args: bytes
    queue: str
    priority: int
    due: int
    expires: int | None
    key: str | None
    headers: bytes | None
    options: bytes | None
    flags: int
    state: State
    attempt: int
    retries: int
    lost: int
    created: int
    started: int | None
    finished: int | None
    worker: str | None  # "name@host" of the last worker to reserve it
    slot: int | None
    result: bytes | None
    error: bytes | None
    progress: bytes | None
    log: bytes | None
    cancelling: bool  # a running job that was asked to stop
    lane: str | None = None  # what holds a waiting job back, if a limit does (see messages.Lane)
    limit_key: str | None = None  # what a limit per key counts it under
    after: str | None = None  # the gate it is, or was, held at
    held: bool = False  # its gate has not closed its count
    gates: tuple[tuple[str, int], ...] = ()  # the gates it is a member of, and its index in each

    def state_name(self, now: int) -> str:
        return state_name(self.state, self.attempt, self.due, now, self.held)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a job that a caller waits for."""

    id: str
    state: State
    attempt: int
    due: int
    result: bytes | None
    error: bytes | None
    progress: bytes | None
    held: bool = False  # waits at a gate

    def state_name(self, now: int) -> str:
        return state_name(self.state, self.attempt, self.due, now, self.held)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs; every field that is set must match. An empty filter matches every job."""

    ids: tuple[str, ...] | None = None
    id_prefix: str | None = None  # how the id begins
    states: tuple[str, ...] | None = None  # names out of STATE_NAMES
    queues: tuple[str, ...] | None = None
    task: str | None = None  # a name, or a glob with * and ?
    due_from: int | None = None  # inclusive
    due_before: int | None = None  # exclusive
    key: str | None = None
    after: str | None = None  # the gate a job is, or was, held at


class Page(msgspec.Struct, frozen=True):
    """One page of jobs; ``after`` is handed back for the next one, None at the end."""

    jobs: list[JobView]
    after: str | None


class Answer(msgspec.Struct, frozen=True):
    """What one job answered to cancel, move or retry."""

    id: str
    verdict: Verdict


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What ``move`` changes in a waiting job; None leaves it."""

    due: int | None = None
    args: bytes | None = None
    queue: str | None = None
    priority: int | None = None


class QueueCount(msgspec.Struct, frozen=True, kw_only=True):
    """How much is in one queue; counts stop at ``COUNT_CAP`` so that a huge store stays quick."""

    queue: str
    ready: int  # waiting and due
    scheduled: int  # waiting, due ahead
    running: int
    oldest: int | None  # due of the longest-waiting ready job


COUNT_CAP = 10_000
"""Counts shown to people stop here and read "10,000+"."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """How fast, and how many at once, over all workers.

    *rate*: starts are at least ``per / rate`` apart (GCRA with a burst of one), so no window of ``per`` has more
    than ``rate`` of them. *concurrency*: at most so many are running. None: no limit of that kind.
    """

    scope: Literal["task", "queue", "key"]
    name: str  # the task or queue; for "key" the task, each of whose jobs' limit_key is limited by itself
    rate: int | None = None
    per: int = 0  # µs
    concurrency: int | None = None
    declared: bool = False  # by the app's code; one set by hand stands above it


CatchUp = Literal["none", "last", "all"]
"""Which occurrences are still made after their time has passed with nobody there to make them."""

Overlap = Literal["allow", "skip", "queue"]
"""What happens to an occurrence that is due while an earlier one of its schedule runs."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A recurring rule, and the job each of its occurrences becomes.

    The last five fields are the store's; whoever stores a schedule gives ``next`` and leaves the others.
    """

    name: str
    rule: bytes  # JSON of schedules.Rule.to_spec
    task: str
    args: bytes = b"[[],{}]"  # this and the six below: as in Job
    queue: str = "default"
    priority: int = 0
    headers: bytes | None = None
    options: bytes | None = None
    flags: int = 0
    limit_key: str | None = None
    catch_up: CatchUp = "last"
    deadline: int | None = None  # µs after its due at which an occurrence is no longer made
    overlap: Overlap = "allow"
    jitter: int = 0  # µs; an occurrence is due up to so much after its nominal instant, always the same
    expires_after: int | None = None  # µs after its due at which an occurrence expires
    owner: str | None = None  # the app whose code declares it; None: stored by hand
    revision: int = 0  # another number after each change of anything but next and last
    paused: bool = False
    next: int | None = None  # nominal instant of the next occurrence to be made; None: there are no more
    last: int | None = None  # nominal instant of the latest occurrence made; may be a minute ahead


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a schedule: the jobs of some occurrences, and the occurrence that is next after them."""

    seen: Schedule  # as it was read; nothing happens if it has changed since
    jobs: tuple[tuple[int, Job], ...]  # nominal instant, job
    next: int | None


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """That a schedule came round: (schedule, nominal) is unique in a store."""

    schedule: str
    nominal: int  # µs UTC, what the rule said; the job's due adds the jitter
    job: str  # id
    made: int  # µs UTC, when


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One incarnation of a worker, as the registry keeps it."""

    id: int = 0  # given by the store, never reused
    name: str  # unique among live workers of one host by convention: "worker1"
    host: str
    pid: int
    boot: str = ""  # the kernel's boot id; with pid and born it names a process for good
    born: int = 0  # the process's start time, in the kernel's own ticks since boot
    mark: str = ""  # 16 hex digits that the environment of everything it started carries
    queues: tuple[str, ...] = ()
    pool: str = "process"
    slots: int = 1  # jobs it runs at once
    tasks: tuple[str, ...] = ()  # names it has registered
    version: str = ""
    started: int = 0  # µs UTC
    expires: int = 0  # µs UTC; the lease. 0: left properly


class Renewal(msgspec.Struct, frozen=True):
    """The answer to a heartbeat."""

    alive: bool  # False: the lease had lapsed and the jobs were given away; kill what runs, start anew
    cancels: list[Cancel]  # running jobs of this worker that were asked to stop


class Cancel(msgspec.Struct, frozen=True):
    """A running job that was asked to stop."""

    id: str
    slot: int
    token: int  # of the attempt that is to stop; a later one is not meant
    terminate: bool  # kill at once instead of asking the task first


class Rescued(msgspec.Struct, frozen=True):
    """A job taken from a dead worker and what became of it."""

    id: str
    task: str
    queue: str
    state: State  # WAITING: given back; FAILED: lost too often; UNCERTAIN; CANCELLED
    lost: int
