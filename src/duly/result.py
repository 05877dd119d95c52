"""AsyncResult: a job seen by the one who asked for it.

It holds an id and no state: every question goes to the store. ``get`` looks, and if the job has not ended it sleeps
until the process's watcher (``waiting.py``) tells it. What it raises is in ``errors.py``.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import deque
from collections.abc import Generator, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from duly.call import due_of
from duly.clock import from_micros
from duly.codec import Codec, decode_value
from duly.config import did_you_mean
from duly.errors import ChordError, DecodeError, IncompleteStream, JobCancelled, JobError, JobUncertain, JobUnknown
from duly.failure import decode_error, rebuild_error
from duly.job import Change, Filter, Flag, GateView, JobView, Options, Place, Progress, Result, State, Verdict
from duly.store.contract import Store
from duly.waiting import Answer

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.group_result import ResultSet
    from duly.task import Task

R = TypeVar("R")

_decode_options = msgspec.json.Decoder(Options).decode
_decode_progress = msgspec.json.Decoder(Progress).decode


class AsyncResult(Generic[R]):
    """One job. Equal to every other AsyncResult of the same id. Any thread may use it."""

    __slots__ = ("_app", "_parent", "_task", "id")

    def __init__(self, id: str, app: Duly, task: Task[..., R] | None = None) -> None:
        self.id = id
        self._parent: AsyncResult[Any] | ResultSet | None = None  # if whoever made it knows
        self._app = app
        self._task = task

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __str__(self) -> str:
        """The id, which is what programs put into pages and addresses."""
        return self.id

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, AsyncResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of ``duly.job.STATE_NAMES``, or ``unknown``."""
        found = self.peek()
        return "unknown" if found is None else found.state_name(self._app.now())

    def ready(self) -> bool:
        """Whether the job has ended, in whatever way."""
        found = self.peek()
        return found is not None and found.state.final

    def successful(self) -> bool:
        """Whether the job has succeeded."""
        found = self.peek()
        return found is not None and found.state == State.SUCCEEDED

    def failed(self) -> bool:
        """Whether the job has failed."""
        found = self.peek()
        return found is not None and found.state == State.FAILED

    @property
    def result(self) -> R | BaseException | None:
        """What the task returned, or the exception that ``get`` would raise; None while there is neither."""
        found = self.peek()
        if found is None or not found.state.final:
            return None
        return self._value(found) if found.state == State.SUCCEEDED else self._error(found)

    @property
    def traceback(self) -> str | None:
        """The text of the traceback of the last failed attempt; None without one."""
        found = self.peek()
        return None if found is None or found.error is None else decode_error(found.error).traceback

    @property
    def progress(self) -> Progress | None:
        """How far the task said it was."""
        found = self.peek()
        return None if found is None or found.progress is None else _decode_progress(found.progress)

    @property
    def attempts(self) -> int:
        """How often the job was started; 0 for an unknown one."""
        found = self.peek()
        return 0 if found is None else found.attempt

    # -- its canvas ------------------------------------------------------------------------------

    @property
    def parent(self) -> AsyncResult[Any] | ResultSet | None:
        """The job, or the group, that it comes after in a canvas, or that called it; None without one."""
        if self._parent is None and (place := self._place()) is not None and place.parent is not None:
            self._parent = self._app.result_type(place.parent, self._app)
        return self._parent

    @parent.setter
    def parent(self, parent: AsyncResult[Any] | ResultSet | None) -> None:
        self._parent = parent

    @property
    def children(self) -> list[AsyncResult[Any]]:
        """The jobs that come after it in a canvas; errbacks among them once they are wanted."""
        found = self._view()
        if found is None:
            return []
        after = [one for gate, _ in found.gates for one in _everything(self._app.store, Filter(after=gate))]
        wanted = [one for one in after if not (one.held and one.flags & Flag.ON_FAILURE)]
        return [self._app.result_type(one.id, self._app) for one in reversed(wanted)]  # oldest first

    @property
    def root_id(self) -> str:
        """Id of the job that its canvas began with; its own if it is in none."""
        place = self._place()
        return self.id if place is None or place.root is None else place.root

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[AsyncResult[Any] | None, AsyncResult[Any]]]:
        """(parent, result) of this job and all that come after it. Raises IncompleteStream where one has not ended,
        unless ``intermediate``."""
        todo: deque[tuple[AsyncResult[Any] | None, AsyncResult[Any]]] = deque([(None, self)])
        seen = {self.id}
        while todo:
            parent, node = todo.popleft()
            yield parent, node
            if node.ready():
                fresh = [child for child in node.children if child.id not in seen]
                seen |= {child.id for child in fresh}
                todo.extend((node, child) for child in fresh)
            elif not intermediate:
                raise IncompleteStream(f"job {node.id} has not ended, so what comes after it is not known")

    def collect(self, intermediate: bool = False, **options: Any) -> Iterator[tuple[AsyncResult[Any], Any]]:
        """(result, value) of this job and all that come after it; ``options`` are those of :meth:`get`."""
        for _, node in self.iterdeps(intermediate):
            yield node, node.get(**options)

    def get_leaf(self) -> Any:
        """The value of the last job that comes after this one."""
        value = None
        for _, node in self.iterdeps():
            value = node.get()
        return value

    def _view(self) -> JobView | None:
        views = self._app.store.jobs(self._self()).jobs
        return views[0] if views else None

    def _place(self) -> Place | None:
        found = self._view()
        return None if found is None or found.options is None else _decode_options(found.options).place

    # -- waiting ---------------------------------------------------------------------------------

    def get(self, timeout: float | None = None, propagate: bool = True) -> R:
        """The task's result, when it is there.

        ``timeout`` in seconds; None: wait for ever. Raises TimeoutError when time is up, the task's own
        exception if it failed (JobFailed if that cannot be rebuilt here), and JobCancelled, JobUncertain
        or JobUnknown. With ``propagate=False`` the exception of a job that ended is returned instead.
        None if the task keeps no result.
        """
        check_timeout(timeout)
        found = self.peek()
        if found is not None and not found.state.final:
            found = self._wait(timeout)
        return self.read(found, propagate)

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> R:  # noqa: ASYNC109
        """:meth:`get` for coroutines; ``await result`` is the same without a time limit."""
        check_timeout(timeout)
        found = await asyncio.to_thread(self.peek)
        if found is not None and not found.state.final:
            found = await self._await(timeout)
        return await asyncio.to_thread(self.read, found, propagate)

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

    @property
    def app(self) -> Duly:
        return self._app

    def peek(self) -> Result | None:
        """What the store says of it now; None if it does not know it."""
        return self._app.results([self.id])[0]

    def _wait(self, timeout: float | None) -> Result | None:
        return self._told(self._app.watcher.wait(self.id, timeout), timeout)

    async def _await(self, timeout: float | None) -> Result | None:  # noqa: ASYNC109
        told = await self._app.watcher.await_(self.id, timeout)
        return self._told(told, timeout) if told else await asyncio.to_thread(self._last_look, timeout)

    def _told(self, told: list[Answer], timeout: float | None) -> Result | None:
        if not told:
            return self._last_look(timeout)
        [answer] = told
        assert answer is None or isinstance(answer, Result)
        return answer

    def _last_look(self, timeout: float | None) -> Result | None:
        found = self.peek()
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
            hint = did_you_mean(queue, {name for worker in live for name in worker.queues})
            return f"{text}, and no worker serves queue {queue!r}{hint} (worker -Q {shlex.quote(queue)} would)"
        if not any(views[0].task in worker.tasks for worker in live):
            return f"{text}, and no worker has registered the task {views[0].task}"
        return text

    def read(self, found: Result | None, propagate: bool) -> R:
        """The value, or the exception, of what the store says of it; raised if ``propagate``."""
        if found is not None and found.state == State.SUCCEEDED:
            return self._value(found)
        error = self._error(found)
        if propagate:
            raise error
        return error  # type: ignore[return-value]  # what propagate=False asks for

    def _value(self, found: Result) -> R:
        if found.result is None:
            return None  # type: ignore[return-value]  # the task keeps no result
        known = self._task
        if known is not None:
            try:
                return known.codec.decode_result(found.result)  # type: ignore[no-any-return]
            except DecodeError:
                if not self._goes_by_another(known):
                    raise
        codec = self._codec()
        return decode_value(found.result) if codec is None else codec.decode_result(found.result)  # type: ignore[no-any-return]

    def _goes_by_another(self, known: Task[..., R]) -> bool:
        """Whether the job went on as one of another task (``self.replace``), in whose form the result then is."""
        found = self._view()
        return found is not None and found.task != known.name

    def _codec(self) -> Codec | None:
        """That of the task whose job it is now."""
        found = self._view()
        task = None if found is None else self._app.known(found.task)
        return None if task is None else task.codec

    def _chord_error(self, error: bytes) -> ChordError | None:
        """What failed a job that never ran, if it waited for the results of a group; None if it did not."""
        place = self._place()
        if place is None or place.feed is None or place.feed.kind != "all":
            return None
        return chord_error(self._app.store.gates([place.feed.gate])[0], error)

    def _error(self, found: Result | None) -> Exception:
        if found is None:
            return JobUnknown(f"no job {self.id} in {self._app.store_url}: it never was, or was forgotten or pruned")
        if found.state == State.FAILED and found.error is not None:
            return (None if found.attempt else self._chord_error(found.error)) or rebuild_error(found.error)
        kind, words = _ENDINGS.get(found.state, (JobError, "ended without a result"))
        reason = "" if found.error is None else decode_error(found.error).message
        said = f": {reason}" if reason not in ("", "cancelled") else ""  # on request needs no reason
        return kind(f"job {self.id} {words}{said}")


def chord_error(gate: GateView | None, error: bytes) -> ChordError:
    """The error of a job that was to get the results of a gate's members; ``error``: the one it was failed with."""
    info = decode_error(error)
    wrong = ChordError(f"Dependency {None if gate is None else gate.first_failed} raised {info.type}: {info.message}")
    wrong.__cause__ = rebuild_error(error)
    return wrong


def _everything(store: Store, which: Filter) -> Iterator[JobView]:
    page = store.jobs(which)
    yield from page.jobs
    while page.after is not None:
        page = store.jobs(which, after=page.after)
        yield from page.jobs


class EagerResult(AsyncResult[R]):
    """The result of a call that ran in its caller (``task_always_eager``); in no store."""

    __slots__ = ("_found",)

    def __init__(self, app: Duly, task: Task[..., R], found: Result) -> None:
        super().__init__(found.id, app, task)
        self._found: Result | None = found

    def _view(self) -> JobView | None:
        return None

    def peek(self) -> Result | None:
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


def check_timeout(timeout: float | None) -> None:
    """Refuse what is no time limit. Raises TypeError, ValueError."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout={timeout!r}: expected a number of seconds, or None to wait for ever")
    if timeout != timeout:
        raise ValueError("timeout=nan: expected a number of seconds, or None to wait for ever")
