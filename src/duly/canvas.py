"""Canvases: signatures made of signatures, nested in each other in every way.

    chain   one after the other; each gets the result of the one before
    group   all at once
    chord   a group, then a body, which gets the list of the group's results
    chunks, xmap, xstarmap   one task over many arguments, in fewer jobs than arguments

``a | b`` makes chains and chords. The whole is stored at the call; no job calls the next one (see ``weaving.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from duly.builtin import MAP, STARMAP
from duly.group_result import GroupResult
from duly.signature import Signature, linked, maybe_signature, signature
from duly.weaving import FIRST, LAST, Ends, Given, Hold, Loom

if TYPE_CHECKING:
    from typing import Self

    from duly.app import Duly
    from duly.task import Task

__all__ = ["chain", "chord", "chunks", "group", "maybe_signature", "signature", "xmap", "xstarmap"]


def _first(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in FIRST}


def _each(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in FIRST and name not in LAST}


def _id(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name == "task_id"}


class _Canvas(Signature[Any]):
    """What canvases have in common."""

    @property
    def app(self) -> Duly:
        """That of the first task that has one."""
        if self._app is None:
            for one in self._parts():
                if isinstance(one, _Canvas) or one._app is not None:
                    return one.app
        return super().app

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """:meth:`delay`: there is no function that it could run here and now."""
        return self.delay(*args, **kwargs)


class _List(_Canvas):
    """A canvas that is a list of signatures: a chain or a group."""

    def __init__(self, *tasks: Any, app: Duly | None = None, **options: Any) -> None:
        """``tasks``: signatures, or one iterable of them; a group that another follows makes a chord with it."""
        if len(tasks) == 1 and _is_dict_of(self, tasks[0]):
            super().__init__(tasks[0], app=app)
            self["kwargs"] = {**self["kwargs"], "tasks": [signature(one) for one in self["kwargs"]["tasks"]]}
            return
        parts = [part for one in _signatures(tasks, str(self.kind)) for part in self._of(one)]
        super().__init__(f"duly.{self.kind}", (), {"tasks": parts}, options, app=app)

    @classmethod
    def _of(cls, one: Signature[Any]) -> list[Signature[Any]]:
        """What ``one`` is in it: one of its own kind, with no options, is its parts."""
        raise NotImplementedError

    @property
    def tasks(self) -> list[Signature[Any]]:
        return cast("list[Signature[Any]]", self["kwargs"]["tasks"])

    def _parts(self) -> Sequence[Signature[Any]]:
        return self.tasks

    def _copy(self) -> Self:
        made = super()._copy()
        made["kwargs"]["tasks"] = [one._copy() for one in self.tasks]
        return made

    def __len__(self) -> int:
        return len(self.tasks)


class chain(_List):  # noqa: N801 - Celery's name
    """``chain(a.s(), b.s(), c.s())``, or ``a.s() | b.s() | c.s()``: one after the other."""

    kind = "chain"

    @classmethod
    def _of(cls, one: Signature[Any]) -> list[Signature[Any]]:
        one = _unrolled(one)
        return one.tasks if type(one) is chain and _is_bare(one) else [one]

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks)) or "chain()"

    def weave(self, loom: Loom, hold: Hold | None, given: Given) -> Ends:
        whole = _over(self, given)
        if not self.tasks:
            raise ValueError("an empty chain has nothing to run; leave it out")
        ends: Ends | None = None
        for step in self.tasks:
            last = step is self.tasks[-1]
            options = {**_each(whole.options), **(_id(whole.options) if last else {})}
            if ends is None:
                before = None
                ends = step.weave(loom, hold, Given(whole.args, whole.kwargs, {**options, **_first(whole.options)}))
            else:
                before = ends
                ends = step.weave(loom, loom.hold(before), Given((), {}, options))
                loom.chord(before, ends)
            _precede(ends, before)
        assert ends is not None
        loom.link(ends, linked(whole.options.get("link")), linked(whole.options.get("link_error")))
        return ends


class group(_List):  # noqa: N801 - Celery's name
    """``group(a.s(1), a.s(2))``, or of one iterable: all at once. Its result is a GroupResult."""

    kind = "group"

    @classmethod
    def _of(cls, one: Signature[Any]) -> list[Signature[Any]]:
        return one.tasks if type(one) is group and _is_bare(one) else [one]

    def __repr__(self) -> str:
        return f"group({self.tasks!r})"

    def __call__(self, *args: Any, **options: Any) -> GroupResult:
        """:meth:`apply_async`."""
        return cast(GroupResult, self.apply_async(args, **options))

    def link(self, callback: Signature[Any]) -> Signature[Any]:
        """As in Celery: linked to the first task, without the result, so that it runs once."""
        if not self.tasks:
            raise ValueError(f"link({callback!r}): an empty group has no task to link to")
        return self.tasks[0].link(callback.clone().set(immutable=True))

    def link_error(self, errback: Signature[Any]) -> Signature[Any]:
        """Linked to every task: it is called for each that ends without success."""
        for one in self.tasks:
            one.link_error(errback)
        return errback

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> group:
        """Start the tasks one after the other: countdowns of ``start``, ``start + step`` ... seconds, beginning again
        beyond ``stop``."""
        at = start
        for one in self.tasks:
            one.set(countdown=at)
            at = start if stop is not None and at + step > stop else at + step
        return self

    def weave(self, loom: Loom, hold: Hold | None, given: Given) -> Ends:
        whole = _over(self, given)
        options = {**_each(whole.options), **_first(whole.options)}
        one = Given(whole.args, whole.kwargs, options)
        ends = loom.group([task.weave(loom, hold, one) for task in self.tasks], whole.options.get("task_id"))
        loom.link(ends, linked(whole.options.get("link")), linked(whole.options.get("link_error")))
        return ends


class chord(_Canvas):  # noqa: N801 - Celery's name
    """``chord(header)(body)``, or ``group(...) | body``: a group, then ``body`` with the list of its results."""

    kind = "chord"

    def __init__(self, header: Any, body: Any = None, *, app: Duly | None = None, **options: Any) -> None:
        if body is None and _is_dict_of(self, header):
            super().__init__(header, app=app)
            parts = self["kwargs"]
            body = maybe_signature(parts.get("body"))
            self["kwargs"] = {**parts, "header": _as_group(parts["header"]), "body": body}
            return
        if body is not None and not isinstance(body, Mapping):
            raise TypeError(f"chord(..., {body!r}): the body has to be a signature, like task.s()")
        super().__init__(
            "duly.chord", (), {"header": _as_group(header), "body": maybe_signature(body)}, options, app=app
        )

    @property
    def tasks(self) -> group:
        """The header."""
        return cast(group, self["kwargs"]["header"])

    header = tasks

    @property
    def body(self) -> Signature[Any]:
        body = self["kwargs"]["body"]
        if body is None:
            raise ValueError(f"{self!r} has no body: chord(header)(body), or chord(header, body)")
        return cast("Signature[Any]", body)

    def _parts(self) -> Sequence[Signature[Any]]:
        body = self["kwargs"]["body"]
        return [self.tasks] if body is None else [self.tasks, body]

    def _copy(self) -> Self:
        made = super()._copy()
        body = self["kwargs"]["body"]
        made["kwargs"].update(header=self.tasks._copy(), body=None if body is None else body._copy())
        return made

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        return f"chord({self.tasks.tasks!r}, {self['kwargs']['body']!r})"

    def __call__(self, body: Any = None, **options: Any) -> Any:
        """Call it, with this body if one is given; gives the body's result."""
        whole = self if body is None else chord({**self, "kwargs": {**self["kwargs"], "body": body}}, app=self._app)
        return whole.apply_async((), **options)

    def link(self, callback: Signature[Any]) -> Signature[Any]:
        """Linked to the body."""
        return self.body.link(callback)

    def link_error(self, errback: Signature[Any]) -> Signature[Any]:
        """Linked to the body, which fails, too, if a member of the header does."""
        return self.body.link_error(errback)

    def weave(self, loom: Loom, hold: Hold | None, given: Given) -> Ends:
        whole = _over(self, given)
        each = _each(whole.options)
        header = self.tasks.weave(loom, hold, Given(whole.args, whole.kwargs, {**each, **_first(whole.options)}))
        ends = self.body.weave(loom, loom.hold(header), Given((), {}, {**each, **_id(whole.options)}))
        loom.chord(header, ends)
        _precede(ends, header)
        loom.link(ends, linked(whole.options.get("link")), linked(whole.options.get("link_error")))
        return ends


class xmap(Signature[list[Any]]):  # noqa: N801 - Celery's name
    """``task.map(it)``: ``[task(x) for x in it]``, in one job."""

    kind = "xmap"
    runs = MAP

    def __init__(self, task: Any, it: Iterable[Any] = (), *, app: Duly | None = None, **options: Any) -> None:
        if _is_dict_of(self, task):
            super().__init__(task, app=app)
            return
        sig = task if isinstance(task, Signature) else task.s()
        values = {"task": dict(sig), "it": list(it)}
        super().__init__(self.runs, (), values, options, immutable=True, app=app or sig.app)

    def weave(self, loom: Loom, hold: Hold | None, given: Given) -> Ends:
        mapped = loom.app.tasks.get(self["kwargs"]["task"]["task"])
        if mapped is None or self.options.get("queue") or given.options.get("queue"):
            return super().weave(loom, hold, given)
        return super().weave(loom, hold, Given((), {}, {"queue": mapped.queue, **given.options}))

    @property
    def type(self) -> Task[..., list[Any]]:  # not in the registry, where a program finds only its own
        """The task that does it, which every worker has."""
        found = self.app.known(self.runs)
        assert found is not None
        return found

    def __repr__(self) -> str:
        return f"{self.kind}({self['kwargs']['task']['task']}, {len(self['kwargs']['it'])} of them)"


class xstarmap(xmap):  # noqa: N801 - Celery's name
    """``task.starmap(it)``: ``[task(*x) for x in it]``, in one job."""

    kind = "xstarmap"
    runs = STARMAP


class chunks(_Canvas):  # noqa: N801 - Celery's name
    """``task.chunks(it, n)``: a group of starmaps of ``n`` each."""

    kind = "chunks"

    def __init__(
        self, task: Any, it: Iterable[Any] = (), n: int = 1, *, app: Duly | None = None, **options: Any
    ) -> None:
        if _is_dict_of(self, task):
            super().__init__(task, app=app)
            return
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"n={n!r}: expected how many arguments go into one job, 1 or more")
        sig = task if isinstance(task, Signature) else task.s()
        super().__init__("duly.chunks", (), {"task": sig, "it": list(it), "n": n}, options, app=app or sig.app)

    def group(self) -> group:
        """The group that it is."""
        values = self["kwargs"]
        sig, rest = signature(values["task"], app=self._app), iter(values["it"])
        parts = iter(lambda: list(itertools.islice(rest, values["n"])), [])
        return group([xstarmap(sig, part, app=self._app) for part in parts], app=self._app)

    def __call__(self, **options: Any) -> GroupResult:
        """:meth:`apply_async`."""
        return cast(GroupResult, self.apply_async(**options))

    def weave(self, loom: Loom, hold: Hold | None, given: Given) -> Ends:
        return self.group().weave(loom, hold, Given((), {}, {**self.options, **given.options}))


def joined(left: Signature[Any], right: Signature[Any]) -> Signature[Any]:
    """``left | right``."""
    if isinstance(left, chunks):
        left = left.group()
    if isinstance(left, group):
        return chord(left, right, app=left._app)
    if isinstance(left, chord) and not isinstance(left, chain):
        made = left._copy()
        made["kwargs"]["body"] = joined(made.body, right)
        return made
    steps = list(left.tasks) if type(left) is chain else [left]
    made_chain = chain(*steps, right, app=left._app)
    if type(left) is chain:
        made_chain.update(args=left.args, options=dict(left.options), immutable=left.immutable)
    return made_chain


def _over(sig: Signature[Any], given: Given) -> Given:
    """``given`` over what a canvas says; its own keyword arguments are its parts."""
    whole = given.over(sig)
    own = {} if sig.immutable else dict(given.kwargs)
    return Given(whole.args, own, whole.options)


def _precede(ends: Ends, before: Ends | None) -> None:
    """Note what came before, at the beginning of what these ends came of."""
    if before is None:
        return
    at = ends
    while at.before is not None:
        at = at.before
    at.before = before


def _is_dict_of(sig: Signature[Any], value: object) -> bool:
    """Whether this is the dict form of a signature of this kind, to be made one again."""
    return isinstance(value, Mapping) and value.get("subtask_type") == sig.kind and "kwargs" in value


def _signatures(tasks: tuple[Any, ...], what: str) -> list[Signature[Any]]:
    """The parts of a canvas, given one by one or as one iterable."""
    if len(tasks) == 1 and not isinstance(tasks[0], Mapping):
        if not isinstance(tasks[0], Iterable):
            raise TypeError(f"{what}({tasks[0]!r}): expected signatures, like task.s(), or one iterable of them")
        tasks = tuple(tasks[0])
    for one in tasks:
        if not isinstance(one, Mapping):
            raise TypeError(f"{what}(...) has {one!r} in it; expected signatures, like task.s(4, 4)")
    return [signature(one) for one in tasks]


def _as_group(header: Any) -> group:
    if isinstance(header, chunks):
        return header.group()
    if isinstance(header, Signature):
        return header if isinstance(header, group) else group(header)
    if isinstance(header, Mapping):
        return _as_group(signature(header))
    return group(header)


def _unrolled(sig: Signature[Any]) -> Signature[Any]:
    """A group of one is that one, in a chain."""
    if type(sig) is group and len(sig.tasks) == 1 and _is_bare(sig):
        return sig.tasks[0]
    return sig


def _is_bare(sig: Signature[Any]) -> bool:
    """Whether a canvas has nothing of its own beside its tasks."""
    return not sig.options and not sig.args and not sig.immutable
