"""``celery.app``: which app is meant where none is named."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeVar, overload

from duly import task as core
from duly.app import BoundDecorator, Decorator, Duly
from duly.celery.app.base import Celery
from duly.celery.app.task import Task
from duly.shared import get_current_app, provide_default, share
from duly.task import AsyncTask

P = ParamSpec("P")
R = TypeVar("R")

_default: Celery | None = None


def default_app() -> Celery:
    """The app of a program that made none; its jobs are in ``default.duly.db`` in the working directory."""
    global _default
    if _default is None:
        _default = Celery("default")
    return _default


def app_or_default(app: Duly | None = None) -> Duly:
    """``app``, else the current one."""
    return get_current_app() if app is None else app


@overload
def shared_task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
@overload
def shared_task(fn: Callable[P, R], /) -> core.Task[P, R]: ...
@overload
def shared_task(*, bind: Literal[True], **options: Any) -> BoundDecorator: ...
@overload
def shared_task(*, bind: Literal[False] = False, **options: Any) -> Decorator: ...
def shared_task(*args: Any, **options: Any) -> Any:
    """``@app.task`` for every app there is and will be, with Celery's options; duly's own apps have it, too."""
    decorate = share(options, Task)
    return decorate(args[0]) if args else decorate


provide_default(default_app)

__all__ = ["Celery", "app_or_default", "default_app", "shared_task"]
