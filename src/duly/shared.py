"""Apps known to a process: which is current, and the tasks that all of them share.

``@shared_task`` makes a task for whatever app there is, for modules that are used by several programs (Django's
reusable apps). It is registered with every app, those made later too; what the decorator gives stands for the task of
the current app, which is the one made last.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, Unpack, cast, overload

from duly.request import current as running

if TYPE_CHECKING:
    from duly.app import BoundDecorator, Decorator, Duly
    from duly.task import AsyncTask, Task
    from duly.task_options import TaskOptions

P = ParamSpec("P")
R = TypeVar("R")

apps: weakref.WeakSet[Duly] = weakref.WeakSet()
"""Every app of this process."""

_current: weakref.ref[Duly] | None = None
_default: Callable[[], Duly] | None = None
_shared: list[Shared] = []


class Shared(NamedTuple):
    """A function that is a task of every app."""

    fn: Callable[..., Any]
    options: Mapping[str, Any]
    kind: type[Task[..., Any]] | None  # of its tasks, in apps whose own class is none of that kind

    def register(self, app: Duly) -> None:
        options = self.options
        if self.kind is not None and "base" not in options and not issubclass(app.task_class, self.kind):
            options = {**options, "base": self.kind}
        app.task(**options)(self.fn)


def announce(app: Duly, as_current: bool) -> None:
    """A new app: it gets the shared tasks, and becomes the current one."""
    apps.add(app)
    if as_current:
        make_current(app)
    for each in _shared:
        each.register(app)


def make_current(app: Duly) -> None:
    """``current_app`` is this one from now on."""
    global _current
    _current = weakref.ref(app)


def provide_default(make: Callable[[], Duly]) -> None:
    """What gives an app where none was made (Celery has one then)."""
    global _default
    _default = make


def get_current_app() -> Duly:
    """The app that was made last, or made current. RuntimeError if there is none."""
    app = None if _current is None else _current()
    if app is None and _default is not None:
        app = _default()
    if app is None:
        raise RuntimeError(
            'there is no app yet: import the module that makes it (app = Duly("proj")) before tasks are called'
        )
    return app


def get_current_task() -> Task[..., Any] | None:
    """The task that runs here; None outside of a job."""
    request = running.get()
    return None if request is None else request.of_task


class Proxy:
    """Stands for what ``find`` gives, each time anew."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_find", find)

    @property  # type: ignore[misc]  # what object has is read-write
    def __class__(self) -> Any:
        """That of the object, for isinstance()."""
        return type(self._find())

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        """That of the object, for help()."""
        return self._find().__doc__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._find(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._find()(*args, **kwargs)

    def __or__(self, other: Any) -> Any:
        return self._find() | other

    def __bool__(self) -> bool:
        return bool(self._find())

    def __eq__(self, other: object) -> bool:
        return bool(self._find() == (other._find() if type(other) is Proxy else other))

    def __hash__(self) -> int:
        return hash(self._find())

    def __repr__(self) -> str:
        return repr(self._find())

    def __dir__(self) -> list[str]:
        return dir(self._find())


current_app = cast("Duly", Proxy(get_current_app))
"""The current app."""

current_task = cast("Task[..., Any]", Proxy(get_current_task))
"""The task that runs here; false outside of a job."""


@overload
def shared_task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
@overload
def shared_task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(**options: Unpack[SharedOptions]) -> Decorator: ...
@overload
def shared_task(*, bind: bool, **options: Unpack[SharedOptions]) -> BoundDecorator: ...
def shared_task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """``@app.task`` for every app there is and will be. Raises ConfigError as that does, for the apps there are."""
    return share(options) if fn is None else share(options)(fn)


def share(
    options: Mapping[str, Any], kind: type[Task[..., Any]] | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """The decorator of :func:`shared_task`. ``kind``: the class whose options these are, if not duly's own."""

    def shared(function: Callable[..., Any]) -> Any:
        from duly.making import default_name

        entry = Shared(function, options, kind)
        _shared.append(entry)
        for app in list(apps):
            entry.register(app)
        name = options.get("name")
        return Proxy(lambda: (app := get_current_app()).find(name or default_name(app.name, function)))

    return shared


if TYPE_CHECKING:

    class SharedOptions(TaskOptions, total=False):
        base: type[Task[..., Any]]
