"""Results of many jobs: ResultSet, any jobs; GroupResult, the members of a group, which the store counts.

A group is a gate (``duly.job``) whose members are its jobs, so ``GroupResult.restore(id)`` needs nothing saved, and a
group of a hundred thousand is waited for by one row.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from duly.job import Filter, GateView, Result, State
from duly.result import AsyncResult, EagerResult, check_timeout
from duly.shared import get_current_app
from duly.waiting import Answer, Wait

if TYPE_CHECKING:
    from duly.app import Duly

CHUNK = 500
"""Results asked for in one query."""


class ResultSet:
    """Results of jobs, looked at together. Any thread may use it, but only one change it."""

    def __init__(self, results: Iterable[AsyncResult[Any]], app: Duly | None = None) -> None:
        """``app``: that of the results unless given."""
        self.results = list(results)
        self._given_app = app

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(one.id for one in self.results)}]>"

    def __iter__(self) -> Iterator[AsyncResult[Any]]:
        return iter(self.results)

    def __getitem__(self, index: int) -> AsyncResult[Any]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __eq__(self, other: object) -> bool:
        return self.results == other.results if isinstance(other, ResultSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    @property
    def app(self) -> Duly:
        """The app of the results; the current one if there are none."""
        return self._given_app or (self.results[0].app if self.results else get_current_app())

    # -- changing the set ------------------------------------------------------------------------

    def add(self, result: AsyncResult[Any]) -> None:
        """Add a result, once."""
        if result not in self.results:
            self.results.append(result)

    def remove(self, result: AsyncResult[Any] | str) -> None:
        """Take a result, or the one of that id, out. Raises KeyError."""
        id = result if isinstance(result, str) else result.id
        found = [one for one in self.results if one.id == id]
        if not found:
            raise KeyError(id)
        self.results.remove(found[0])

    def discard(self, result: AsyncResult[Any] | str) -> None:
        """:meth:`remove`, if it is there."""
        id = result if isinstance(result, str) else result.id
        self.results = [one for one in self.results if one.id != id]

    def update(self, results: Iterable[AsyncResult[Any]]) -> None:
        """Add results, each once."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        self.results = []

    # -- looking ---------------------------------------------------------------------------------

    def completed_count(self) -> int:
        """How many succeeded."""
        return sum(one is not None and one.state == State.SUCCEEDED for one in self._look())

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(one is not None and one.state.final for one in self._look())

    def successful(self) -> bool:
        """Whether all have succeeded."""
        return self.completed_count() == len(self.results)

    def failed(self) -> bool:
        """Whether one has failed."""
        return any(one is not None and one.state == State.FAILED for one in self._look())

    def waiting(self) -> bool:
        """Whether one has not ended."""
        return not self.ready()

    def maybe_throw(self, callback: Callable[[str, Any], object] | None = None, propagate: bool = True) -> None:
        """Raise the exception of the first that ended without success; ``callback(id, value)`` gets those before."""
        for result, found in zip(self.results, self._look(), strict=True):
            if found is not None and found.state.final:
                value = result.read(found, propagate)
                if callback is not None:
                    callback(result.id, value)

    maybe_reraise = maybe_throw

    # -- waiting ---------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callable[[str, Any], object] | None = None,
    ) -> list[Any]:
        """The values of all, in order, when all are there.

        ``timeout`` in seconds, for all together. Raises TimeoutError, and with ``propagate`` the exception of a job
        that ended without success; else its exception stands in its place. ``callback(id, value)`` is called for
        each, and then the list is empty.
        """
        check_timeout(timeout)
        self._wait(timeout, propagate)
        return self._values(propagate, callback)

    join = get
    join_native = get

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> list[Any]:  # noqa: ASYNC109
        """:meth:`get` for coroutines; ``await results`` is the same without a time limit."""
        check_timeout(timeout)
        await self._await(timeout, propagate)
        return await asyncio.to_thread(self._values, propagate, None)

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self.aget().__await__()

    def iter_native(self, timeout: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, {"status", "result"}) of each, in the order in which they end; ``timeout`` for all together."""
        deadline = None if timeout is None else time.monotonic() + timeout
        ended: SimpleQueue[tuple[AsyncResult[Any], Answer]] = SimpleQueue()
        waits = []
        for result in self.results:
            found = result.peek()
            if found is None or found.state.final:
                ended.put((result, found))
            else:
                waits.append(Wait(result.id, functools.partial(_put, ended, result)))
        try:
            for wait in waits:
                self.app.watcher.watch(wait)
            for _ in self.results:
                yield self._next(ended, deadline, timeout)
        finally:
            for wait in waits:
                self.app.watcher.unwatch(wait)

    def _next(
        self, ended: SimpleQueue[tuple[AsyncResult[Any], Answer]], deadline: float | None, timeout: float | None
    ) -> tuple[str, dict[str, Any]]:
        try:
            result, answer = ended.get(timeout=_left(deadline))
        except Empty:
            raise TimeoutError(f"not all of {len(self.results)} results came within {timeout:g} s") from None
        if isinstance(answer, Exception):
            raise answer
        found = answer if isinstance(answer, Result) else None
        status = "unknown" if found is None else found.state_name(0)
        return result.id, {"status": status, "result": result.read(found, propagate=False)}

    def collect(self, intermediate: bool = False, **options: Any) -> Iterator[tuple[AsyncResult[Any], Any]]:
        """(result, value) of each and of all that come after; see ``AsyncResult.collect``."""
        for result in self.results:
            yield from result.collect(intermediate, **options)

    # -- changing the jobs -----------------------------------------------------------------------

    def cancel(self, terminate: bool = False) -> int:
        """Cancel every job; gives how many were prevented or signalled."""
        answers = [
            answer
            for chunk in _chunks([one.id for one in self.results])
            for answer in self.app.cancel(Filter(ids=tuple(chunk)), terminate)
        ]
        return sum(answer.verdict in ("prevented", "signalled") for answer in answers)

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Celery's words for :meth:`cancel`; nothing but ``terminate`` makes a difference."""
        self.cancel(terminate)

    def forget(self) -> None:
        """Delete the jobs that ended, with their history."""
        for chunk in _chunks([one.id for one in self.results]):
            self.app.store.forget(chunk)

    # -- how -------------------------------------------------------------------------------------

    def _look(self) -> list[Result | None]:
        if any(isinstance(one, EagerResult) for one in self.results):
            return [one.peek() for one in self.results]
        store = self.app.store
        return [found for ids in _chunks([one.id for one in self.results]) for found in store.results(ids)]

    def _wait(self, timeout: float | None, hasty: bool) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        for result in self.results:
            result.get(_left(deadline), propagate=hasty)

    async def _await(self, timeout: float | None, hasty: bool) -> None:  # noqa: ASYNC109
        deadline = None if timeout is None else time.monotonic() + timeout
        for result in self.results:
            await result.aget(_left(deadline), propagate=hasty)

    def _values(self, propagate: bool, callback: Callable[[str, Any], object] | None) -> list[Any]:
        found = self._look()
        if propagate:
            for one, result in zip(found, self.results, strict=True):
                if one is not None and one.state.final and one.state != State.SUCCEEDED:
                    result.read(one, propagate=True)
        values = []
        for one, result in zip(found, self.results, strict=True):
            value = result.read(one, propagate)
            if callback is None:
                values.append(value)
            else:
                callback(result.id, value)
        return values


class GroupResult(ResultSet):
    """The jobs of a group. ``id`` is the group's, and the gate's whose members they are."""

    def __init__(
        self,
        id: str,
        results: Iterable[AsyncResult[Any]],
        app: Duly | None = None,
        parent: AsyncResult[Any] | ResultSet | None = None,
    ) -> None:
        super().__init__(results, app)
        self.id = id
        self.parent = parent

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(one.id for one in self.results)}]>"

    def __str__(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, GroupResult) and self.id == other.id
        return same and super().__eq__(other) is True

    __hash__ = None

    @property
    def children(self) -> list[AsyncResult[Any]]:
        """The results."""
        return self.results

    @property
    def root_id(self) -> str | None:
        """Id of the job that the canvas began with; None for an empty group."""
        return self.results[0].root_id if self.results else None

    def completed_count(self) -> int:
        gate = self._gate()
        return super().completed_count() if gate is None else gate.size - gate.left - gate.failed

    def ready(self) -> bool:
        gate = self._gate()
        return super().ready() if gate is None else gate.left == 0

    def as_tuple(self) -> tuple[Any, ...]:
        """What ``celery.result.result_from_tuple`` takes."""
        return (self.id, None), [((one.id, None), None) for one in self.results]

    def save(self) -> GroupResult:
        """For Celery programs: the store has it from the call on."""
        return self

    def delete(self) -> None:
        """Delete the jobs that ended, with their history."""
        self.forget()

    @classmethod
    def restore(cls, id: str, app: Duly | None = None) -> GroupResult | None:
        """The group of that id; None if the store has none of its jobs (never had, or they were pruned)."""
        app = app or get_current_app()
        results = [app.result_type(one.id, app) for one in app.store.members(id)]
        return cls(id, results, app) if results else None

    def _gate(self) -> GateView | None:
        """How the store counts it; None if it does not (an empty group, an eager one)."""
        if not self.results or isinstance(self.results[0], EagerResult):
            return None
        [gate] = self.app.store.gates([self.id])
        return gate

    def _wait(self, timeout: float | None, hasty: bool) -> None:
        gate = self._gate()
        if gate is None:
            super()._wait(timeout, hasty)
        elif _is_over(gate, hasty):
            return
        elif not self.app.watcher.wait(self.id, timeout, gate=True, hasty=hasty):
            raise self._timed_out(timeout)

    async def _await(self, timeout: float | None, hasty: bool) -> None:  # noqa: ASYNC109
        gate = await asyncio.to_thread(self._gate)
        if gate is None:
            await super()._await(timeout, hasty)
        elif _is_over(gate, hasty):
            return
        elif not await self.app.watcher.await_(self.id, timeout, gate=True, hasty=hasty):
            raise await asyncio.to_thread(self._timed_out, timeout)

    def _timed_out(self, timeout: float | None) -> TimeoutError:
        gate = self._gate()
        left = "some" if gate is None else f"{gate.left:,} of {gate.size:,}"
        return TimeoutError(f"no results of group {self.id} within {timeout:g} s: {left} jobs have not ended")


def _is_over(gate: GateView, hasty: bool) -> bool:
    return gate.left == 0 or (hasty and gate.failed > 0)


def _put(ended: SimpleQueue[tuple[AsyncResult[Any], Answer]], result: AsyncResult[Any], answer: Answer) -> None:
    ended.put((result, answer))


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
