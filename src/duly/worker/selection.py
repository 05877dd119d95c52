"""What the supervisor's loop sleeps in: descriptors, and being woken from threads and signals."""

from __future__ import annotations

import contextlib
import os
import selectors
from collections import deque
from collections.abc import Callable

from duly.clock import Clock


class Loop:
    """Calls back when descriptors become readable."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._selector = selectors.DefaultSelector()
        self._soon: deque[Callable[[], None]] = deque()
        self._read_end, self.wake_fd = os.pipe()
        for fd in (self._read_end, self.wake_fd):
            os.set_blocking(fd, False)
        self.watch(self._read_end, self._drain)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def forget(self, fd: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def poke(self) -> None:
        """Wake the loop. Safe from any thread and from a signal handler."""
        with contextlib.suppress(OSError):  # full: it is awake already
            os.write(self.wake_fd, b"!")

    def soon(self, callback: Callable[[], None]) -> None:
        """Have the loop call this. Safe from any thread and from a signal handler."""
        self._soon.append(callback)
        self.poke()

    def turn(self, timeout: float) -> None:
        """Sleep until something happens, for ``timeout`` seconds at most, and let it be handled."""
        for key, _ in self._selector.select(timeout):
            if self._selector.get_map().get(key.fd) is key:  # not forgotten by a callback before
                key.data()
        while self._soon:
            self._soon.popleft()()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read_end, 4096):
                pass
