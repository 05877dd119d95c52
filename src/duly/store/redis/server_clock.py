"""The clock of a server, without asking it each time."""

from __future__ import annotations

import time


class ServerClock:
    """The server's clock, as far as it can be known from here: from what it answered, and how long that took.

    Measured against the monotonic clock, so that setting this host's clock changes nothing.
    """

    def __init__(self) -> None:
        self._offset = 0.0  # µs: the server's instant minus the monotonic clock
        self._doubt = float("inf")  # µs by which it may be wrong
        self._heard = 0  # ns, monotonic

    def hear(self, instant: int, sent: int, received: int) -> None:
        """The server said ``instant`` (µs) between two moments of the monotonic clock (ns)."""
        doubt = (received - sent) / 2000
        offset = instant - (received + sent) / 2000
        allowed = self._doubt + (received - self._heard) * _DRIFT
        if doubt <= allowed or abs(offset - self._offset) > doubt + allowed:  # better known, or it was set
            self._offset, self._doubt, self._heard = offset, doubt, received

    def is_stale(self) -> bool:
        return time.monotonic_ns() - self._heard > _STALE or self._doubt == float("inf")

    def now(self) -> int:
        return int(time.monotonic_ns() / 1000 + self._offset)


_DRIFT = 1e-4 / 1000  # µs a ns by which two clocks may part (100 ppm: a second in three hours)
_STALE = 10_000_000_000  # ns
