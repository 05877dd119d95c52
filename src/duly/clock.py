"""Clocks.

Two kinds of time, never mixed: *instants* are integers, microseconds since 1970 in UTC, and are what
the store keeps; *durations* are float seconds measured on the monotonic clock. Everything that reads a
clock takes it as a parameter, so that the test kit can drive it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from typing import Protocol

MICROS = 1_000_000
"""Microseconds in a second."""


class Clock(Protocol):
    """What duly asks of a clock."""

    def now(self) -> int:
        """The instant now: microseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that is never set back; only differences mean anything."""
        ...


class SystemClock:
    """The host's clocks."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


SYSTEM = SystemClock()


def to_micros(moment: datetime, zone: tzinfo) -> int:
    """``moment`` as an instant; a naive one is read in ``zone`` (in a DST overlap: its ``fold``).

    Integer arithmetic throughout: ``timestamp()`` is a float and loses microseconds.
    """
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    since = moment.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * MICROS + since.microseconds


def from_micros(instant: int, zone: tzinfo = UTC) -> datetime:
    """The aware datetime of an instant, in ``zone``."""
    seconds, micros = divmod(instant, MICROS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros).astimezone(zone)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
