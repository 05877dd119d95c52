"""The clock of a server, without asking it each time."""

from __future__ import annotations

import math
import time

_DRIFT = 1e-4  # µs a µs by which two clocks may part (a second in three hours)
_STALE = 10_000_000  # µs
_WELL_KNOWN = 500  # µs


class ServerClock:
    """The server's clock, as far as it can be known from here: from what it answered, and when.

    An answer that was sent for at one moment and came at another says that the server's instant lay between the two;
    so it bounds the offset from both sides. What all answers together leave is much narrower than what any of them
    does, because the delays on the way there and on the way back are small at different times. Measured against the
    monotonic clock, so that setting this host's clock changes nothing.
    """

    def __init__(self) -> None:
        self._least, self._most = -math.inf, math.inf  # µs: bounds of the server's instant minus the monotonic clock
        self._heard = 0.0  # µs, monotonic

    def hear(self, instant: int, sent: int, received: int) -> None:
        """The server said ``instant`` (µs) between two moments of the monotonic clock (ns)."""
        earliest, latest = sent / 1000, received / 1000
        parted = (latest - self._heard) * _DRIFT
        least = max(self._least - parted, instant - latest)
        most = min(self._most + parted, instant - earliest)
        if least > most:  # a clock was set, or another server answers
            least, most = instant - latest, instant - earliest
        self._least, self._most, self._heard = least, most, latest

    def is_known(self, well: bool = False) -> bool:
        """Whether it was heard lately; ``well``: and to half a millisecond."""
        lately = time.monotonic_ns() / 1000 - self._heard < _STALE and self._most < math.inf
        return lately and not (well and self._most - self._least > _WELL_KNOWN)

    def now(self) -> int:
        return int(time.monotonic_ns() / 1000 + (self._least + self._most) / 2)
