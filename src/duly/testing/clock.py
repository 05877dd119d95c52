"""A clock that a test drives.

Both kinds of time stand still until the test moves them. A store or worker that was given this clock
sees days pass in no time; what can go wrong is to give it to one part and leave another on the host's
clock.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from duly.clock import MICROS

START = 1_800_000_000 * MICROS
"""Where a new clock stands: 2027-01-15 08:00 UTC, the beginning of a minute."""


class ManualClock:
    """A :class:`duly.clock.Clock` that moves only when told to. Safe to share between threads."""

    def __init__(self, now: int = START) -> None:
        self._lock = threading.Lock()
        self._now = now
        self._run = 0  # µs of monotonic time

    def now(self) -> int:
        """The instant it was moved to, µs UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds it was advanced in all; :meth:`set` does not touch it."""
        return self._run / MICROS

    def advance(self, by: float | timedelta) -> int:
        """Let ``by`` (seconds, or a timedelta) pass on both clocks; gives the new instant.

        Raises ValueError for a negative ``by``: time that goes back is :meth:`set`.
        """
        micros = by // timedelta(microseconds=1) if isinstance(by, timedelta) else round(by * MICROS)
        if micros < 0:
            raise ValueError(f"time does not pass backwards: advance({by!r}); use set() to set the clock back")
        with self._lock:
            self._now += micros
            self._run += micros
            return self._now

    def set(self, now: int) -> None:
        """Set the wall clock to an instant, µs UTC, as a person or NTP would: no time passes."""
        with self._lock:
            self._now = now
