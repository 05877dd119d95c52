"""What a source of events is, and what it gives."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from webinars.event import Event


class Window(msgspec.Struct, frozen=True):
    """Which events are wanted: those that overlap this stretch of time (aware datetimes)."""

    start: datetime
    end: datetime


class Reading(msgspec.Struct, frozen=True):
    """A calendar as a whole, within a window: what is not in it is not in the calendar."""

    events: tuple[Event, ...]
    cancelled: frozenset[str] = frozenset()  # uids that the calendar itself says are cancelled


class Source(Protocol):
    """A calendar that can be read."""

    name: str

    def read(self, window: Window) -> Reading:
        """Raises ReadFailed unless the whole of the window was read."""
        ...
