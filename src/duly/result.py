"""AsyncResult: a job seen by the one who asked for it.

It holds an id and no state: every question goes to the store. ``get`` looks, and if the job has not ended it sleeps
until the process's watcher (``waiting.py``) tells it. What it raises is in ``errors.py``.
"""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import Generator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from duly.call import due_of
from duly.clock import from_micros
from duly.codec import Codec, decode_value
from duly.errors import JobCancelled, JobError, JobUncertain, JobUnknown
from duly.failure import decode_error, rebuild_error
from duly.job import Change, Filter, Progress, Result, State, Verdict
from duly.waiting import Answer, Wait

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.task import Task

R = TypeVar("R")

_decode_progress = msgspec.json.Decoder(Progress).decode


class AsyncResult(Generic[R]):
    """One job. Equal to every other AsyncResult of the same id. Any thread may use it."""

    __slots__ = ("_app", "_task", "id")

    def __init__(self, id: str, app: Duly, task: Task[..., R] | None = None) -> None:
        self.id = id
        self._app = app
        self._task = task

    def __repr__(self) -> str:
        return f"<AsyncResult {self.id}>"

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, AsyncResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of ``duly.job.STATE_NAMES``, or ``unknown``."""
        found = self._peek()
        return "unknown" if found is None else found.state_name(self._app.now())

    def ready(self) -> bool:
        """Whether the job has ended, in whatever way."""
        found = self._peek()
        return found is not None and found.state.final

    def successful(self) -> bool:
        """Whether the job has succeeded."""
        found = self._peek()
        return found is not None and found.state == State.SUCCEEDED

    def failed(self) -> bool:
        """Whether the job has failed."""
        found = self._peek()
        return found is not None and found.state == State.FAILED

    @property
    def result(self) -> R | BaseException | None:
        """What the task returned, or the exception that ``get`` would raise; None while there is neither."""
        found = self._peek()
        if found is None or not found.state.final:
            return None
        return self._value(found) if found.state == State.SUCCEEDED else self._error(found)

    @property
    def traceback(self) -> str | None:
        """The text of the traceback of the last failed attempt; None without one."""
        found = self._peek()
        return None if found is None or found.error is None else decode_error(found.error).traceback

    @property
    def progress(self) -> Progress | None:
        """How far the task said it was."""
        found = self._peek()
        return None if found is None or found.progress is None else _decode_progress(found.progress)

    @property
    def attempts(self) -> int:
        """How often the job was started; 0 for an unknown one."""
        found = self._peek()
        return 0 if found is None else found.attempt

    # -- waiting ---------------------------------------------------------------------------------

    def get(self, timeout: float | None = None, propagate: bool = True) -> R:
        """The task's result, when it is there.

        ``timeout`` in seconds; None: wait for ever. Raises TimeoutError when time is up, the task's own
        exception if it failed (JobFailed if that cannot be rebuilt here), and JobCancelled, JobUncertain
        or JobUnknown. With ``propagate=False`` the exception of a job that ended is returned instead.
        None if the task keeps no result.
        """
        _check_timeout(timeout)
        found = self._peek()
        if found is not None and not found.state.final:
            found = self._wait(timeout)
        return self._finish(found, propagate)

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> R:  # noqa: ASYNC109
        """:meth:`get` for coroutines; ``await result`` is the same without a time limit."""
        _check_timeout(timeout)
        found = await asyncio.to_thread(self._peek)
        if found is not None and not found.state.final:
            found = await self._await(timeout)
        return await asyncio.to_thread(self._finish, found, propagate)

    def __await__(self) -> Generator[Any, None, R]:
        return self.aget().__await__()

    # -- changing --------------------------------------------------------------------------------

    def forget(self) -> bool:
        """Delete the job and its history, if it has ended; False if there was nothing to delete."""
        return self._app.store.forget([self.id]) > 0

    def cancel(self, terminate: bool = False) -> Verdict:
        """Cancel the job: *prevented* if it was waiting, *signalled* if it runs (``terminate``: killed without
        being asked first), *too late* or *unknown*."""
        return self._app.cancel(self.id, terminate=terminate)[0].verdict

    def move(self, *, eta: datetime | None = None, countdown: float | None = None) -> Verdict:
        """Give a waiting job another due: *moved*, *too late* or *unknown*. ValueError without either option."""
        if eta is None and countdown is None:
            raise ValueError("move() needs eta= or countdown=")
        due = due_of(countdown, eta, self._app.now(), self._app.zone)
        return self._app.store.move(self._self(), Change(due=due))[0].verdict

    def retry(self) -> Verdict:
        """Run a finished job again: *retried*, *key taken*, *too late* or *unknown*."""
        return self._app.retry(self.id)[0].verdict

    # -- how -------------------------------------------------------------------------------------

    def _self(self) -> Filter:
        return Filter(ids=(self.id,))

    def _peek(self) -> Result | None:
        return self._app.results([self.id])[0]

    def _wait(self, timeout: float | None) -> Result | None:
        told: list[Answer] = []
        done = threading.Lock()
        done.acquire()

        def tell(answer: Answer) -> None:
            told.append(answer)
            done.release()

        wait = Wait(self.id, tell)
        self._app.watcher.watch(wait)
        try:
            done.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
        finally:
            self._app.watcher.unwatch(wait)
        return _result(told[0]) if told else self._last_look(timeout)

    async def _await(self, timeout: float | None) -> Result | None:  # noqa: ASYNC109
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Answer] = loop.create_future()

        def settle(answer: Answer) -> None:
            if not told.done():
                told.set_result(answer)

        def tell(answer: Answer) -> None:
            try:
                loop.call_soon_threadsafe(settle, answer)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

        wait = Wait(self.id, tell)
        await asyncio.to_thread(self._app.watcher.watch, wait)
        try:
            return _result(await asyncio.wait_for(told, timeout))
        except TimeoutError:
            return await asyncio.to_thread(self._last_look, timeout)
        finally:
            self._app.watcher.unwatch(wait)

    def _last_look(self, timeout: float | None) -> Result | None:
        found = self._peek()
        if found is not None and not found.state.final:
            raise TimeoutError(self._why(found, timeout))
        return found

    def _why(self, found: Result, timeout: float | None) -> str:
        """Why there is no result yet, for the message of a TimeoutError."""
        store, now = self._app.store, self._app.now()
        state = found.state_name(now)
        text = f"no result of job {self.id} within {timeout:g} s: it is {state}"
        if state in ("scheduled", "retrying"):
            return f"{text}, due {from_micros(found.due, self._app.zone).isoformat(sep=' ')}"
        views = store.jobs(self._self()).jobs
        if not views or state == "running":
            return text
        queue = views[0].queue
        live = [worker for worker in store.workers() if worker.expires > now]
        if not live:
            start = f"duly -A {shlex.quote(self._app.name)} worker"
            return f"{text}, and no worker is running on {store.url} (start one: {start})"
        if not any(queue in worker.queues for worker in live):
            return f"{text}, and no worker serves queue {queue!r} (worker -Q {shlex.quote(queue)} would)"
        if not any(views[0].task in worker.tasks for worker in live):
            return f"{text}, and no worker has registered the task {views[0].task}"
        return text

    def _finish(self, found: Result | None, propagate: bool) -> R:
        if found is not None and found.state == State.SUCCEEDED:
            return self._value(found)
        error = self._error(found)
        if propagate:
            raise error
        return error  # type: ignore[return-value]  # what propagate=False asks for

    def _value(self, found: Result) -> R:
        if found.result is None:
            return None  # type: ignore[return-value]  # the task keeps no result
        codec = self._codec()
        return decode_value(found.result) if codec is None else codec.decode_result(found.result)  # type: ignore[no-any-return]

    def _codec(self) -> Codec | None:
        if self._task is not None:
            return self._task.codec
        views = self._app.store.jobs(self._self()).jobs
        task = self._app.tasks.get(views[0].task) if views else None
        return None if task is None else task.codec

    def _error(self, found: Result | None) -> Exception:
        if found is None:
            return JobUnknown(f"no job {self.id} in {self._app.store_url}: it never was, or was forgotten or pruned")
        if found.state == State.FAILED and found.error is not None:
            return rebuild_error(found.error)
        kind, words = _ENDINGS.get(found.state, (JobError, "ended without a result"))
        reason = "" if found.error is None else decode_error(found.error).message
        said = f": {reason}" if reason not in ("", "cancelled") else ""  # on request needs no reason
        return kind(f"job {self.id} {words}{said}")


class EagerResult(AsyncResult[R]):
    """The result of a call that ran in its caller (``task_always_eager``); in no store."""

    __slots__ = ("_found",)

    def __init__(self, app: Duly, task: Task[..., R], found: Result) -> None:
        super().__init__(found.id, app, task)
        self._found: Result | None = found

    def _peek(self) -> Result | None:
        return self._found

    def forget(self) -> bool:
        there, self._found = self._found is not None, None
        return there

    def cancel(self, terminate: bool = False) -> Verdict:
        return "too late"

    def move(self, *, eta: datetime | None = None, countdown: float | None = None) -> Verdict:
        return "too late"

    def retry(self) -> Verdict:
        return "too late"


_ENDINGS: dict[State, tuple[type[JobError], str]] = {
    State.CANCELLED: (JobCancelled, "was cancelled"),
    State.UNCERTAIN: (JobUncertain, "is at-most-once, and its worker died while it ran"),
    State.FAILED: (JobError, "failed and left no error"),
}


def _check_timeout(timeout: float | None) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout={timeout!r}: expected a number of seconds, or None to wait for ever")
    if timeout != timeout:
        raise ValueError("timeout=nan: expected a number of seconds, or None to wait for ever")


def _result(answer: Answer) -> Result | None:
    if isinstance(answer, Exception):
        raise answer
    return answer
