"""More nouns: what a store says when it is asked to reconcile, carries messages for workers, or explains itself.

Like ``job.py``: no behaviour, no I/O. Instants are microseconds UTC.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SyncVerdict = Literal["created", "moved", "edited", "cancelled", "unchanged", "too late", "left"]
"""What reconciling did for one key.

*created*: there is a new job. *moved*: the waiting job has another due (and whatever else was wanted). *edited*:
another field of the waiting job changed. *cancelled*: it was waiting and is no longer wanted. *unchanged*: it
is as wanted. *too late*: it runs and is wanted otherwise or no more; or it would be made only after its time.
*left*: it has ended, and that is that.
"""

SYNC_VERDICTS: tuple[SyncVerdict, ...] = (
    "created", "moved", "edited", "cancelled", "unchanged", "too late", "left",
)  # fmt: skip

OnLate = Literal["run", "skip"]
"""What to do with a wanted job whose due has passed and that was never stored: store it all the same, or not."""


class Synced(msgspec.Struct, frozen=True):
    """What became of one key of a namespace."""

    key: str
    verdict: SyncVerdict
    id: str | None  # the job; None where there is none (*too late*, never stored)


class Control(msgspec.Struct, frozen=True):
    """A message to one worker incarnation."""

    id: int
    method: str
    args: bytes  # JSON object
    expires: int  # not obeyed at or after


class Reply(msgspec.Struct, frozen=True):
    """What a worker answered to a message; ``reply`` is JSON, None while there is no answer."""

    id: int
    worker: int
    reply: bytes | None


class TimeLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A task's time limits as set at run time, in seconds: 0 is no limit, None leaves what the code says."""

    task: str
    soft: float | None = None
    hard: float | None = None


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Where the jobs wait that one limit holds back."""

    name: str  # "task:NAME", "queue:NAME" or "key:TASK:KEY"
    scope: Literal["task", "queue", "key"]
    rate: int | None  # starts per ``per``
    per: int  # µs
    concurrency: int | None
    next_start: int  # the rate allows no start before this; 0: at once
    running: int  # jobs that count against the concurrency


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit trail: what somebody did to jobs, queues or schedules, and how far it came."""

    id: int = 0  # given by the store, growing
    at: int  # when it was asked for
    who: str
    verb: str  # cancel, move, retry, pause, ...
    what: str  # to what: a job's id, a queue, a schedule, or the filter that chose the jobs
    detail: str = ""  # what else was said, such as the new due
    total: int = 1  # how many it is about
    done: int = 0  # how many were changed
    seen: int = 0  # how many were come to, changed or not
    state: Literal["running", "done", "failed"] = "done"
    updated: int = 0  # when this line was last written


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing ``duly doctor`` has to say."""

    severity: Literal["ok", "warning", "error"]
    about: str  # one word: store, disk, clock, tasks, queues, workers, jobs, schedules
    text: str  # one sentence: what is so
    help: str = ""  # what to do; empty when there is nothing to do


class Rollup(msgspec.Struct, frozen=True):
    """One bucket of one minute's histogram."""

    minute: int  # minutes since 1970, UTC
    queue: str
    task: str
    outcome: str  # a Kind's name in lower case
    measure: str  # "lateness" (start - due) or "runtime" (finish - start)
    bucket: int  # index into BUCKETS
    n: int
    total: int  # µs, summed


BUCKETS: tuple[int, ...] = tuple(int(100 * 1.5**i) for i in range(52))
"""Upper bounds in µs of the histogram buckets: 0.1 ms to a little over 24 h, each 1.5 times the last.

Bucket i holds values <= BUCKETS[i] and > BUCKETS[i-1]; index 52 holds everything above. Factor 1.5 keeps
any percentile within 25 % of the truth."""
