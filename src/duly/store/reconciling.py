"""What ``sync`` decides for one key, whatever the store. Pure."""

from __future__ import annotations

import json

import msgspec

from duly.job import Job, State
from duly.messages import OnLate, SyncVerdict


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a store remembers of one key, and its job as it is now."""

    id: str
    wanted_due: int  # as it was last wanted; retries move the job's own
    state: State | None  # None: the job was pruned or forgotten
    attempt: int = 0
    due: int = 0
    expires: int | None = None
    fields: tuple[object, ...] = ()  # as ``fields_of`` gives them


def decide(job: Job, known: Known | None, late: OnLate, now: int) -> SyncVerdict:
    """What becomes of a wanted job. *too late* and *left* change nothing."""
    if known is None:
        if (late == "skip" and job.due < now) or (job.expires is not None and job.expires <= now):
            return "too late"
        return "created"
    if known.state is None or known.state.final:
        return "created" if job.due != known.wanted_due and job.due > now else "left"
    verdict = _difference(job, known)
    return "too late" if verdict != "unchanged" and known.state == State.RUNNING else verdict


def _difference(job: Job, known: Known) -> SyncVerdict:
    fresh = known.attempt == 0
    if job.due != (known.due if fresh else known.wanted_due):
        return "moved"
    if fresh and job.expires != known.expires:
        return "edited"
    same = all(_same(mine, its) for mine, its in zip(fields_of(job), known.fields, strict=True))
    return "unchanged" if same else "edited"


def times(job: Job, known: Known, verdict: SyncVerdict) -> tuple[int, int | None]:
    """Due and expiry of a waiting job that is moved or edited."""
    retrying = verdict == "edited" and known.attempt > 0  # its due and expiry are its own by now
    return (known.due, known.expires) if retrying else (job.due, job.expires)


def fields_of(job: Job) -> tuple[object, ...]:
    """What is compared beside due and expires."""
    return (job.task, job.args, job.queue, job.priority, job.headers, job.options, job.flags, job.limit_key)


def _same(mine: object, its: object) -> bool:
    """Equal, or the same JSON with its objects' members in another order."""
    if mine == its:
        return True
    if not isinstance(mine, bytes) or not isinstance(its, bytes):
        return False
    return json.dumps(json.loads(mine), sort_keys=True) == json.dumps(json.loads(its), sort_keys=True)
