"""Times as people write and read them. Pure: the clock and the zone are parameters.

Instants are µs UTC, as everywhere; spans are µs too, so that nothing is rounded on the way in. What
cannot be read raises :class:`BadTime`, whose text quotes the value and shows the accepted forms.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from decimal import Decimal

from duly.clock import MICROS, from_micros, to_micros

FORMS = """\
  now, +1h30m, -10m                        from now (units: w d h m s ms)
  18:00, "today 18:00", "tomorrow 09:00"   by the clock on the wall
  2026-11-21, "2026-11-21 09:00"           the same, of a date
  "2026-11-21 09:00 +02:00"                with an offset
  2026-11-21T09:00:00Z, @1763715600        UTC; seconds since 1970"""
"""The forms an instant may have, for help pages and error messages."""

SPAN_FORMS = "90 (seconds), 90s, 10m, 1h30m, 2d, 1w, 250ms"

_UNITS = {
    "w": 7 * 86_400 * MICROS,
    "d": 86_400 * MICROS,
    "h": 3600 * MICROS,
    "min": 60 * MICROS,
    "m": 60 * MICROS,
    "s": MICROS,
    "ms": 1000,
    "us": 1,
    "µs": 1,
}
_STEP = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*(min|ms|us|µs|[wdhms])\s*", re.ASCII | re.IGNORECASE)
_PLAIN = re.compile(r"\d{1,18}(\.\d{1,18})?", re.ASCII)
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(\.\d{1,6})?)?", re.ASCII)
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ]\s*(\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?))?\s*(Z|UTC|[+-]\d\d:?\d\d)?",
    re.ASCII | re.IGNORECASE,
)

MAX_INSTANT = 253_402_214_400 * MICROS - 1
"""The end of 9999-12-30 UTC: later instants have no date in every zone."""


class BadTime(ValueError):
    """The text is no time or no span; ``str()`` says so with the accepted forms."""


def parse_instant(text: str, now: int, zone: tzinfo) -> int:
    """The instant a person means by ``text``; dates and clock times without an offset are in ``zone``.

    A signed span counts from ``now`` in elapsed time: ``+1d`` is 24 h even across a change of the
    clocks, while ``tomorrow 09:00`` is what the clock on the wall will show. A wall time that the
    clocks skip is read as if they had not been changed yet; one that they repeat means the first.
    """
    words = text.strip()
    instant = _relative(words, now)
    if instant is None:
        instant = _unix(words)
    if instant is None:
        instant = _wall(words, now, zone)
    if instant is None:
        raise BadTime(f"{text!r} is not a time. Accepted:\n{FORMS}")
    if not 0 <= instant <= MAX_INSTANT:
        raise BadTime(f"{text!r} is out of range: times go from 1970 to 9999")
    return instant


def parse_span(text: str) -> int:
    """A length of time in µs; a bare number is seconds. Raises BadTime."""
    words = text.strip()
    if _PLAIN.fullmatch(words):
        return int(Decimal(words) * MICROS)
    span = _steps(words)
    if span is None:
        raise BadTime(f"{text!r} is not a length of time. Accepted: {SPAN_FORMS}")
    return span


def _relative(words: str, now: int) -> int | None:
    if words.lower() == "now":
        return now
    if words[:1] not in ("+", "-"):
        return None
    span = _steps(words[1:].strip())
    if span is None:
        return None
    return now + span if words[0] == "+" else now - span


def _unix(words: str) -> int | None:
    if words[:1] == "@" and _PLAIN.fullmatch(words[1:]):
        return int(Decimal(words[1:]) * MICROS)
    return None


def _wall(words: str, now: int, zone: tzinfo) -> int | None:
    """A date, a time of day, or both."""
    try:
        moment = _named_day(words.lower(), from_micros(now, zone).date()) or _iso(words)
        return None if moment is None else to_micros(moment, zone)
    except (ValueError, OverflowError):
        return None


def _named_day(words: str, today: date) -> datetime | None:
    day, _, clock = words.partition(" ")
    if day in _DAYS:
        return datetime.combine(today + timedelta(days=_DAYS[day]), _clock(clock.strip() or "00:00"))
    if _CLOCK.fullmatch(words):
        return datetime.combine(today, _clock(words))
    return None


def _clock(words: str) -> time_of_day:
    found = _CLOCK.fullmatch(words)
    if found is None:
        raise ValueError(words)
    hour, minute, second, fraction = found.groups()
    return time_of_day(int(hour), int(minute), int(second or 0), int(Decimal(fraction or 0) * MICROS))


def _iso(words: str) -> datetime | None:
    found = _DATE.fullmatch(words)
    if found is None:
        return None
    day, clock, offset = found.groups()
    clock = clock or "00:00"
    if clock[1] == ":":
        clock = "0" + clock
    if offset and offset.upper() in ("Z", "UTC"):
        offset = "+00:00"
    return datetime.fromisoformat(f"{day}T{clock}{offset or ''}")


def _steps(words: str) -> int | None:
    """``1h 30m`` in µs; None if it is not made of such steps."""
    at, total = 0, Decimal(0)
    while at < len(words):
        step = _STEP.match(words, at)
        if step is None:
            return None
        total += Decimal(step[1]) * _UNITS[step[2].lower()]
        at = step.end()
    return int(total) if words else None


def span(micros: int) -> str:
    """A length of time in its two largest units: ``3h 12m``, ``4.2s``, ``850ms``. Rounded, so that a
    job stored for 23 h ahead reads ``23h``. What it gives, :func:`parse_span` reads.
    """
    micros = abs(micros)
    if micros < 1000:
        return f"{micros}µs" if micros else "0s"
    if micros < 999_500:
        return f"{_rounded(micros, 1000)}ms"
    if micros < 9_950_000:
        tenths = _rounded(micros, MICROS // 10)
        return f"{tenths // 10}.{tenths % 10}s"
    seconds = _rounded(micros, MICROS)
    if seconds >= 3600:
        seconds = _rounded(seconds, 60) * 60
    if seconds >= 86_400:
        seconds = _rounded(seconds, 3600) * 3600
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return " ".join(f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")) if n)


def _rounded(amount: int, unit: int) -> int:
    return (amount + unit // 2) // unit


def relative(instant: int, now: int) -> str:
    """``in 3h 12m``, ``4.2s ago``, ``now`` (within 50 ms)."""
    if abs(instant - now) < 50_000:
        return "now"
    return f"in {span(instant - now)}" if instant > now else f"{span(now - instant)} ago"


def short(instant: int, now: int, zone: tzinfo) -> str:
    """A wall time as short as today allows: ``09:00:05``, ``Nov 22 09:00``, ``2027-01-03``."""
    moment, today = from_micros(instant, zone), from_micros(now, zone)
    if moment.date() == today.date():
        return f"{moment:%H:%M:%S}"
    if moment.year == today.year:
        return f"{_MONTHS[moment.month - 1]} {moment.day:>2} {moment:%H:%M}"
    return f"{moment:%Y-%m-%d}"


def full(instant: int, zone: tzinfo) -> str:
    """A wall time to the millisecond with its offset: ``2026-11-21 09:00:00.123 +01:00``."""
    moment = from_micros(instant, zone)
    offset = f"{moment:%z}"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} {offset[:3]}:{offset[3:5]}"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
