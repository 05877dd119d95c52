"""Small conversions between nouns and rows."""

from __future__ import annotations

import msgspec

from duly.job import ErrorInfo, Flag, Job, State

_MEMBER = int(Flag.MEMBER)

_encode = msgspec.json.Encoder().encode


def error(type_: str, message: str) -> bytes:
    """One of duly's own errors as it is stored in a job."""
    return _encode(ErrorInfo(type=type_, message=message, module="duly.errors"))


def job_row(job: Job, now: int) -> tuple[object, ...]:
    """A job as the statement "insert" takes it."""
    return (
        job.id, job.task, job.args, job.queue, job.priority, job.due, job.expires, job.flags, job.headers,
        job.options, job.key, job.limit_key, now,
    )  # fmt: skip


def canvas_row(job: Job, now: int) -> tuple[object, ...]:
    """A job as the statement "insert_canvas" takes it."""
    flags = job.flags | _MEMBER if job.gates else job.flags
    return (
        job.id, job.task, job.args, job.queue, job.priority, job.due, job.expires, flags, job.headers,
        job.options, job.key, job.limit_key, now, job.after, gate_lane(job.after),
    )  # fmt: skip


def gate_lane(gate: str | None) -> str | None:
    """The lane of a job that is held at this gate."""
    return None if gate is None else f"gate:{gate}"


def is_held(state: int, lane: str | None) -> bool:
    """Whether a job's gate has yet to let it go."""
    return state == State.WAITING and lane is not None and lane.startswith("gate:")
