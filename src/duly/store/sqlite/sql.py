"""The store's statements, by name, and the small conversions every part of it uses."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from duly.job import ErrorInfo, Job
from duly.store.statements import load

SQL = load("duly.store.sqlite", "statements.sql")

_encode = msgspec.json.Encoder().encode


def array(values: Iterable[object]) -> str:
    """A JSON array for ``json_each(?)``: how one statement takes a list."""
    return _encode(list(values)).decode()


def error(type_: str, message: str) -> bytes:
    """One of duly's own errors as it is stored in a job."""
    return _encode(ErrorInfo(type=type_, message=message, module="duly.errors"))


def job_row(job: Job, now: int) -> tuple[object, ...]:
    """A job as the statement "insert" takes it."""
    return (
        job.id, job.task, job.args, job.queue, job.priority, job.due, job.expires, job.flags, job.headers,
        job.options, job.key, job.limit_key, now,
    )  # fmt: skip
