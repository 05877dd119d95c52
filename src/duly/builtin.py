"""The tasks that every app has: canvases are made of them, and what comes to no task of the app's ends in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duly.errors import DecodeError

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.task import Task

COLLECT = "duly.collect"
MAP = "duly.map"
STARMAP = "duly.starmap"
UNREADABLE = "duly.unreadable"
NAMES = (COLLECT, MAP, STARMAP, UNREADABLE)


def make(app: Duly, name: str) -> Task[..., Any]:
    """One of these tasks, for an app. KeyError if there is none of that name."""
    from duly.making import make_task
    from duly.task import Task

    fn: Any = _FUNCTIONS[name]
    return make_task(app, fn, True, Task, {"name": name})


def collect(self: Task[..., Any], results: list[Any]) -> list[Any]:
    """The results of a group as one."""
    return results


def xmap(self: Task[..., Any], task: dict[str, Any], it: list[Any]) -> list[Any]:
    """``[task(x) for x in it]``, in one job."""
    call = _callable(self, task)
    return [call(one) for one in it]


def xstarmap(self: Task[..., Any], task: dict[str, Any], it: list[Any]) -> list[Any]:
    """``[task(*x) for x in it]``, in one job."""
    call = _callable(self, task)
    return [call(*one) for one in it]


def unreadable(self: Task[..., Any], why: str, **_message: Any) -> None:
    """A message that a gateway could not read, kept with its bytes among the arguments. It fails with the reason."""
    raise DecodeError(why)


def _callable(self: Task[..., Any], task: dict[str, Any]) -> Callable[..., Any]:
    """The task of a signature as a function; one that is async runs to its end."""
    from duly.eager import finish
    from duly.signature import signature

    sig = signature(task, app=self.app)
    return (lambda *args: finish(sig(*args))) if sig.type.is_async else sig


_FUNCTIONS = {COLLECT: collect, MAP: xmap, STARMAP: xstarmap, UNREADABLE: unreadable}
