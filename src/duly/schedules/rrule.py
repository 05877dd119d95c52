"""``rrule``: the recurrence rules of calendars (RFC 5545), counted from a start.

Daily and longer frequencies name wall times; python-dateutil expands them to readings, the zone makes
seconds of those, each once, as everywhere here. Hourly and shorter ones are equal steps of elapsed time from
the start, which BYMONTH, BYMONTHDAY, BYDAY and BYHOUR let pass or not.

dateutil walks from the start of a rule to the end of the year 9999, looking for what may never come. So a rule
without COUNT is expanded from the period before the instant asked for, and this some multiple of 400
years ahead, near that end: the calendar repeats every 400 years to the weekday.

As in dateutil, the start is an occurrence only if it matches. COUNT counts before the clocks have their say.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

from dateutil import rrule as dateutil  # type: ignore[import-untyped]

from duly.clock import MICROS
from duly.errors import ConfigError
from duly.schedules.pattern import ALL_HOURS, ALL_MONTH_DAYS, ALL_MONTHS, ALL_WEEK_DAYS, Pattern
from duly.schedules.recurrence import FREQUENCIES, STEPS, Recurrence, normal, parse
from duly.schedules.rule import Rule, Spec
from duly.schedules.timeline import next_elapsed, previous_elapsed
from duly.schedules.words import in_zone
from duly.schedules.words_rrule import describe_recurrence
from duly.schedules.zone import FIRST, LAST, Zone, zone, zone_key

_EPOCH = datetime(1970, 1, 1)
_CYCLE = 146_097  # days in 400 years of the calendar, a whole number of weeks
_END = 9_599  # expansions begin in the 400 years before it: so 400 years at least are left to look through
_MOST_JUMPS = 5_000  # of an elapsed rule; a filter that lets no step pass shows itself within a year's 366 * 12


class RRule(Rule):
    """A recurrence such as ``"FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=9"`` that begins at ``start``.

    ``start``: a datetime or ISO text; naive it is what clocks show in ``tz``; aware, it is converted to ``tz``.
    ``tz``: the zone whose clocks it reads (a name or a ZoneInfo); without one, the start's, or else the app's.
    Raises ConfigError for what cannot be read and for a rule without a single occurrence.
    """

    kind: ClassVar[str] = "rrule"

    def __init__(self, rule: str, start: datetime | str, tz: str | tzinfo | None = None) -> None:
        self._recurrence = parse(rule)
        self._rule = normal(rule)
        self._start, self._tz = _wall_start(start, tz)
        self._zone = zone(self._tz or "UTC")
        self._full = self._recurrence.from_start(self._start)
        self._until = _until_second(self._recurrence, self._zone)
        self._expansion = (_Steps if self._full.elapsed else _Dates)(self._full, self._start, self._zone)
        if next(self._expansion.after(FIRST), LAST + 1) > self._until:
            raise ConfigError(f"rrule {rule!r} from {self._start} never occurs; change its parts or its start")

    @property
    def tz(self) -> str | None:
        return self._tz

    def bind(self, tz: str) -> RRule:
        return self if self._tz is not None else RRule(self._rule, self._start, tz)

    def next_after(self, instant: int) -> int | None:
        return next(self.walk(instant), None)

    def walk(self, instant: int) -> Iterator[int]:
        second = max(instant // MICROS, FIRST)
        if self._recurrence.count is not None:
            yield from (found * MICROS for found in self._counted[bisect_right(self._counted, second) :])
            return
        for found in self._expansion.after(second) if second < self._until else ():
            if found > self._until:
                return
            yield found * MICROS

    def previous(self, instant: int) -> int | None:
        second = min((instant - 1) // MICROS, self._until)
        if second <= FIRST:
            return None
        if self._recurrence.count is not None:
            at = bisect_left(self._counted, second + 1) - 1
            return self._counted[at] * MICROS if at >= 0 else None
        found = self._expansion.last_until(second)
        return None if found is None else found * MICROS

    def describe(self) -> str:
        return describe_recurrence(self._full, self._start) + in_zone(self._tz)

    def to_spec(self) -> Spec:
        spec: Spec = {"kind": self.kind, "rule": self._rule, "start": self._start.isoformat()}
        if self._tz is not None:
            spec["tz"] = self._tz
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> RRule:
        return cls(spec["rule"], spec["start"], spec.get("tz"))

    def _meaning(self) -> Hashable:
        return ("rrule", self._full, self._start, self._tz)

    @cached_property
    def _counted(self) -> list[int]:
        """All occurrences of a rule with COUNT, which has to be counted from its start."""
        return list(self._expansion.first(self._recurrence.count or 0))


class _Dates:
    """Daily and longer frequencies: readings from dateutil, made seconds by the zone."""

    def __init__(self, recurrence: Recurrence, start: datetime, where: Zone) -> None:
        self._recurrence, self._start, self._zone = recurrence, start, where

    def after(self, second: int) -> Iterator[int]:
        """The occurrences later than ``second``, without regard to COUNT and UNTIL."""
        latest = self._zone.latest_reading(second)
        for reading in self._readings(self._period_of(latest, back=0)):
            if reading > latest:
                found = self._zone.first_second(reading)
                if found > second:
                    yield found
                    second = found  # readings of one gap are one occurrence
            if reading > LAST:
                return

    def first(self, count: int) -> Iterator[int]:
        """The occurrences of the first ``count`` readings; fewer where a gap draws some together."""
        seconds = map(self._zone.first_second, islice(self._readings(self._start), count))
        yield from sorted(set(seconds))

    def last_until(self, second: int) -> int | None:
        """The last occurrence that is not later than ``second``."""
        latest, back = self._zone.latest_reading(second), 0
        while True:
            begin = self._period_of(latest, back)
            found = None
            for reading in self._readings(begin):
                if reading > latest:
                    break
                found = reading
            if found is not None:
                return self._zone.first_second(found)
            if begin <= self._start:
                return None
            back = back * 2 + 1

    def _period_of(self, reading: int, back: int) -> datetime:
        """Where the period of ``reading`` starts, or ``back`` periods earlier; never before the start."""
        moment = _EPOCH + timedelta(seconds=reading)
        if moment <= self._start:
            return self._start
        period = self._periods_until(moment.date()) // self._recurrence.interval - back
        return self._period(period) if period > 0 else self._start

    def _periods_until(self, day: date) -> int:
        """How many days, weeks, months or years after that of the start ``day`` is."""
        start = self._start.date()
        match self._recurrence.frequency:
            case "YEARLY":
                return day.year - start.year
            case "MONTHLY":
                return (day.year - start.year) * 12 + day.month - start.month
            case "WEEKLY":
                return (day - self._week_of_start).days // 7
            case _:
                return (day - start).days

    def _period(self, number: int) -> datetime:
        """The first moment of a period; 0 is that of the start."""
        steps, start = number * self._recurrence.interval, self._start.date()
        match self._recurrence.frequency:
            case "YEARLY":
                day = date(start.year + steps, 1, 1)
            case "MONTHLY":
                years, month = divmod(start.month - 1 + steps, 12)
                day = date(start.year + years, month + 1, 1)
            case "WEEKLY":
                day = self._week_of_start + timedelta(weeks=steps)
            case _:
                day = start + timedelta(days=steps)
        return datetime(day.year, day.month, day.day)

    @property
    def _week_of_start(self) -> date:
        days = (self._start.weekday() - self._recurrence.week_start) % 7
        return self._start.date() - timedelta(days=days)

    def _readings(self, begin: datetime) -> Iterator[int]:
        """The readings from ``begin`` on, which is the start or the first moment of a later period."""
        ahead = timedelta(days=max(0, (_END - begin.year) // 400) * _CYCLE)
        offset = _EPOCH + ahead
        for moment in _expand(self._recurrence, begin + ahead):
            yield (moment - offset) // timedelta(seconds=1)


class _Steps:
    """Hourly and shorter frequencies: equal steps on the line of time, those that the BY parts let pass."""

    def __init__(self, recurrence: Recurrence, start: datetime, where: Zone) -> None:
        self._zone = where
        self._start = where.first_second((start - _EPOCH) // timedelta(seconds=1))
        self._step = recurrence.interval * STEPS[recurrence.frequency]
        self._pattern = Pattern(
            hours=recurrence.hours or ALL_HOURS,
            months=recurrence.months or ALL_MONTHS,
            month_days=recurrence.month_days or ALL_MONTH_DAYS,
            week_days=[(day + 1) % 7 for day, _ in recurrence.week_days] or ALL_WEEK_DAYS,
        )

    def after(self, second: int) -> Iterator[int]:
        """The occurrences later than ``second``, without regard to COUNT and UNTIL."""
        jumps = 0
        at = self._step_from(second + 1)
        while at <= LAST and jumps < _MOST_JUMPS:
            if self._passes(at):
                yield at
                jumps, at = 0, at + self._step
                continue
            ahead = next_elapsed(self._pattern, self._zone, at)
            if ahead is None:
                return
            jumps, at = jumps + 1, self._step_from(ahead)

    def first(self, count: int) -> Iterator[int]:
        """The first ``count`` occurrences."""
        return islice(self.after(self._start - 1), count)

    def last_until(self, second: int) -> int | None:
        """The last occurrence that is not later than ``second``."""
        at = self._step_until(second)
        for _ in range(_MOST_JUMPS):
            if at < self._start:
                return None
            if self._passes(at):
                return at
            behind = previous_elapsed(self._pattern, self._zone, at)
            if behind is None:
                return None
            at = self._step_until(behind + 59)  # a matching minute may hold a step anywhere in it
        return None

    def _passes(self, second: int) -> bool:
        return self._pattern.holds(second + self._zone.offset(second))

    def _step_from(self, second: int) -> int:
        """The first step at or after ``second``."""
        return max(self._start, second + (self._start - second) % self._step)

    def _step_until(self, second: int) -> int:
        """The last step at or before ``second``; before the start there is none, whatever this says."""
        return second - (second - self._start) % self._step


def _expand(recurrence: Recurrence, begin: datetime) -> Iterator[datetime]:
    expansion = dateutil.rrule(
        FREQUENCIES.index(recurrence.frequency),
        dtstart=begin,
        interval=recurrence.interval,
        wkst=recurrence.week_start,
        bysetpos=recurrence.positions or None,
        bymonth=recurrence.months or None,
        bymonthday=recurrence.month_days or None,
        byyearday=recurrence.year_days or None,
        byweekno=recurrence.weeks or None,
        byweekday=[dateutil.weekday(day, which or None) for day, which in recurrence.week_days] or None,
        byhour=recurrence.hours,
        byminute=recurrence.minutes,
        bysecond=recurrence.seconds,
    )
    return iter(expansion)


def _wall_start(start: datetime | str, tz: str | tzinfo | None) -> tuple[datetime, str | None]:
    """The start as clocks show it in the rule's zone, to the second, and the name of that zone."""
    if isinstance(start, str):
        try:
            start = datetime.fromisoformat(start)
        except ValueError:
            raise ConfigError(f"start={start!r} is not a date and time; write it as 2026-12-31T09:00:00") from None
    if not isinstance(start, datetime):
        raise ConfigError(f"start={start!r} is not a datetime or its ISO text")
    key = zone_key(tz if tz is not None else start.tzinfo)
    if start.tzinfo is not None and key is not None:
        second = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
        start = _EPOCH + timedelta(seconds=second + zone(key).offset(second))
    if not 1900 < start.year < 9000:
        raise ConfigError(f"start={start} is out of range; allowed are the years 1901 to 8999")
    return start.replace(microsecond=0, tzinfo=None, fold=0), key


def _until_second(recurrence: Recurrence, where: Zone) -> int:
    """The last second that UNTIL allows; without one, the last there is."""
    until = recurrence.until
    if until is None:
        return LAST
    reading = (until.replace(tzinfo=None) - _EPOCH) // timedelta(seconds=1)
    return min(LAST, reading if until.tzinfo is not None else where.first_second(reading))
