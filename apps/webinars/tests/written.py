"""iCalendar text that tests write, and the window and zone that they read it with."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from webinars.calendars.source import Window

WINDOW = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
BERLIN = ZoneInfo("Europe/Berlin")


def calendar(*events: str, head: str = "") -> str:
    """A whole calendar of events, each the lines between BEGIN and END."""
    body = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//\n{head}{body}END:VCALENDAR\n".replace("\n", "\r\n")
