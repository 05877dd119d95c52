"""Database connections around jobs, as Django keeps them around requests.

A connection that has outlived ``CONN_MAX_AGE`` or that the server has closed is let go of before a job and after it,
and so are the caches' connections after it; a failed job hands no broken connection to the next one. For an
``async def`` task that is done where its queries run, in the thread of ``sync_to_async``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import close_caches
from django.db import close_old_connections, reset_queries

from duly.app import Duly
from duly.request import Request, current

_inside: ContextVar[Request | None] = ContextVar("duly_django_job", default=None)
"""The job whose connections are being kept: a task that it calls as a function must not close them."""


def adopt(app: Duly) -> None:
    """Keep the connections of the jobs of all tasks that the app has. For processes that run jobs."""
    for task in app.tasks.values():
        if not isinstance(task.run, Fresh | AsyncFresh):
            task.run = AsyncFresh(task.run) if task.is_async else Fresh(task.run)


class Fresh:
    """A task's function with fresh connections around it, when a worker calls it for a job."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = job_that_begins()
        if request is None:
            return self._run(*args, **kwargs)
        token = _inside.set(request)
        _before()
        try:
            return self._run(*args, **kwargs)
        finally:
            _after()
            _inside.reset(token)


class AsyncFresh:
    """The same for an ``async def``."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = job_that_begins()
        if request is None:
            return await self._run(*args, **kwargs)
        token = _inside.set(request)
        await sync_to_async(_before)()
        try:
            return await self._run(*args, **kwargs)
        finally:
            await sync_to_async(_after)()
            _inside.reset(token)


def job_that_begins() -> Request | None:
    """The job that a worker begins with this call; None for a call inside of a job, or outside of any."""
    request = current.get()
    if request is None or request.is_eager or _inside.get() is request:
        return None
    return request


def _before() -> None:
    reset_queries()
    close_old_connections()


def _after() -> None:
    close_old_connections()
    close_caches()
