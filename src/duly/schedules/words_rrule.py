"""Recurrences in plain English."""

from __future__ import annotations

from datetime import datetime

from duly.schedules.fields import DAY_NAMES, MONTH_NAMES
from duly.schedules.recurrence import Recurrence
from duly.schedules.words import listing, plural, runs

_UNITS = {
    "YEARLY": "year", "MONTHLY": "month", "WEEKLY": "week", "DAILY": "day",
    "HOURLY": "hour", "MINUTELY": "minute", "SECONDLY": "second",
}  # fmt: skip
_NEAR_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def describe_recurrence(rule: Recurrence, start: datetime) -> str:
    """A recurrence as in "every 2 weeks on Monday at 09:00, from 2026-01-05"; what the start implies is said."""
    unit = _UNITS[rule.frequency]
    words = ["every " + (unit if rule.interval == 1 else plural(rule.interval, unit)), *_days(rule)]
    if rule.months:
        words.append(f"in {runs(rule.months, ('', *MONTH_NAMES))}")
    words.extend(_times(rule))
    if rule.positions:
        words.append(f"(of these in each {unit} only the {_ordinals(rule.positions)})")
    return " ".join(words) + _bounds(rule, start)


def _days(rule: Recurrence) -> list[str]:
    words: list[str] = []
    if rule.week_days:
        words.append("on " + listing(_week_day(day, which) for day, which in rule.week_days))
    if rule.month_days:
        words.append(f"on the {_ordinals(rule.month_days)} day of the month")
    if rule.year_days:
        words.append(f"on the {_ordinals(rule.year_days)} day of the year")
    if rule.weeks:
        words.append(f"in the {_ordinals(rule.weeks)} week of the year")
    return words


def _times(rule: Recurrence) -> list[str]:
    if rule.elapsed:
        return [f"while it is hour {runs(rule.hours)}"] if rule.hours else []
    shown = [
        f"{hour:02}:{minute:02}" + (f":{second:02}" if any(rule.seconds) else "")
        for hour in rule.hours
        for minute in rule.minutes
        for second in rule.seconds
    ]
    return ["at " + listing(shown)]


def _bounds(rule: Recurrence, start: datetime) -> str:
    begin = f", from {start:%Y-%m-%d %H:%M}" if rule.elapsed else f", from {start:%Y-%m-%d}"
    if rule.count is not None:
        return f"{begin}, {plural(rule.count, 'time')}"
    if rule.until is not None:
        return f"{begin} until {rule.until:%Y-%m-%d %H:%M:%S}" + (" UTC" if rule.until.tzinfo else "")
    return begin


def _week_day(day: int, which: int) -> str:
    name = DAY_NAMES[(day + 1) % 7]
    return f"the {_ordinal(which)} {name}" if which else name


def _ordinals(numbers: tuple[int, ...]) -> str:
    return listing(_ordinal(number) for number in numbers)


def _ordinal(number: int) -> str:
    if number == -1:
        return "last"
    if number < 0:
        return f"{_ordinal(-number)} to last"
    if number in _NEAR_ORDINALS:
        return _NEAR_ORDINALS[number]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
