"""Waiting for jobs to end: one thread and one listener for everybody in this process who waits.

The thread exists while somebody waits and for a few seconds after. It sleeps in the store's listener; a wake-up
or the poll interval (short at first, a second at most) makes it ask the store for all awaited jobs in one go.
A wake-up is a hint: polling is the guarantee. If the store fails, everybody who waits is told.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Sequence

from duly.clock import SYSTEM, Clock
from duly.errors import StoreUnavailable
from duly.forks import living
from duly.job import GateView, Result
from duly.store.contract import Listener, Store

FIRST_POLL = 0.005
LAST_POLL = 1.0
LINGER = 5.0
CHUNK = 500
"""Jobs asked for in one query."""

Answer = Result | GateView | Exception | None
"""A job that ended; a gate that closed its count; the store's error; None for what it does not know."""


class Wait:
    """One caller waiting for one job, or for the members of one gate. ``tell`` is called once, from the watcher's
    thread; ``hasty``: also as soon as a member has failed."""

    __slots__ = ("gate", "hasty", "id", "tell")

    def __init__(self, id: str, tell: Callable[[Answer], None], gate: bool = False, hasty: bool = False) -> None:
        self.id = id
        self.tell = tell
        self.gate = gate
        self.hasty = hasty

    def ends_with(self, answer: Answer) -> bool:
        """Whether this is what is waited for."""
        if isinstance(answer, GateView):
            return answer.left == 0 or (self.hasty and answer.failed > 0)
        return not isinstance(answer, Result) or answer.state.final


class _Watch:
    """What one thread serves. Its fields are the watcher's, under the watcher's lock."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.waits: set[Wait] = set()
        self.fresh = False  # somebody came since the last look
        self.closing = False
        self.thread: threading.Thread


class Watcher:
    """Tells those who wait for the jobs of one store.

    1. ``watch`` adds a wait, starts the thread if there is none, and pokes it to look at once: the job may have
       ended between the caller's own look and now.
    2. The thread looks, tells, sleeps; once nobody has waited for LINGER seconds it closes its listener and ends.
    3. After a fork the child starts with nobody waiting.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        results: Callable[[Sequence[str]], list[Result | None]],
        clock: Clock = SYSTEM,
    ) -> None:
        """``store`` is listened to; ``results`` says what became of jobs."""
        self._store = store
        self._results = results
        self._clock = clock
        self._reset()
        _watchers.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._watch: _Watch | None = None  # of the thread that takes new waits; None: there is none

    def watch(self, wait: Wait) -> None:
        """Tell ``wait`` when its job has ended. Raises StoreError if the store cannot be listened to."""
        with self._lock:
            watch = self._watch or self._start()
            watch.waits.add(wait)
            watch.fresh = True
            watch.listener.poke()

    def unwatch(self, wait: Wait) -> None:
        """Stop waiting; ``tell`` may be running at this moment."""
        with self._lock:
            if self._watch is not None:
                self._watch.waits.discard(wait)

    def wait(self, id: str, timeout: float | None, gate: bool = False, hasty: bool = False) -> list[Answer]:
        """Block until there is the answer (see Wait); empty if ``timeout`` seconds pass. Raises StoreError."""
        told: list[Answer] = []
        done = threading.Lock()
        done.acquire()

        def tell(answer: Answer) -> None:
            told.append(answer)
            done.release()

        wait = Wait(id, tell, gate, hasty)
        self.watch(wait)
        try:
            done.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
        finally:
            self.unwatch(wait)
        return _checked(told)

    async def await_(
        self,
        id: str,
        timeout: float | None,  # noqa: ASYNC109
        gate: bool = False,
        hasty: bool = False,
    ) -> list[Answer]:
        """:meth:`wait` for coroutines."""
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

        wait = Wait(id, tell, gate, hasty)
        await asyncio.to_thread(self.watch, wait)
        try:
            return _checked([await asyncio.wait_for(told, timeout)])
        except TimeoutError:
            return []
        finally:
            self.unwatch(wait)

    def close(self) -> None:
        """End the thread; whoever still waits gets a StoreError."""
        with self._lock:
            watch = self._watch
            if watch is None:
                return
            watch.closing = True
            watch.listener.poke()
        watch.thread.join()

    def _start(self) -> _Watch:
        watch = _Watch(self._store().listen("results"))
        watch.thread = threading.Thread(target=self._run, args=(watch,), name="duly-results", daemon=True)
        watch.thread.start()
        self._watch = watch
        return watch

    def _run(self, watch: _Watch) -> None:
        reason: Exception = StoreUnavailable("the app was closed while somebody waited for a result")
        try:
            self._serve(watch)
        except Exception as exc:  # whatever it is, those who wait must hear of it
            reason = exc
        with self._lock:
            if self._watch is watch:
                self._watch = None
        watch.listener.close()
        for wait in watch.waits:
            wait.tell(reason)

    def _serve(self, watch: _Watch) -> None:
        """Look and sleep, until closed or long idle."""
        poll, busy_at = FIRST_POLL, self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            with self._lock:
                if watch.fresh:
                    poll, watch.fresh = FIRST_POLL, False
                busy_at = now if watch.waits else busy_at
                if watch.closing or now - busy_at >= LINGER:
                    self._watch = None  # from here on this thread takes nobody new
                    return
                jobs = [*{wait.id for wait in watch.waits if not wait.gate}]
                gates = [*{wait.id for wait in watch.waits if wait.gate}]
            if jobs:
                self._look(watch, jobs, False, self._results)
            if gates:
                self._look(watch, gates, True, lambda ids: self._store().gates(ids))
            watch.listener.wait(poll)
            poll = min(poll * 2, LAST_POLL)

    def _look(self, watch: _Watch, ids: list[str], gate: bool, ask: Callable[[list[str]], Sequence[Answer]]) -> None:
        answers: dict[str, Answer] = {}
        try:
            for start in range(0, len(ids), CHUNK):
                chunk = ids[start : start + CHUNK]
                answers.update(zip(chunk, ask(chunk), strict=True))
        except Exception as exc:  # the store's trouble is the trouble of all who wait
            answers = dict.fromkeys(ids, exc)
        with self._lock:
            mine = [wait for wait in watch.waits if wait.gate == gate and wait.id in answers]
            told = [wait for wait in mine if wait.ends_with(answers[wait.id])]
            watch.waits.difference_update(told)
        for wait in told:
            wait.tell(answers[wait.id])


def _checked(told: list[Answer]) -> list[Answer]:
    for answer in told:
        if isinstance(answer, Exception):
            raise answer
    return told


_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()


def _after_fork() -> None:
    for watcher in living(_watchers):
        watcher._reset()


os.register_at_fork(after_in_child=_after_fork)
