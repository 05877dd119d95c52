"""iCalendar text to events: recurrence, exceptions, zones, in the dialects of Google, Outlook and Apple.

The parsing and the recurrence are done by icalendar and recurring-ical-events. What is decided here: which name an
occurrence has for good, what a time without a zone means, and where in the text the link is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import icalendar
import recurring_ical_events

from webinars import links
from webinars.calendars.source import Reading, Window
from webinars.errors import ReadFailed
from webinars.event import DEFAULT_LENGTH, Event

_LINK_FIELDS = (
    "CONFERENCE",  # RFC 7986
    "X-GOOGLE-CONFERENCE",
    "X-MICROSOFT-SKYPETEAMSMEETINGURL",
    "X-MICROSOFT-ONLINEMEETINGCONFLINK",
    "LOCATION",
    "URL",
    "X-ALT-DESC",
    "DESCRIPTION",
)
"""Where dialects put the link, the most trustworthy first."""


def parse(name: str, text: str | bytes, window: Window, zone: tzinfo, mine: Iterable[str] = ()) -> Reading:
    """All occurrences in the window.

    ``zone`` is that of times without one, unless the calendar names its own. ``mine`` are the user's addresses: what
    they declined is marked. Raises ReadFailed for text that is no iCalendar, or only the beginning of one.
    """
    calendar = _calendar(name, text)
    floating = _own_zone(calendar) or zone
    series = _series(calendar)
    addresses = frozenset(address.lower() for address in mine)
    events, cancelled = [], set()
    try:
        occurrences = recurring_ical_events.of(calendar, skip_bad_series=True).between(window.start, window.end)
    except (ValueError, TypeError, KeyError) as error:
        raise ReadFailed(f"{name}: a recurrence in it cannot be computed: {error}") from None
    for component in occurrences:
        uid = _uid(component, series)
        if str(component.get("STATUS", "")).upper() == "CANCELLED":
            cancelled.add(uid)
        else:
            events.append(_event(name, uid, component, floating, addresses))
    cancelled -= {event.uid for event in events}
    return Reading(tuple(sorted(events, key=lambda event: (event.start, event.uid))), frozenset(cancelled))


def _calendar(name: str, text: str | bytes) -> icalendar.Calendar:
    raw = text.encode() if isinstance(text, str) else text
    if b"BEGIN:VCALENDAR" not in raw[:4096]:
        raise ReadFailed(f"{name}: this is no iCalendar; it begins with {raw[:40]!r}")
    if b"END:VCALENDAR" not in raw[-4096:]:
        raise ReadFailed(f"{name}: the calendar is cut off: it has no END:VCALENDAR")
    try:
        return icalendar.Calendar.from_ical(raw)
    except (ValueError, IndexError, KeyError) as error:
        raise ReadFailed(f"{name}: the calendar cannot be parsed: {error}") from None


def _own_zone(calendar: icalendar.Calendar) -> tzinfo | None:
    name = str(calendar.get("X-WR-TIMEZONE", ""))
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def _series(calendar: icalendar.Calendar) -> frozenset[str]:
    """The uids that stand for more than one occurrence."""
    return frozenset(
        str(component.get("UID"))
        for component in calendar.walk("VEVENT")
        if any(field in component for field in ("RRULE", "RDATE", "RECURRENCE-ID"))
    )


def _uid(component: Any, series: frozenset[str]) -> str:
    """The event's UID; for one of a series with the instant that the series gave it, which stays when it is moved."""
    uid = str(component.get("UID", "")) or f"{component.get('SUMMARY')}@{component['DTSTART'].dt}"
    if uid not in series or "RECURRENCE-ID" not in component:
        return uid
    nominal = component["RECURRENCE-ID"].dt
    if isinstance(nominal, datetime) and nominal.tzinfo is not None:
        nominal = nominal.astimezone(UTC)
    return f"{uid}/{nominal.isoformat()}"


def _event(name: str, uid: str, component: Any, floating: tzinfo, mine: frozenset[str]) -> Event:
    start, all_day = _instant(component["DTSTART"].dt, floating)
    end = _instant(component["DTEND"].dt, floating)[0] if "DTEND" in component else start
    texts = list(_texts(component))
    return Event(
        calendar=name,
        uid=uid,
        title=str(component.get("SUMMARY", "")).strip() or "(no title)",
        start=start,
        end=end if end > start else start + DEFAULT_LENGTH,
        links=links.find(*texts),
        organiser=_organiser(component),
        passcode=links.passcode(texts),
        all_day=all_day,
        declined=_declined(component, mine),
    )


def _instant(value: date, floating: tzinfo) -> tuple[datetime, bool]:
    """A DTSTART or DTEND in UTC, and whether it is a day."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=floating).astimezone(UTC), True
    return (value if value.tzinfo else value.replace(tzinfo=floating)).astimezone(UTC), False


def _texts(component: Any) -> Iterator[str]:
    for field in _LINK_FIELDS:
        for value in _list(component.get(field)):
            yield str(value)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _organiser(component: Any) -> str:
    value = component.get("ORGANIZER")
    if value is None:
        return ""
    address = str(value).lower().removeprefix("mailto:")
    return f"{value.params.get('CN', '')} <{address}>".strip()


def _declined(component: Any, mine: frozenset[str]) -> bool:
    return any(
        str(attendee).lower().removeprefix("mailto:") in mine
        and str(attendee.params.get("PARTSTAT", "")).upper() == "DECLINED"
        for attendee in _list(component.get("ATTENDEE"))
    )


def window(now: datetime, ahead: timedelta) -> Window:
    """What is read each hour: from a day ago, so that what runs now is there, to ``ahead``."""
    return Window(now - timedelta(days=1), now + ahead)
