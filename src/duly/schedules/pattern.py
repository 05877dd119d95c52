"""Patterns: which minutes of the calendar, as readings, a set of cron fields allows.

Days of a month are bits of an integer, so that a month is looked at in one step whatever the fields are,
and a search goes by months, never by minutes. It gives up after 50 years: the longest that two occurrences
of any pattern can be apart is 40 years (29 February on a given weekday across a year like 2100).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterable
from datetime import date

from duly.schedules.zone import FIRST, LAST, REACH

ALL_MINUTES, ALL_HOURS = frozenset(range(60)), frozenset(range(24))
ALL_MONTHS, ALL_MONTH_DAYS = frozenset(range(1, 13)), frozenset(range(1, 32))
ALL_WEEK_DAYS = frozenset(range(7))

_EPOCH = date(1970, 1, 1).toordinal()
_LOOK_AHEAD = 50 * 12  # months


class Pattern:
    """Sets of minutes, hours, days and months; a reading matches when each set has its part.

    ``week_days`` count from Sunday = 0. With ``either`` a day matches by its place in the month or in the week,
    without it by both.
    """

    def __init__(
        self,
        minutes: Iterable[int] = ALL_MINUTES,
        hours: Iterable[int] = ALL_HOURS,
        month_days: Iterable[int] = ALL_MONTH_DAYS,
        months: Iterable[int] = ALL_MONTHS,
        week_days: Iterable[int] = ALL_WEEK_DAYS,
        either: bool = False,
    ) -> None:
        self.minutes, self.hours = tuple(sorted(set(minutes))), tuple(sorted(set(hours)))
        self.months = tuple(sorted(set(months)))
        self.month_days, self.week_days = frozenset(month_days), frozenset(week_days)
        self.either = either
        if either and (self.month_days == ALL_MONTH_DAYS or self.week_days == ALL_WEEK_DAYS):
            self.month_days, self.week_days, self.either = ALL_MONTH_DAYS, ALL_WEEK_DAYS, False
        self._month_bits = sum(1 << day for day in self.month_days)
        self._week_bits = [self._bits_of_weeks(first) for first in range(7)]
        self._to_next = [_distance(self.months, month, 1) for month in range(13)]
        self._to_last = [_distance(self.months, month, -1) for month in range(13)]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for patterns that match the same readings."""
        return self.minutes, self.hours, self.month_days, self.months, self.week_days, self.either

    def next(self, reading: int) -> int | None:
        """The first matching minute that starts at ``reading`` or later."""
        if reading > LAST:
            return None
        day, minute = divmod(-(-reading // 60), 1440)
        matching = self._next_day(day + _EPOCH)
        if matching is not None and matching == day + _EPOCH:
            time = self._next_time(minute)
            if time is not None:
                return (day * 1440 + time) * 60
            matching = self._next_day(day + _EPOCH + 1)
        if matching is None:
            return None
        return ((matching - _EPOCH) * 1440 + self.hours[0] * 60 + self.minutes[0]) * 60

    def previous(self, reading: int) -> int | None:
        """The last matching minute that starts at ``reading`` or earlier."""
        if reading < FIRST - REACH:
            return None
        day, minute = divmod(reading // 60, 1440)
        matching = self._previous_day(day + _EPOCH)
        if matching is not None and matching == day + _EPOCH:
            time = self._previous_time(minute)
            if time is not None:
                return (day * 1440 + time) * 60
            matching = self._previous_day(day + _EPOCH - 1)
        if matching is None:
            return None
        return ((matching - _EPOCH) * 1440 + self.hours[-1] * 60 + self.minutes[-1]) * 60

    def holds(self, reading: int) -> bool:
        """Whether the minute that ``reading`` falls in matches."""
        minute = reading // 60 * 60
        return self.next(minute) == minute

    def _next_time(self, minute: int) -> int | None:
        """The first matching minute of a day at or after ``minute``."""
        hour, minute = divmod(minute, 60)
        at = bisect_left(self.hours, hour)
        if at < len(self.hours) and self.hours[at] == hour:
            which = bisect_left(self.minutes, minute)
            if which < len(self.minutes):
                return hour * 60 + self.minutes[which]
            at += 1
        return self.hours[at] * 60 + self.minutes[0] if at < len(self.hours) else None

    def _previous_time(self, minute: int) -> int | None:
        """The last matching minute of a day at or before ``minute``."""
        hour, minute = divmod(minute, 60)
        at = bisect_right(self.hours, hour) - 1
        if at >= 0 and self.hours[at] == hour:
            which = bisect_right(self.minutes, minute) - 1
            if which >= 0:
                return hour * 60 + self.minutes[which]
            at -= 1
        return self.hours[at] * 60 + self.minutes[-1] if at >= 0 else None

    def _next_day(self, ordinal: int) -> int | None:
        """The ordinal of the first matching day at or after ``ordinal``."""
        day = date.fromordinal(ordinal)
        before = ordinal - day.day  # the ordinal of the last day of the month before
        bits = self._days(day.year, day.month, before) >> day.day << day.day
        month = day.year * 12 + day.month - 1
        stop = month + _LOOK_AHEAD
        while not bits:
            month += self._to_next[month % 12 + 1]
            if month > stop:
                return None
            year, index = divmod(month, 12)
            before = date(year, index + 1, 1).toordinal() - 1
            bits = self._days(year, index + 1, before)
        return before + (bits & -bits).bit_length() - 1

    def _previous_day(self, ordinal: int) -> int | None:
        """The ordinal of the last matching day at or before ``ordinal``."""
        day = date.fromordinal(ordinal)
        before = ordinal - day.day
        bits = self._days(day.year, day.month, before) & ((2 << day.day) - 1)
        month = day.year * 12 + day.month - 1
        stop = month - _LOOK_AHEAD
        while not bits:
            month -= self._to_last[month % 12 + 1]
            if month < stop:
                return None
            year, index = divmod(month, 12)
            before = date(year, index + 1, 1).toordinal() - 1
            bits = self._days(year, index + 1, before)
        return before + bits.bit_length() - 1

    def _days(self, year: int, month: int, before: int) -> int:
        """The matching days of a month, as bits; ``before`` is the ordinal of the day before its first."""
        if month not in self.months:
            return 0
        weeks = self._week_bits[(before + 1) % 7]
        bits = self._month_bits | weeks if self.either else self._month_bits & weeks
        return bits & ((2 << monthrange(year, month)[1]) - 1)

    def _bits_of_weeks(self, first: int) -> int:
        """The days, as bits, that fall on one of ``week_days`` in a month that starts on weekday ``first``."""
        return sum(1 << day for day in range(1, 32) if (first + day - 1) % 7 in self.week_days)


def _distance(months: tuple[int, ...], month: int, step: int) -> int:
    """How many months from ``month`` to the nearest of ``months`` ahead (step 1) or back (step -1)."""
    return next(n for n in range(1, 13) if (month - 1 + step * n) % 12 + 1 in months)
