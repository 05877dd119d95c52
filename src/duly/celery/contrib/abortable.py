"""``celery.contrib.abortable``: tasks that look whether they are to stop, at moments of their own choosing.

::

    @app.task(bind=True, base=AbortableTask)
    def convert(self, pages):
        for page in pages:
            if self.is_aborted():
                return "stopped"

    convert.delay(pages).abort()

A cancelled job of such a task is not interrupted; one that goes on for ``worker_cancel_grace`` is killed all the
same.
"""

from __future__ import annotations

from typing import Any, ClassVar, ParamSpec, TypeVar, cast

from duly.celery import states
from duly.celery.app.task import Task
from duly.celery.result import AsyncResult
from duly.request import current

P = ParamSpec("P")
R = TypeVar("R")

ABORTED = "ABORTED"


class AbortableAsyncResult(AsyncResult[R]):
    """A job that can be asked to stop."""

    __slots__ = ()

    @property
    def state(self) -> str:
        """ABORTED while it was asked to stop and has not ended; else as ever."""
        found = super().state
        if found in states.READY_STATES:
            return found
        view = self._view()
        return ABORTED if view is not None and view.cancelling else found

    def is_aborted(self) -> bool:
        """Whether it was asked to stop."""
        return self.state in (ABORTED, states.REVOKED)

    def abort(self) -> None:
        """Ask it to stop; one that waits never starts."""
        self.cancel()


class AbortableTask(Task[P, R]):
    """A task whose running job asks ``self.is_aborted()``."""

    interruptible: ClassVar[bool] = False

    def result_of(self, id: str) -> AbortableAsyncResult[R]:
        return AbortableAsyncResult(id, cast(Any, self.app), cast(Any, self))

    def is_aborted(self, **kwargs: Any) -> bool:
        """Whether the running job was asked to stop; False outside of a job. Asks the store each time."""
        request = current.get()
        return request is not None and request.store is not None and self.result_of(request.id).is_aborted()
