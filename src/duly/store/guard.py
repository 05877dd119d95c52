"""One thread at a time in a store's connection, and none of it in a forked child.

A signal handler that interrupts a call of the store may call it again in the same thread: it is told that it may not
(RuntimeError), and would not wait for itself. A fork waits for the call of another thread to end, for in the child
nobody would ever release the lock that the thread held.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

from duly.forks import living

T = TypeVar("T")

_FORK_PATIENCE = (
    1.0  # seconds; who holds the lock for longer waits for a server, outside of anything a fork could break
)


class Guard:
    """The door of one store in this process."""

    def __init__(self, name: str) -> None:
        """``name``: the store's, for people."""
        self._name = name
        self._lock = threading.RLock()  # lets a signal handler in, to be told that it may not be here
        self._inside = False
        self._held_for_fork = False
        _guards.add(self)

    def pass_through(self, call: Callable[[], T]) -> T:
        """Run ``call`` alone. Functions around functions and no context manager written in Python: one of those, when
        a signal handler raises at the door of its __exit__, leaves the lock held for ever."""
        with self._lock:
            if self._inside:
                raise RuntimeError(
                    f"store {self._name}: called by a signal handler (or a finalizer) that interrupted another call "
                    "of the store in the same thread; nothing was done. Set a flag in the handler, and call where it "
                    "is read"
                )
            try:
                self._inside = True
                return call()
            finally:
                self._inside = False

    def before_fork(self) -> None:
        self._held_for_fork = self._lock.acquire(timeout=_FORK_PATIENCE)

    def after_fork_in_parent(self) -> None:
        if self._held_for_fork:
            self._held_for_fork = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        self._held_for_fork = self._inside = False
        self._lock = threading.RLock()


_guards: WeakSet[Guard] = WeakSet()


def _before_fork() -> None:
    for guard in sorted(living(_guards), key=id):
        guard.before_fork()


def _after_fork_in_parent() -> None:
    for guard in living(_guards):
        guard.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for guard in living(_guards):
        guard.after_fork_in_child()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
