"""From a function or a class to a Task: what ``@app.task`` and ``app.register_task`` do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from duly.errors import ConfigError
from duly.task import AsyncTask, Task

if TYPE_CHECKING:
    from duly.app import Duly


def make_task(
    app: Duly, fn: Callable[..., Any], bind: bool, base: type[Task[..., Any]], options: Mapping[str, Any]
) -> Task[..., Any]:
    """The Task of a function, of class ``base``. Raises ConfigError for options that are wrong."""
    if not callable(fn):
        raise ConfigError(f"@app.task on {fn!r}: expected a function")
    _refuse_generator(fn)
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise ConfigError(f"@app.task(base={base!r}) on {fn.__qualname__}: expected a subclass of duly.Task")
    task = (_async_kind(base) if inspect.iscoroutinefunction(fn) else base)()
    name = options.get("name") or task._of_class.get("name") or default_name(app.name, fn)
    task._fit(app, fn, name, bind, options)
    return task


def fit_task(app: Duly, task: Task[..., Any]) -> Task[..., Any]:
    """The task of a class that has a ``run``, as ``app``'s. Raises ConfigError."""
    kind = type(task)
    fn = getattr(kind, "run", None)
    if fn is None:
        raise ConfigError(f"{kind.__qualname__} has no run(self, ...); what it is to do belongs there")
    _refuse_generator(fn)
    if inspect.iscoroutinefunction(fn):
        task.is_async = True
    name = task._of_class.get("name") or default_name(app.name, kind)
    task._fit(app, fn, name, True, {})
    return task


def _refuse_generator(fn: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigError(f"@app.task on {fn.__qualname__}: a generator gives no single result; return a list")


def _async_kind(base: type[Task[..., Any]]) -> type[Task[..., Any]]:
    """``base`` for a function that is ``async def``."""
    if issubclass(base, AsyncTask):
        return base
    return AsyncTask if base is Task else type(base.__name__, (base, AsyncTask), {"__module__": base.__module__})


def default_name(app: str, fn: Callable[..., Any]) -> str:
    """``module.function``; a program's own module, ``__main__``, goes by the app's name."""
    module = getattr(fn, "__module__", None) or "__main__"
    return f"{app if module == '__main__' else module}.{fn.__name__}"
