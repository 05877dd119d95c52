"""Waiting for jobs to end: one thread and one listener for everybody in this process who waits.

The thread exists while somebody waits and for a few seconds after. It sleeps in the store's listener; a wake-up
or the poll interval (short at first, a second at most) makes it ask the store for all awaited jobs in one go.
A wake-up is a hint: polling is the guarantee. If the store fails, everybody who waits is told.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from duly.clock import SYSTEM, Clock
from duly.job import Result
from duly.store.contract import Listener, Store

FIRST_POLL = 0.005
LAST_POLL = 1.0
LINGER = 5.0
CHUNK = 500
"""Jobs asked for in one query."""

Answer = Result | Exception | None
"""A job that ended; the store's error; None for a job it does not know."""


class Wait:
    """One caller waiting for one job. ``tell`` is called once, from the watcher's thread."""

    __slots__ = ("id", "tell")

    def __init__(self, id: str, tell: Callable[[Answer], None]) -> None:
        self.id = id
        self.tell = tell


class Watcher:
    """Tells those who wait for the jobs of one store.

    1. ``watch`` adds a wait, starts the thread if there is none, and pokes it to look at once: the job may have
       ended between the caller's own look and now.
    2. The thread looks, tells, sleeps; once nobody has waited for LINGER seconds it closes its listener and ends.
    3. After a fork the child starts with nobody waiting.
    """

    def __init__(self, store: Callable[[], Store], clock: Clock = SYSTEM) -> None:
        self._store = store
        self._clock = clock
        self._reset()
        _watchers.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waits: set[Wait] = set()
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._fresh = False  # somebody came since the last look
        self._closing = False

    def watch(self, wait: Wait) -> None:
        """Tell ``wait`` when its job has ended. Raises StoreError if the store cannot be listened to."""
        with self._lock:
            self._closing = False
            if self._thread is None:
                self._listener = self._store().listen("results")
                self._thread = threading.Thread(
                    target=self._run, args=(self._listener,), name="duly-results", daemon=True
                )
                self._thread.start()
            self._waits.add(wait)
            self._fresh = True
            listener = self._listener
        assert listener is not None
        listener.poke()

    def unwatch(self, wait: Wait) -> None:
        """Stop waiting; ``tell`` may be running at this moment."""
        with self._lock:
            self._waits.discard(wait)

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            thread, listener, self._closing = self._thread, self._listener, True
        if thread is not None and listener is not None:
            listener.poke()
            thread.join()

    def _run(self, listener: Listener) -> None:
        poll, idle_since = FIRST_POLL, None
        while True:
            with self._lock:
                if self._fresh:
                    poll, idle_since, self._fresh = FIRST_POLL, None, False
                elif not self._waits and idle_since is None:
                    idle_since = self._clock.monotonic()
                idle = idle_since is not None and self._clock.monotonic() - idle_since >= LINGER
                if self._closing or idle:
                    self._thread = self._listener = None
                    break
                ids = {wait.id for wait in self._waits}
            if ids:
                self._look(list(ids))
            listener.wait(poll)
            poll = min(poll * 2, LAST_POLL)
        listener.close()

    def _look(self, ids: list[str]) -> None:
        answers: dict[str, Answer] = {}
        try:
            store = self._store()
            for start in range(0, len(ids), CHUNK):
                chunk = ids[start : start + CHUNK]
                answers.update(zip(chunk, store.results(chunk), strict=True))
        except Exception as exc:  # whatever it is, those who wait must hear of it
            answers = dict.fromkeys(ids, exc)
        with self._lock:
            told = [wait for wait in self._waits if wait.id in answers and _ended(answers[wait.id])]
            self._waits.difference_update(told)
        for wait in told:
            wait.tell(answers[wait.id])


def _ended(answer: Answer) -> bool:
    return not isinstance(answer, Result) or answer.state.final


_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()


def _after_fork() -> None:
    for watcher in list(_watchers):
        watcher._reset()


os.register_at_fork(after_in_child=_after_fork)
