"""Whether a reading may be believed. A failed, cut off or suddenly empty one never cancels anything: it is reported.

What was known before is remembered with each good reading. When the next one cannot be believed, what was known stays
wanted, and a person is told; ``webinars accept CALENDAR`` says that it is right after all.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from webinars.calendars.source import Reading
from webinars.event import Event

MANY = 5
"""So many events that vanish at once, if they are more than half of all, are no ordinary week."""


class Known(msgspec.Struct):
    """What is remembered of a calendar."""

    read_at: datetime
    upcoming: dict[str, datetime]  # uid to the event's end
    taken: list[Event]  # those that are webinars, as last believed
    problem: str = ""  # why the last reading failed or was not believed; empty if it was
    doubted: bool = False  # the last one was read, and not believed
    accept: bool = False  # a person says that the next reading is right, however empty


def doubt(known: Known | None, reading: Reading, now: datetime) -> str:
    """Why a reading is not believed; empty if it is.

    Events that are over, or that the calendar itself says are cancelled, have not vanished. Once doubted, it is
    doubted until nothing is missing: what was not believed does not become true because it is said for hours.
    """
    if known is None or known.accept:
        return ""
    expected = {uid for uid, end in known.upcoming.items() if end > now} - reading.cancelled
    found = {event.uid for event in reading.events}
    vanished = expected - found
    if not vanished:
        return ""
    if not found:
        return f"suddenly empty: {_events(len(vanished))} ahead, known at {known.read_at:%Y-%m-%d %H:%M} UTC, gone"
    if known.doubted or (len(vanished) >= MANY and len(vanished) * 2 > len(expected)):
        return f"{len(vanished)} of {_events(len(expected))} ahead are gone at once"
    return ""


def believed(reading: Reading, taken: list[Event], now: datetime) -> Known:
    """What to remember of a good reading."""
    ahead = {event.uid: event.end for event in reading.events if event.end > now}
    return Known(read_at=now, upcoming=ahead, taken=taken)


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"
