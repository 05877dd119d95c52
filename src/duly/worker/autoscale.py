"""How many executors a worker needs, between two bounds (``--autoscale``).

A job that is due and waits at two looks in a row calls for one executor more. One that had nothing to do for KEEP
seconds goes. Shrinking ends no job: an executor that leaves finishes what it runs.
"""

from __future__ import annotations

from collections.abc import Callable

from duly.clock import Clock

LOOK = 0.5  # seconds between two looks
KEEP = 30.0  # seconds for which an executor too many is kept


class Autoscale:
    """Decides; the desk and the crew do it. It belongs to the supervisor's main thread."""

    def __init__(self, most: int, least: int, clock: Clock) -> None:
        self.most = most
        self.least = least
        self._clock = clock
        self._next_look = 0.0  # monotonic
        self._waited = False  # at the last look a due job waited
        self._needed = clock.monotonic()  # when all executors were last needed

    def wanted(self, size: int, running: int, waiting: Callable[[], bool]) -> int:
        """The size that is right now; ``waiting`` says whether a due job waits, and is asked at most each LOOK."""
        now = self._clock.monotonic()
        if now < self._next_look:
            return size
        self._next_look = now + LOOK
        waits, before = waiting(), self._waited
        self._waited = waits
        if waits or running >= size:
            self._needed = now
        if waits and before and size < self.most:
            self._waited = False  # the new one gets a chance before the next
            return size + 1
        if now - self._needed >= KEEP and size > self.least:
            self._needed = now
            return size - 1
        return min(max(size, self.least), self.most)
