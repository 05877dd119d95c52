"""Shared by the tests of schedules: strategies, and the brute-force walk that occurrences are checked against.

The walk asks zoneinfo for the reading of every single minute and applies the policy of docs/schedules.md to the
letter. It shares no code with duly.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from duly.schedules import Rule, crontab

MINUTE = 60_000_000

ZONES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Los_Angeles",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # skipped 30 December 2011
    "Antarctica/Troll",  # two hours
    "Africa/Casablanca",  # back for Ramadan
    "Asia/Kathmandu",  # 5:45, never changed since 1986
)


def instant(text: str, zone: str = "UTC") -> int:
    """µs UTC of an ISO text, read in ``zone`` unless it has an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def shown(found: int | None, zone: str = "UTC") -> str | None:
    """An occurrence as clocks show it, with the offset."""
    if found is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found)
    return moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")


def coming(rule: Rule, after: str, count: int) -> list[str | None]:
    """The next occurrences, as shown in the rule's own zone."""
    zone = rule.tz or "UTC"
    return [shown(each, zone) for each in rule.between(instant(after, zone), instant("8999-01-01"), count)]


@dataclass(frozen=True)
class Fields:
    """Five sets of numbers, and whether days match either way."""

    minutes: frozenset[int]
    hours: frozenset[int]
    month_days: frozenset[int]
    months: frozenset[int]
    week_days: frozenset[int]
    either: bool = False

    def crontab(self, zone: str | None = None) -> Rule:
        return crontab(self.minutes, self.hours, self.week_days, self.month_days, self.months, tz=zone)

    @property
    def elapsed(self) -> bool:
        return len(self.hours) == 24 or len(self.minutes) == 60

    def times(self) -> bytes:
        """For each minute of a day, whether it matches."""
        return bytes(n // 60 in self.hours and n % 60 in self.minutes for n in range(1440))

    def days(self, first: int, last: int) -> dict[int, bool]:
        """For each day, counted from 1970, whether it matches."""
        return {day: self._day(date(1970, 1, 1) + timedelta(days=day)) for day in range(first, last + 1)}

    def _day(self, day: date) -> bool:
        both = (day.day in self.month_days, day.isoweekday() % 7 in self.week_days)
        return day.month in self.months and (any(both) if self.either else all(both))


@lru_cache(maxsize=64)
def readings(zone: str, start: int, minutes: int) -> array[int]:
    """What clocks show, in minutes since 1970, at each minute from ``start`` (a minute since 1970 in UTC)."""
    info, epoch = ZoneInfo(zone), datetime(1970, 1, 1)
    return array(
        "q",
        (
            (datetime.fromtimestamp(minute * 60, info).replace(tzinfo=None) - epoch) // timedelta(minutes=1)
            for minute in range(start, start + minutes)
        ),
    )


def walk(fields: Fields, shown_readings: array[int], start: int) -> list[int]:
    """The minutes (UTC) at which the policy wants an occurrence, found by looking at each of them."""
    times, days = fields.times(), fields.days(min(shown_readings) // 1440, max(shown_readings) // 1440)
    if fields.elapsed:
        return [
            start + n for n, reading in enumerate(shown_readings) if times[reading % 1440] and days[reading // 1440]
        ]
    found: list[int] = []
    latest = shown_readings[0]
    for n, reading in enumerate(shown_readings):
        if reading > latest:
            for reached in range(latest + 1, reading + 1):
                if times[reached % 1440] and days[reached // 1440]:
                    found.append(start + n)
                    break
            latest = reading
    return found


def numbers(least: int, most: int) -> st.SearchStrategy[frozenset[int]]:
    full = frozenset(range(least, most + 1))
    return st.one_of(
        st.just(full),
        st.integers(least, most).map(lambda n: frozenset({n})),
        st.frozensets(st.integers(least, most), min_size=1),
        st.integers(1, most).map(lambda step: frozenset(range(least, most + 1, step))),
    )


def _exists(fields: Fields) -> bool:
    longest = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
    return min(fields.month_days) <= max(longest.get(month, 31) for month in fields.months)


fields = st.builds(Fields, numbers(0, 59), numbers(0, 23), numbers(1, 31), numbers(1, 12), numbers(0, 6)).filter(
    _exists
)
"""Any crontab."""

night_fields = st.builds(
    Fields,
    numbers(0, 59),
    st.one_of(st.frozensets(st.integers(0, 4), min_size=1), st.just(frozenset(range(24)))),
    st.just(frozenset(range(1, 32))),
    st.just(frozenset(range(1, 13))),
    numbers(0, 6),
)
"""Crontabs that happen at the hours at which clocks are changed."""
