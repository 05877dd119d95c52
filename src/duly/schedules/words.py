"""Rules in plain English: the words that the rules' ``describe`` share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from duly.schedules.fields import DAY_NAMES, MONTH_NAMES
from duly.schedules.pattern import ALL_HOURS, ALL_MINUTES, ALL_MONTH_DAYS, ALL_MONTHS, ALL_WEEK_DAYS, Pattern

_FEW = 6  # times of day that are still listed one by one
_UNITS = ((86_400_000_000, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second"))


def describe_pattern(pattern: Pattern, tz: str | None) -> str:
    """A pattern as in "at 09:00 and 17:30 on Monday to Friday (Europe/Paris)"."""
    return " ".join([_times(pattern), *_days(pattern)]) + in_zone(tz)


def in_zone(tz: str | None) -> str:
    return f" ({tz})" if tz is not None else ""


def listing(words: Iterable[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, final = words
    return f"{', '.join(most)} {last} {final}" if most else final


def runs(numbers: Collection[int], names: Sequence[str] | None = None) -> str:
    """Numbers with neighbours drawn together: "1 to 5, 8 and 9". ``names`` gives the words for them, by index."""
    ends: list[list[int]] = []
    for number in sorted(numbers):
        if ends and ends[-1][-1] == number - 1:
            ends[-1] = [ends[-1][0], number]
        else:
            ends.append([number])
    words: list[str] = []
    for end in ends:
        named = [names[number] if names else str(number) for number in end]
        words.extend([" to ".join(named)] if len(end) == 1 or end[1] - end[0] > 1 else named)
    return listing(words)


def plural(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def duration(micros: int) -> str:
    """A length of time in its largest units: "1 hour and 30 minutes"; "15 minutes"; "0.5 seconds"."""
    words: list[str] = []
    for size, unit in _UNITS[:-1]:
        count, micros = divmod(micros, size)
        if count:
            words.append(plural(count, unit))
    if micros:
        seconds = f"{micros / 1_000_000:.6f}".rstrip("0").rstrip(".")
        words.append(f"{seconds} second{'' if seconds == '1' else 's'}")
    return listing(words)


def _times(pattern: Pattern) -> str:
    minutes, hours = pattern.minutes, pattern.hours
    if len(hours) == len(ALL_HOURS):
        return _every_hour(minutes)
    if len(minutes) * len(hours) <= _FEW:
        return "at " + listing(f"{hour:02}:{minute:02}" for hour in hours for minute in minutes)
    return f"{_every_hour(minutes)} of hour{'s' if len(hours) > 1 else ''} {runs(hours)}"


def _every_hour(minutes: tuple[int, ...]) -> str:
    if len(minutes) == len(ALL_MINUTES):
        return "every minute"
    step = 60 // len(minutes)
    if len(minutes) > 1 and minutes == tuple(range(0, 60, step)):
        return f"every {step} minutes"
    if len(minutes) == 1:
        return "every hour" if minutes == (0,) else f"at minute {minutes[0]} of every hour"
    return f"at minutes {runs(minutes)} of every hour"


def _days(pattern: Pattern) -> list[str]:
    words: list[str] = []
    month_days, week_days = pattern.month_days, pattern.week_days
    in_month = f"day{'s' if len(month_days) > 1 else ''} {runs(month_days)} of the month"
    in_week = runs(week_days, DAY_NAMES)
    if month_days == ALL_MONTH_DAYS and week_days != ALL_WEEK_DAYS:
        words.append(f"on {in_week}")
    elif month_days != ALL_MONTH_DAYS and week_days == ALL_WEEK_DAYS:
        words.append(f"on {in_month}")
    elif month_days != ALL_MONTH_DAYS:
        words.append(
            f"on {in_month} and on every {in_week}" if pattern.either else f"on {in_week} if it is {in_month}"
        )
    elif len(pattern.hours) < len(ALL_HOURS):
        words.append("every day")
    if len(pattern.months) < len(ALL_MONTHS):
        words.append(f"in {runs(pattern.months, ('', *MONTH_NAMES))}")
    return words
