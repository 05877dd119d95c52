"""Times as people read and write them: spans like "2m" in the settings, instants in their zone on screens."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def span(text: str) -> timedelta:
    """ "90s", "2m", "1h30m", "14d". Raises ValueError."""
    seconds, at = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != at:
            break
        seconds, at = seconds + float(part[1]) * _UNITS[part[2]], part.end()
    if not text or at != len(text):
        raise ValueError(f"{text!r} is no span of time; write 90s, 2m, 1h30m or 14d")
    return timedelta(seconds=seconds)


def span_text(length: timedelta) -> str:
    """The two largest units: "1 h 05 min", "43 s", "12 d 3 h"."""
    seconds = max(round(length.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86_400
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def from_micros(instant: int) -> datetime:
    """An instant of duly (microseconds UTC)."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def local(moment: datetime, zone: tzinfo) -> str:
    """ "Thu 2026-11-26 02:00 CET"."""
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"


def clock(moment: datetime, zone: tzinfo) -> str:
    """ "02:00:07"."""
    return f"{moment.astimezone(zone):%H:%M:%S}"
