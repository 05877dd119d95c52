"""What a program of the user's is told while a job runs: hooks of its task, and signals.

The executor and the eager runner call these at the four moments of an attempt, and only if the task has hooks or
somebody listens (``watched``). ``before_start`` is part of the task: what it raises is the task's failure. Whatever
comes after the task's end is logged if it raises, and changes nothing.

The words for states are Celery's, because the hooks are.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duly import signals
from duly.errors import Reject
from duly.failure import describe, theirs

if TYPE_CHECKING:
    from duly.request import Request
    from duly.task import Task

log = logging.getLogger("duly")

NAMES = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
"""The methods of a task that are called for each attempt."""


class ExceptionInfo:
    """An exception as hooks get it: ``exception``, ``type``, ``tb``; ``traceback`` and ``str()`` are the text."""

    def __init__(self, exc: BaseException) -> None:
        self.exception = exc
        self.type = type(exc)
        self.tb = theirs(exc.__traceback__)

    @property
    def traceback(self) -> str:
        return "".join(traceback.format_exception(self.type, self.exception, self.tb))

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"


class Hooks:
    """The methods of a Task that a subclass may define; each is called in the worker, for every attempt."""

    def before_start(self, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Called in the worker before each attempt; what it raises is the task's failure."""

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Called after an attempt that returned, before the store has heard of it."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: ExceptionInfo
    ) -> None:
        """Called after an attempt that raised and is not repeated; not when its executor was killed."""

    def on_retry(
        self, exc: BaseException, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: ExceptionInfo
    ) -> None:
        """Called after an attempt that is to be repeated."""

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: list[Any],
        kwargs: dict[str, Any],
        einfo: ExceptionInfo | None,
    ) -> None:
        """Called last, after ``on_success`` (status SUCCESS) or ``on_failure`` (FAILURE, with the exception)."""


def overridden(task: Task[..., Any]) -> bool:
    """Whether the task has hooks of its own."""
    return any(getattr(type(task), name) is not getattr(Hooks, name) for name in NAMES)


def begin(task: Task[..., Any], request: Request, args: list[Any], kwargs: dict[str, Any]) -> None:
    """The task is about to be called. Raises what ``before_start`` does."""
    signals.task_received.send(request.hostname, request=request)
    signals.task_prerun.send(task, task_id=request.id, task=task, args=args, kwargs=kwargs)
    task.before_start(request.id, args, kwargs)


def succeeded(task: Task[..., Any], request: Request, args: list[Any], kwargs: dict[str, Any], value: Any) -> None:
    """The task returned ``value``."""
    _call(task, "on_success", value, request.id, args, kwargs)
    signals.task_success.send(task, result=value)
    _call(task, "after_return", "SUCCESS", value, request.id, args, kwargs, None)
    _postrun(task, request, args, kwargs, value, "SUCCESS")


def failed(
    task: Task[..., Any], request: Request, args: list[Any], kwargs: dict[str, Any], exc: BaseException
) -> None:
    """The task raised ``exc`` and is not run again."""
    info = ExceptionInfo(exc)
    _call(task, "on_failure", exc, request.id, args, kwargs, info)
    signals.task_failure.send(
        task, task_id=request.id, exception=exc, args=args, kwargs=kwargs, traceback=info.tb, einfo=info
    )
    _call(task, "after_return", "FAILURE", exc, request.id, args, kwargs, info)
    _postrun(task, request, args, kwargs, exc, "FAILURE")


def retried(
    task: Task[..., Any], request: Request, args: list[Any], kwargs: dict[str, Any], exc: BaseException
) -> None:
    """The task is run again, because of ``exc``."""
    info = ExceptionInfo(exc)
    _call(task, "on_retry", exc, request.id, args, kwargs, info)
    signals.task_retry.send(task, request=request, reason=exc, einfo=info)
    _postrun(task, request, args, kwargs, exc, "RETRY")


def revoked(
    task: Task[..., Any], request: Request, args: list[Any], kwargs: dict[str, Any], exc: BaseException
) -> None:
    """The task was cancelled while it ran."""
    signals.task_revoked.send(task, request=request, terminated=True, signum=None, expired=False)
    _postrun(task, request, args, kwargs, exc, "REVOKED")


def ignored(task: Task[..., Any], request: Request, args: list[Any], kwargs: dict[str, Any], exc: Exception) -> None:
    """The task raised Ignore or Reject."""
    if isinstance(exc, Reject):
        signals.task_rejected.send(task, message=request, exc=exc)
    _postrun(task, request, args, kwargs, exc, "REJECTED" if isinstance(exc, Reject) else "IGNORED")


def _postrun(
    task: Task[..., Any], request: Request, args: list[Any], kwargs: dict[str, Any], retval: Any, state: str
) -> None:
    signals.task_postrun.send(
        task, task_id=request.id, task=task, args=args, kwargs=kwargs, retval=retval, state=state
    )


def _call(task: Task[..., Any], name: str, *args: Any) -> None:
    hook: Callable[..., object] = getattr(task, name)
    try:
        hook(*args)
    except Exception as exc:
        log.error("%s of task %s raised %s", name, task.name, describe(exc), exc_info=True)
