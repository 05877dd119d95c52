"""From patterns to occurrences: what a rule of cron fields does when the clocks change.

A rule that names hours names *wall times*: each happens once, whatever the clocks do. A rule whose hours or
minutes are all allowed follows *elapsed time*: it happens at every minute whose reading matches, so
"every 15 minutes" is every 15 minutes through both kinds of change.

Which of the two is decided by the sets, not by how they were written, so that equal rules stay equal.
"""

from __future__ import annotations

from collections.abc import Hashable

from duly.clock import MICROS
from duly.schedules.pattern import ALL_HOURS, ALL_MINUTES, Pattern
from duly.schedules.rule import Rule
from duly.schedules.zone import FIRST, LAST, REACH, Zone, zone


class FieldRule(Rule):
    """What crontab and cron have in common: a pattern, read on the clocks of a zone."""

    def __init__(self, pattern: Pattern, tz: str | None) -> None:
        self.pattern = pattern
        self._tz = tz
        self._zone = zone(tz or "UTC")
        elapsed = len(pattern.hours) == len(ALL_HOURS) or len(pattern.minutes) == len(ALL_MINUTES)
        self._next, self._previous = (next_elapsed, previous_elapsed) if elapsed else (next_wall, previous_wall)

    @property
    def tz(self) -> str | None:
        return self._tz

    def next_after(self, instant: int) -> int | None:
        second = max(instant // MICROS, FIRST)
        found = self._next(self.pattern, self._zone, second) if second < LAST else None
        return None if found is None or found > LAST else found * MICROS

    def previous(self, instant: int) -> int | None:
        second = min((instant - 1) // MICROS, LAST)
        found = self._previous(self.pattern, self._zone, second) if second > FIRST else None
        return None if found is None or found <= FIRST else found * MICROS

    def _meaning(self) -> Hashable:
        return ("fields", self.pattern.key, self._tz)


def next_wall(pattern: Pattern, where: Zone, second: int) -> int | None:
    """The first second after ``second`` at which a matching reading is shown, or jumped over, for the first time.

    A reading counts as reached once clocks have shown it or a later one; what was reached is not due again.
    """
    reading = pattern.next(where.latest_reading(second) + 1)
    return None if reading is None else where.first_second(reading)


def previous_wall(pattern: Pattern, where: Zone, second: int) -> int | None:
    """The last second, ``second`` included, of which :func:`next_wall` speaks."""
    reading = pattern.previous(where.latest_reading(second))
    return None if reading is None else where.first_second(reading)


def next_elapsed(pattern: Pattern, where: Zone, second: int) -> int | None:
    """The first second after ``second`` at which a matching minute starts on the zone's clocks."""
    begin = at = second + 1
    while at <= LAST:
        _, end, offset = where.stretch(at)
        reading = pattern.next(at + offset)
        if reading is None:
            return None
        if reading - offset < end:
            return reading - offset
        at = end
        if at > begin + REACH:  # no overlap repeats what was before begin: nothing matches till that reading
            at = max(at, reading - offset - REACH)
    return None


def previous_elapsed(pattern: Pattern, where: Zone, second: int) -> int | None:
    """The last second, ``second`` included, at which a matching minute starts on the zone's clocks."""
    begin = at = second
    while at > FIRST:
        start, _, offset = where.stretch(at)
        reading = pattern.previous(at + offset)
        if reading is None:
            return None
        if reading - offset >= start:
            return reading - offset
        at = start - 1
        if at < begin - REACH:
            at = min(at, reading - offset + REACH)
    return None
