"""Signature: a call that is not made yet, to be passed on, completed, linked and put into a canvas.

It is a dict in Celery's form, ``{"task", "args", "kwargs", "options", "subtask_type", "immutable"}``, so it goes
through JSON as an argument of a task and is a Signature again by ``signature(d)``. The canvases in ``canvas.py`` are
signatures too. What a canvas becomes in the store is worked out by ``weaving.py`` when it is called.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from duly.call import check_parts
from duly.shared import get_current_app
from duly.stamping import StampingVisitor, stamp

if TYPE_CHECKING:
    from typing import Self

    from duly.app import Duly
    from duly.result import AsyncResult
    from duly.task import Task
    from duly.weaving import Ends, Given, Hold, Loom

R = TypeVar("R")
S = TypeVar("S")

_KINDS: dict[str, type[Signature[Any]]] = {}


class Signature(dict[str, Any], Generic[R]):
    """A call of one task. ``|`` makes chains: ``add.s(1, 2) | double.s()``.

    Its arguments may be completed later: those given then come *before* its own, like the result of the step before
    it in a chain. An immutable one (``task.si()``) takes none.
    """

    kind: ClassVar[str | None] = None  # its subtask_type

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind is not None:
            _KINDS[cls.kind] = cls

    def __init__(
        self,
        task: str | Task[..., R] | Mapping[str, Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        app: Duly | None = None,
        **more: Any,
    ) -> None:
        """``task``: a task, its name, or the dict of a signature. ``more``: further options."""
        if isinstance(task, Mapping):
            super().__init__(task)
            self._app = app
            return
        check_parts(args, kwargs)
        name = task if isinstance(task, str) else task.name
        super().__init__(
            task=name,
            args=tuple(args),
            kwargs=dict(kwargs or {}),
            options={**(options or {}), **more},
            subtask_type=self.kind,
            immutable=immutable,
        )
        self._app = app if isinstance(task, str) else task.app

    # -- its parts -------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """The task's name."""
        return cast(str, self["task"])

    name = task

    @property
    def args(self) -> tuple[Any, ...]:
        return tuple(self["args"])

    @property
    def kwargs(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self["kwargs"])

    @property
    def options(self) -> dict[str, Any]:
        """Options of ``apply_async``; ``link`` and ``link_error`` are lists of signatures."""
        return cast("dict[str, Any]", self["options"])

    @property
    def subtask_type(self) -> str | None:
        return cast("str | None", self.get("subtask_type"))

    @property
    def immutable(self) -> bool:
        return bool(self.get("immutable"))

    @property
    def id(self) -> str | None:
        """The id its job will have, if that was chosen."""
        return self.options.get("task_id")

    @property
    def app(self) -> Duly:
        """The app whose store it goes to; the current one if it was made of a name."""
        return self._app or get_current_app()

    @property
    def type(self) -> Task[..., R]:
        """The task. Raises TaskNotRegistered."""
        return self.app.find(self.task)

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.task}({', '.join(given)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return signature, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = type(self)(copy.deepcopy(dict(self), memo), app=self._app)
        memo[id(self)] = made
        return made

    # -- completing it ---------------------------------------------------------------------------

    def clone(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """A copy with ``args`` before its own and ``kwargs`` and ``options`` over its own; an immutable one takes
        only the options."""
        check_parts(args, kwargs)
        made = self._copy()
        if not self.immutable:
            made["args"] = (*args, *self.args)
            made["kwargs"].update(kwargs or {})
        made.options.update(options)
        return made

    partial = clone

    def _copy(self) -> Self:
        """A copy that can be changed without changing this one; the arguments themselves are shared."""
        made = type(self)({**self, "kwargs": dict(self["kwargs"]), "options": dict(self.options)}, app=self._app)
        for option in ("link", "link_error"):
            if option in made.options:
                made.options[option] = linked(made.options[option])
        return made

    def replace(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A copy with these in place of its own."""
        made = self._copy()
        if args is not None:
            made["args"] = tuple(args)
        if kwargs is not None:
            made["kwargs"] = dict(kwargs)
        if options is not None:
            made["options"] = dict(options)
        return made

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Change options of this signature; gives it."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Whether it takes no more arguments."""
        self["immutable"] = immutable

    # -- linking ---------------------------------------------------------------------------------

    def link(self, callback: Signature[S]) -> Signature[S]:
        """Run ``callback`` with the result once the job has succeeded; gives ``callback``."""
        return self._append("link", callback)

    def link_error(self, errback: Signature[S]) -> Signature[S]:
        """Run ``errback`` if the job ends without success, with (request, exc, traceback), or with the job's id if it
        takes one argument; gives ``errback``."""
        return self._append("link_error", errback)

    def on_error(self, errback: Signature[Any]) -> Self:
        """:meth:`link_error` that gives this signature."""
        self.link_error(errback)
        return self

    def _append(self, option: str, other: Signature[S]) -> Signature[S]:
        there = self.linked(option)
        if other not in there:
            self.options[option] = [*there, other]
        return other

    def linked(self, option: str) -> list[Signature[Any]]:
        """What is under ``link`` or ``link_error``."""
        found = linked(self.options.get(option))
        if found:
            self.options[option] = found  # signatures from now on, if they were dicts
        return found

    def flatten_links(self) -> list[Signature[Any]]:
        """This signature and all that are linked to it, however deep."""
        found: list[Signature[Any]] = [self]
        for other in self.linked("link"):
            found += other.flatten_links()
        return found

    def stamp(self, visitor: StampingVisitor | None = None, **stamps: Any) -> None:
        """Put ``stamps`` on every job it will become: headers that ``self.request.stamps`` shows."""
        stamp(self, visitor, stamps)

    # -- calling ---------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Run the task as a function, here and now."""
        whole = self.clone(args, kwargs)
        return self.type(*whole.args, **whole.kwargs)

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:
        """:meth:`apply_async` with these arguments before its own."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Store its jobs, all in one transaction. ``options``: those of ``Task.apply_async``, over its own.

        Raises TypeError and EncodeError for arguments that do not fit, StoreError.
        """
        from duly.weaving import call

        return cast("AsyncResult[R]", call(self, args, kwargs or {}, options))

    def apply(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Run it here and now, as jobs that no store knows; gives the result."""
        from duly.weaving import run_here

        return cast("AsyncResult[R]", run_here(self, args, kwargs or {}, options))

    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:
        """:meth:`delay` for coroutines."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """:meth:`apply_async` for coroutines: the event loop is not blocked while the jobs are stored."""
        import asyncio

        return await asyncio.to_thread(lambda: self.apply_async(args, kwargs, **options))

    def freeze(self, _id: str | None = None) -> AsyncResult[R]:
        """Choose the id of its job now; gives the result to come."""
        from duly.ids import new_id

        id = self.options.setdefault("task_id", _id or new_id())
        return self.app.result_type(id, self.app)

    def __invert__(self) -> R:
        """``~sig``: call it and wait for the value."""
        return self.apply_async().get()

    def __or__(self, other: Signature[S]) -> Signature[S]:  # type: ignore[override]  # of dict it merges two
        from duly.canvas import joined

        return joined(self, other) if isinstance(other, Signature) else NotImplemented

    # -- weaving ---------------------------------------------------------------------------------

    def weave(self, loom: Loom, hold: Hold | None, given: Given) -> Ends:
        """Add its jobs to ``loom``, to start when ``hold`` lets them."""
        return loom.step(self, hold, given)

    def _parts(self) -> Sequence[Signature[Any]]:
        """The signatures a canvas is made of."""
        return ()


def signature(
    task: str | Task[..., Any] | Mapping[str, Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    immutable: bool = False,
    app: Duly | None = None,
    **more: Any,
) -> Signature[Any]:
    """A signature of a task or its name, or the one that a dict (from JSON) stands for. Raises TypeError."""
    if isinstance(task, Signature):
        return task
    if isinstance(task, Mapping):
        if "task" not in task:
            raise TypeError(
                f"signature({dict(task)!r}): no signature; its dict has the keys task, args, kwargs, options"
            )
        kind = _KINDS.get(task.get("subtask_type") or "", Signature)
        return kind({**_EMPTY, **task}, app=app)
    if not isinstance(task, str) and not hasattr(task, "name"):
        raise TypeError(f"signature({task!r}): expected a task, its name, or the dict of a signature")
    return Signature(task, args, kwargs, options, immutable=immutable, app=app, **more)


def maybe_signature(value: Any, app: Duly | None = None) -> Any:
    """The signature that a dict stands for; anything else as it is."""
    return signature(value, app=app) if isinstance(value, Mapping) else value


def linked(value: Any) -> list[Signature[Any]]:
    """What an option ``link`` or ``link_error`` says: None, a signature, or a list of them."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [signature(value)]
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise TypeError(f"link or link_error={value!r}: expected a signature, like task.s(), or a list of them")
    return [signature(one) for one in value]


_EMPTY: dict[str, Any] = {"args": (), "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}
