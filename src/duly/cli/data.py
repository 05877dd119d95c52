"""Jobs and what belongs to them as JSON objects: exact instants (µs UTC), stored JSON untouched."""

from __future__ import annotations

from typing import Any

import msgspec

from duly.cli.text import compact, decode
from duly.job import Attempt, Flag, JobView
from duly.secrecy import visible

Object = dict[str, Any]


def raw(stored: bytes | None) -> Any:
    """Stored JSON to be embedded as it is; text that is not JSON as a string."""
    if stored is None:
        return None
    whole = compact(stored)
    return decode(stored) if whole is None else msgspec.Raw(whole)


def call_parts(args: bytes) -> tuple[Any, Any]:
    """(positional, keyword) of stored arguments; (text, None) of bytes that are no arguments."""
    whole = compact(args)
    try:
        return msgspec.json.decode(whole or b"", type=tuple[msgspec.Raw, msgspec.Raw])
    except msgspec.DecodeError:
        return raw(args), None


def job_data(job: JobView, now: int) -> Object:
    """Everything about a job but its log, its history and what its task declares sensitive."""
    args, kwargs = call_parts(visible(job))
    return {
        "id": job.id,
        "task": job.task,
        "state": job.state_name(now),
        "cancelling": job.cancelling,
        "args": args,
        "kwargs": kwargs,
        "queue": job.queue,
        "priority": job.priority,
        "due": job.due,
        "expires": job.expires,
        "key": job.key,
        "attempt": job.attempt,
        "retries": job.retries,
        "lost": job.lost,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "worker": job.worker,
        "slot": job.slot,
        "result": raw(job.result),
        "error": raw(job.error),
        "progress": raw(job.progress),
        "headers": raw(job.headers),
        "options": raw(job.options),
        "after": job.after,
        "at_most_once": bool(job.flags & Flag.AT_MOST_ONCE),
        "ignore_result": bool(job.flags & Flag.IGNORE_RESULT),
    }


def attempt_data(attempt: Attempt) -> Object:
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "worker": attempt.worker,
        "slot": attempt.slot,
        "started": attempt.started,
        "finished": attempt.finished,
        "error": raw(attempt.error),
        "log": None if attempt.log is None else decode(attempt.log),
    }


def full_data(job: JobView, attempts: list[Attempt], now: int) -> Object:
    log = None if job.log is None else decode(job.log)
    return {**job_data(job, now), "log": log, "attempts": [attempt_data(one) for one in attempts]}
