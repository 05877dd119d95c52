"""``task_always_eager``: a call runs in its caller and gives a result that is there already. For tests.

Arguments and results pass through the codec as always, so what would fail on its way to a worker fails here.
Retries follow each other at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from duly import hooks, signals
from duly.codec import encode_value
from duly.errors import Ignore, Reject, Retry
from duly.failure import encode_error
from duly.job import Flag, Job, Kind, Lease, Result, State
from duly.request import Request, current
from duly.result import EagerResult
from duly.signing import Replaced

if TYPE_CHECKING:
    from duly.signature import Signature
    from duly.task import Task

R = TypeVar("R")


def run(
    task: Task[..., R],
    job: Job,
    throw: bool | None = None,
    given: tuple[list[Any], dict[str, Any]] | None = None,
) -> EagerResult[R]:
    """Run ``job`` to its end, here. Raises the task's exception if ``throw`` (None: by the setting).

    ``given``: its arguments, if they are not all in the job.
    """
    request = Request(task, _lease(job), None, task.app.clock)
    watched = hooks.overridden(task) or signals.TASKS.live
    while True:
        args, kwargs = task.codec.decode_args(request.lease.args) if given is None else given
        token = current.set(request)
        request.mark = None if task.app.tracer is None else task.app.tracer.begin(request)
        kind, raised = Kind.SUCCEEDED, None
        try:
            if watched:
                hooks.begin(task, request, args, kwargs)
            value = finish(task.entry(*args, **kwargs)) if task.is_async else task.entry(*args, **kwargs)
            data = None if job.flags & Flag.IGNORE_RESULT else task.codec.encode_result(value)
            if watched:
                hooks.succeeded(task, request, args, kwargs, value)
            return _ended(task, request, State.SUCCEEDED, result=data)
        except Replaced as exc:
            kind = Kind.REPLACED
            return _replaced(task, request, exc.sig, throw)
        except Ignore as exc:
            kind = Kind.FAILED if isinstance(exc, Reject) else Kind.CANCELLED
            if watched:
                hooks.ignored(task, request, args, kwargs, exc)
            state = State.FAILED if isinstance(exc, Reject) else State.CANCELLED
            return _ended(task, request, state, error=encode_error(exc))
        except Exception as exc:
            again = task.retry_for(exc, request)
            kind, raised = (Kind.FAILED, exc) if again is None else (Kind.RETRY, again.cause)
            if watched:
                end = hooks.failed if again is None else hooks.retried
                end(task, request, args, kwargs, exc if again is None else again.cause or again)
            if again is None:
                if task.app.conf.task_eager_propagates if throw is None else throw:
                    raise
                return _ended(task, request, State.FAILED, error=encode_error(exc))
        finally:
            current.reset(token)
            if request.mark is not None:
                request.mark.end(kind, raised)
        request = _again(request, again)
        if again.arguments is not None:
            given = None


def _replaced(task: Task[..., R], request: Request, sig: Signature[Any], throw: bool | None) -> EagerResult[R]:
    """Run what the task put in its own place; its end is the job's."""
    result = sig.apply(throw=throw)
    try:
        value = result.get()
    except Exception as exc:
        return _ended(task, request, State.FAILED, error=encode_error(exc))
    ended = _ended(task, request, State.SUCCEEDED, result=encode_value(value))
    ended._task = None  # whose annotation says nothing of another's result
    return ended


async def arun(task: Task[..., R], job: Job) -> EagerResult[R]:
    """:func:`run` beside the event loop."""
    return await asyncio.to_thread(run, task, job)


def finish(coroutine: Any) -> Any:
    """The value of a coroutine; in a thread of its own where a loop runs in this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, coroutine).result()


def _lease(job: Job) -> Lease:
    return Lease(
        token=0, ref=0, id=job.id, task=job.task, args=job.args, queue=job.queue, priority=job.priority,
        due=job.due, expires=job.expires, attempt=1, retries=0, lost=0,
        flags=job.flags, headers=job.headers, options=job.options,
    )  # fmt: skip


def _again(request: Request, again: Retry) -> Request:
    old = request.lease
    args = old.args if again.arguments is None else again.arguments
    lease = msgspec.structs.replace(old, args=args, attempt=old.attempt + 1, retries=old.retries + 1)
    return request.repeat(lease)


def _ended(
    task: Task[..., R], request: Request, state: State, result: bytes | None = None, error: bytes | None = None
) -> EagerResult[R]:
    lease = request.lease
    return task.app.eager_result_type(
        task.app,
        task,
        Result(
            id=lease.id,
            state=state,
            attempt=lease.attempt,
            due=lease.due,
            result=result,
            error=error,
            progress=request.progress,
        ),
    )
