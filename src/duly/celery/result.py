"""``celery.result``: results with Celery's states and names. Each question goes to the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import msgspec

from duly import result as core
from duly.app import Duly
from duly.celery import states
from duly.clock import from_micros
from duly.codec import decode_value
from duly.group_result import GroupResult, ResultSet
from duly.job import Progress, Result, State
from duly.shared import get_current_app

if TYPE_CHECKING:
    from duly.task import Task

R = TypeVar("R")

_decode_progress = msgspec.json.Decoder(Progress).decode


class Words(core.AsyncResult[R]):
    """What Celery's result has beyond duly's, or says otherwise."""

    __slots__ = ()

    if TYPE_CHECKING:
        _app: Duly

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def state(self) -> str:
        """PENDING (also for an id that nobody knows), STARTED, RETRY, SUCCESS, FAILURE, REVOKED, or what the task
        said with ``update_state``."""
        found = self.peek()
        if found is None:
            return states.PENDING
        said = _said(found)
        if said is not None and said.state is not None and _still_holds(found):
            return said.state
        return states.of(found.state_name(self._app.now()))

    @property
    def status(self) -> str:
        return self.state

    @property
    def result(self) -> Any:
        """What the task returned, or the exception; while it runs, the ``meta`` of ``update_state``."""
        found = self.peek()
        said = None if found is None else _said(found)
        if found is not None and said is not None and said.meta is not msgspec.UNSET and _still_holds(found):
            return decode_value(bytes(said.meta))
        return super().result

    @property
    def info(self) -> Any:
        return self.result

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, R], object] | None = None,
        on_message: None = None,
        on_interval: None = None,
        disable_sync_subtasks: bool = True,
        **kwargs: Any,
    ) -> R:
        """As duly's ``get``; ``callback(id, value)`` is called with what there is. Inside a task it is not refused
        (``disable_sync_subtasks``): the lease is renewed while it waits, but the other job needs a slot of its own.

        Raises TypeError for ``on_message`` and ``on_interval``: there are no messages and no polling.
        """
        if on_message is not None or on_interval is not None:
            raise TypeError("get(on_message=..., on_interval=...): the caller is told once, when the job has ended")
        value = super().get(timeout, propagate)
        if callback is not None:
            callback(self.id, value)
        return value

    wait = get

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None) -> Any:
        """The result if the job has ended, raising what it raised; None before that."""
        return self.get(0, propagate, callback=callback) if self.ready() else None

    maybe_reraise = maybe_throw

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Cancel the job, for good; ``cancel`` is the same and says what came of it."""
        self.cancel(terminate)

    def then(self, callback: Callable[..., Any], on_error: Any = None, weak: bool = False) -> NoReturn:
        """Refused: TypeError."""
        raise TypeError("then(): nobody here hears of a job's end; wait with get(), or give the call a link=")

    def as_tuple(self) -> tuple[tuple[str, None], None]:
        """What ``result_from_tuple`` takes."""
        return (self.id, None), None

    def as_list(self) -> list[str]:
        return [self.id]

    @property
    def supports_native_join(self) -> bool:
        return False

    # -- what Celery keeps with result_extended, and duly always -----------------------------------

    @property
    def date_done(self) -> datetime | None:
        """When the job ended, UTC."""
        view = self._view()
        return None if view is None or view.finished is None else from_micros(view.finished)

    @property
    def name(self) -> str | None:
        view = self._view()
        return None if view is None else view.task

    @property
    def args(self) -> list[Any] | None:
        view = self._view()
        return None if view is None else decode_value(view.args)[0]

    @property
    def kwargs(self) -> dict[str, Any] | None:
        view = self._view()
        return None if view is None else decode_value(view.args)[1]

    @property
    def worker(self) -> str | None:
        view = self._view()
        return None if view is None else view.worker

    @property
    def retries(self) -> int | None:
        view = self._view()
        return None if view is None else view.retries

    @property
    def queue(self) -> str | None:
        view = self._view()
        return None if view is None else view.queue


class AsyncResult(Words[R]):
    """The job of an id: ``app.AsyncResult(id)``, ``AsyncResult(id, app=app)``, or ``AsyncResult(id)`` of the current
    app."""

    __slots__ = ()

    def __init__(
        self,
        id: str,
        backend: Any = None,
        task_name: Any = None,
        app: Duly | None = None,
        parent: Any = None,
    ) -> None:
        """``backend`` means nothing. (Calls inside duly give the app and the task in these two places.)"""
        made_here = isinstance(backend, Duly)
        owner = backend if made_here else app or get_current_app()
        super().__init__(
            id, owner, cast("Task[..., R] | None", task_name if made_here else owner.tasks.get(task_name))
        )
        self._parent = parent


class EagerResult(Words[R], core.EagerResult[R]):
    """The result of a call that ran in its caller."""

    __slots__ = ()


def result_from_tuple(r: Any, app: Duly | None = None) -> AsyncResult[Any] | GroupResult:
    """The result, or that of a group, that ``as_tuple`` gave."""
    (id, _), members = r
    if members is None:
        return AsyncResult(id, app=app)
    return GroupResult(id, [cast("AsyncResult[Any]", result_from_tuple(one, app)) for one in members], app)


def _said(found: Result) -> Progress | None:
    return None if found.progress is None else _decode_progress(found.progress)


def _still_holds(found: Result) -> bool:
    """Whether what the task last said of its state is its state: while it runs, or when it left with Ignore."""
    return found.state in (State.RUNNING, State.CANCELLED)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """For programs that wait for a result inside of a task, which is allowed here anyway."""
    yield


__all__ = ["AsyncResult", "EagerResult", "GroupResult", "ResultSet", "allow_join_result", "result_from_tuple"]
