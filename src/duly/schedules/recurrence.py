"""Recurrence: an RFC 5545 RRULE, read and checked.

What can go wrong is said as a ConfigError that names the part, quotes it and says what is allowed. Limits keep
every later computation short: 1,000 characters, 96 times a day, COUNT 10,000, INTERVAL 50 years.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from math import prod

from duly.errors import ConfigError

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")  # dateutil's order
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
STEPS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
"""Seconds of one step, for the frequencies that follow elapsed time."""

_LONGEST_TEXT, _MOST_TIMES, _MOST_COUNT = 1_000, 96, 10_000
_LONGEST_INTERVAL = {
    "YEARLY": 50, "MONTHLY": 600, "WEEKLY": 2_600, "DAILY": 18_250,
    "HOURLY": 438_000, "MINUTELY": 26_280_000, "SECONDLY": 1_576_800_000,
}  # fmt: skip
_BY_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_UNTIL = re.compile(r"\d{8}(T\d{6}Z?)?", re.ASCII)

Numbers = tuple[int, ...]


@dataclass(frozen=True)
class Recurrence:
    """The parts of an RRULE. Empty tuples: the part was not given."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: datetime | None = None  # naive: as clocks show it in the rule's zone; aware: in UTC
    week_start: int = 0  # Monday = 0
    months: Numbers = ()
    month_days: Numbers = ()
    year_days: Numbers = ()
    weeks: Numbers = ()
    week_days: tuple[tuple[int, int], ...] = ()  # (Monday = 0, which one of the month or year, 0: each)
    hours: Numbers = ()
    minutes: Numbers = ()
    seconds: Numbers = ()
    positions: Numbers = ()

    @property
    def elapsed(self) -> bool:
        """Whether it steps along elapsed time (hourly and shorter) instead of naming wall times."""
        return self.frequency in STEPS

    def from_start(self, start: datetime) -> Recurrence:
        """This with what RFC 5545 takes from the start written out: times of day, weekday, day, month."""
        if self.elapsed:
            return self
        full = replace(
            self,
            hours=self.hours or (start.hour,),
            minutes=self.minutes or (start.minute,),
            seconds=self.seconds or (start.second,),
        )
        if self.week_days or self.month_days or self.year_days or self.weeks:
            return full
        if self.frequency == "YEARLY":
            return replace(full, months=self.months or (start.month,), month_days=(start.day,))
        if self.frequency == "MONTHLY":
            return replace(full, month_days=(start.day,))
        if self.frequency == "WEEKLY":
            return replace(full, week_days=((start.weekday(), 0),))
        return full


def parse(text: str) -> Recurrence:
    """Read ``"FREQ=WEEKLY;BYDAY=MO,TH"``, with or without ``RRULE:`` before it. Raises ConfigError."""
    parts = _split(text)
    frequency = parts.pop("FREQ", None)
    if frequency not in FREQUENCIES:
        raise _error(text, f"has FREQ={frequency or ''}; FREQ must be one of {', '.join(FREQUENCIES)}")
    found: dict[str, object] = {"frequency": frequency}
    for name, value in parts.items():
        field, read = _PARTS[name]
        found[field] = read(text, name, value)
    recurrence = Recurrence(**found)  # type: ignore[arg-type]  # each reader gives what its field holds
    _check(text, recurrence)
    return recurrence


def normal(text: str) -> str:
    """The text as it is stored: one line, capitals, no prefix."""
    return "".join(text.split()).upper().removeprefix("RRULE:").strip(";")


def _split(text: str) -> dict[str, str]:
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        raise _error(str(text)[:40], f"must be a text of up to {_LONGEST_TEXT} characters")
    if "DTSTART" in text.upper() or "EXDATE" in text.upper() or "RDATE" in text.upper():
        raise _error(text, "must be one RRULE alone; give the start as start=")
    parts: dict[str, str] = {}
    for part in filter(None, normal(text).split(";")):
        name, _, value = part.partition("=")
        if name != "FREQ" and name not in _PARTS:
            near = difflib.get_close_matches(name, ["FREQ", *_PARTS], n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise _error(text, f"has the part {part!r}; {hint}allowed are FREQ, {', '.join(_PARTS)}")
        if name in parts:
            raise _error(text, f"has {name} twice")
        parts[name] = value
    return parts


def _check(text: str, found: Recurrence) -> None:
    """Refuse what contradicts itself, and what would take long to compute."""
    if found.count is not None and found.until is not None:
        raise _error(text, "has both COUNT and UNTIL; keep one")
    if found.interval > _LONGEST_INTERVAL[found.frequency]:
        raise _error(text, f"has INTERVAL={found.interval}, which is longer than 50 years")
    if prod(len(each) or 1 for each in (found.hours, found.minutes, found.seconds)) > _MOST_TIMES:
        raise _error(text, f"names more than {_MOST_TIMES} times a day; use FREQ=MINUTELY or crontab()")
    if found.weeks and found.frequency != "YEARLY":
        raise _error(text, "has BYWEEKNO, which goes with FREQ=YEARLY only")
    if any(which for _, which in found.week_days) and (found.frequency not in FREQUENCIES[:2] or found.weeks):
        raise _error(text, "has a number before a weekday; it goes with FREQ=MONTHLY, or YEARLY without BYWEEKNO")
    if found.positions and not any((found.months, found.month_days, found.year_days, found.weeks,
                                    found.week_days, found.hours, found.minutes, found.seconds)):  # fmt: skip
        raise _error(text, "has BYSETPOS without another BY part to choose from")
    if found.elapsed:
        _check_elapsed(text, found)


def _check_elapsed(text: str, found: Recurrence) -> None:
    unfit = {
        "BYMINUTE": found.minutes, "BYSECOND": found.seconds, "BYSETPOS": found.positions,
        "BYYEARDAY": found.year_days, "a negative BYMONTHDAY": [day for day in found.month_days if day < 0],
    }  # fmt: skip
    for name, value in unfit.items():
        if value:
            raise _error(text, f"has {name}, which goes with FREQ=DAILY and longer; or use crontab()")
    filtered = found.months or found.month_days or found.week_days or found.hours
    if filtered and 86_400 % (found.interval * STEPS[found.frequency]):
        raise _error(text, "has BY parts with a step that does not divide a day; choose an INTERVAL that does")


def _integer(least: int, most: int) -> Callable[[str, str, str], int]:
    def read(text: str, name: str, value: str) -> int:
        if not _NUMBER.fullmatch(value) or not least <= int(value) <= most:
            raise _error(text, f"has {name}={value}; allowed is a whole number from {least} to {most}")
        return int(value)

    return read


def _integers(least: int, most: int) -> Callable[[str, str, str], Numbers]:
    """Lists; with ``least`` negative, 0 is not allowed: numbers count from 1, or back from -1."""

    def read(text: str, name: str, value: str) -> Numbers:
        numbers: set[int] = set()
        for word in value.split(","):
            number = int(word) if _NUMBER.fullmatch(word) else None
            if number is None or not least <= number <= most or (least < 0 and number == 0):
                span = f"1 to {most}, or {least} to -1" if least < 0 else f"{least} to {most}"
                raise _error(text, f"has {name}={value}; allowed are numbers from {span}, separated by commas")
            numbers.add(number)
        return tuple(sorted(numbers))

    return read


def _week_days(text: str, name: str, value: str) -> tuple[tuple[int, int], ...]:
    found: set[tuple[int, int]] = set()
    for word in value.split(","):
        match = _BY_DAY.fullmatch(word)
        which = int(match[1] or 0) if match else 0
        if match is None or (match[1] and not 1 <= abs(which) <= 53):
            raise _error(text, f"has {name}={value}; allowed are {', '.join(DAYS)}, as in MO,WE or 1MO or -1FR")
        found.add((DAYS.index(match[2]), which))
    return tuple(sorted(found))


def _week_start(text: str, name: str, value: str) -> int:
    if value not in DAYS:
        raise _error(text, f"has {name}={value}; allowed are {', '.join(DAYS)}")
    return DAYS.index(value)


def _until(text: str, name: str, value: str) -> datetime:
    """A date alone includes the whole day."""
    try:
        if not _UNTIL.fullmatch(value):
            raise ValueError(value)
        moment = datetime.fromisoformat(value.removesuffix("Z"))
    except ValueError:
        raise _error(text, f"has {name}={value}; write 20261231, 20261231T235959 or 20261231T235959Z") from None
    if len(value) == len("20261231"):
        return datetime.combine(moment, time.max).replace(microsecond=0)
    return moment.replace(tzinfo=UTC) if value.endswith("Z") else moment


def _error(text: str, what: str) -> ConfigError:
    return ConfigError(f"rrule {text!r} {what}")


_PARTS: dict[str, tuple[str, Callable[[str, str, str], object]]] = {
    "INTERVAL": ("interval", _integer(1, 2_000_000_000)),
    "COUNT": ("count", _integer(1, _MOST_COUNT)),
    "UNTIL": ("until", _until),
    "WKST": ("week_start", _week_start),
    "BYMONTH": ("months", _integers(1, 12)),
    "BYMONTHDAY": ("month_days", _integers(-31, 31)),
    "BYYEARDAY": ("year_days", _integers(-366, 366)),
    "BYWEEKNO": ("weeks", _integers(-53, 53)),
    "BYDAY": ("week_days", _week_days),
    "BYHOUR": ("hours", _integers(0, 23)),
    "BYMINUTE": ("minutes", _integers(0, 59)),
    "BYSECOND": ("seconds", _integers(0, 59)),
    "BYSETPOS": ("positions", _integers(-366, 366)),
}
