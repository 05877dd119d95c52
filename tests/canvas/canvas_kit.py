"""Tasks for canvases, and how to run one to its end."""

from __future__ import annotations

from typing import Any

from duly import Signature, Task
from duly.result import AsyncResult
from duly.testing import World


class Here:
    """An app with tasks, in a world."""

    def __init__(self, world: World, eager: bool = False) -> None:
        self.world = world
        self.app = app = world.app
        app.conf.task_always_eager = eager
        app.conf.task_eager_propagates = False
        self.seen: list[Any] = []  # what tasks noted
        seen = self.seen

        @app.task
        def add(x: int, y: int) -> int:
            return x + y

        @app.task
        def double(x: int) -> int:
            return 2 * x

        @app.task
        def total(xs: list[int]) -> int:
            return sum(xs)

        @app.task
        def same(x: Any) -> Any:
            return x

        @app.task
        def boom(*args: Any) -> None:
            raise ValueError("boom")

        @app.task
        def note(*args: Any, **kwargs: Any) -> None:
            seen.append((list(args), kwargs) if kwargs else list(args))

        @app.task
        def tell_id(id: str) -> None:
            seen.append(id)

        @app.task
        def tell_error(request: Any, exc: BaseException, traceback: str) -> None:
            seen.append((request.id, request.task.rpartition(".")[2], exc, traceback))

        @app.task(bind=True)
        def where(self: Task[..., Any], *args: Any) -> None:
            request = self.request
            seen.append({
                name: getattr(request, name)
                for name in ("id", "root_id", "parent_id", "group", "group_index", "chord", "stamps")
            })  # fmt: skip

        self.add, self.double, self.total, self.same, self.boom = add, double, total, same, boom
        self.note, self.tell_id, self.tell_error, self.where = note, tell_id, tell_error, where

    def run(self, what: Signature[Any] | AsyncResult[Any]) -> Any:
        """Call a signature, or take the result of a call; give it time, and give the value."""
        result: Any = what.apply_async() if isinstance(what, Signature) else what
        self.world.advance(600)
        return result.get(timeout=0)
