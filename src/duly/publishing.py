"""The two signals around a call (``signals.py``), with the job in the shape in which Celery shows a message."""

from __future__ import annotations

from typing import Any

import msgspec

from duly.clock import from_micros
from duly.codec import decode_value, encode_value
from duly.job import Flag, Job
from duly.signals import after_task_publish, before_task_publish


def before(job: Job) -> Job:
    """Say that ``job`` is about to be stored; gives it with what receivers have added to its headers.

    The fields of a message are read-only: what a receiver changes in ``id``, ``eta`` and their kin is not taken over.
    """
    if not before_task_publish.has_listeners(job.task):
        return job
    headers, body = _headers(job), _body(job)
    fixed = dict(headers)
    before_task_publish.send(
        job.task,
        body=body,
        exchange="",
        routing_key=job.queue,
        headers=headers,
        properties={"correlation_id": job.id, "priority": job.priority},
        declare=[],
        retry_policy={},
    )
    own = {**_own(job), **{name: value for name, value in headers.items() if name not in fixed}}
    if own == _own(job):
        return job
    return msgspec.structs.replace(job, headers=encode_value(own, "headers"))


def after(job: Job) -> None:
    """Say that it was stored."""
    if after_task_publish.has_listeners(job.task):
        after_task_publish.send(job.task, body=_body(job), exchange="", routing_key=job.queue, headers=_headers(job))


def _own(job: Job) -> dict[str, Any]:
    return {} if job.headers is None else decode_value(job.headers)


def _body(job: Job) -> tuple[Any, Any, dict[str, None]]:
    args, kwargs = decode_value(job.args)
    return args, kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def _headers(job: Job) -> dict[str, Any]:
    args, kwargs = decode_value(job.args)
    return {
        **_own(job),
        "lang": "py",
        "task": job.task,
        "id": job.id,
        "eta": from_micros(job.due).isoformat(),
        "expires": None if job.expires is None else from_micros(job.expires).isoformat(),
        "retries": 0,
        "argsrepr": repr(args),
        "kwargsrepr": repr(kwargs),
        "ignore_result": bool(job.flags & Flag.IGNORE_RESULT),
    }
