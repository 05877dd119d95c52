"""Quiet hours: when somebody may be told, on their own clock, summer time included. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def told_from(moment: datetime, zone: ZoneInfo, begin: time | None, end: time | None) -> datetime:
    """The first instant from ``moment`` on (aware) that is not between ``begin`` and ``end`` on the clock of
    ``zone``.

    ``end`` may be the next day's. Without hours, or with hours that are none, it is the moment itself.
    """
    if begin is None or end is None or not is_quiet(moment.astimezone(zone).time(), begin, end):
        return moment
    local = moment.astimezone(zone)
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    ended = min(
        instant
        for fold in (0, 1)  # a wall time that comes twice ends the quiet each time
        if (instant := _instant(datetime.combine(day, end, zone).replace(fold=fold))) >= moment
    )
    return told_from(ended, zone, begin, end)  # a leap over the end may land in the next quiet


def is_quiet(wall: time, begin: time, end: time) -> bool:
    """Whether a wall time is in the hours, the end excluded."""
    if begin <= end:
        return begin <= wall < end
    return wall >= begin or wall < end


def _instant(wall: datetime) -> datetime:
    """The instant of a wall time; of one that the clock leaps over, that of the leap."""
    before, after = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if before <= after:
        return wall.astimezone(UTC)
    low, high = (
        after,
        before,
    )  # the leap is between them: the offset is the old one at the first, the new one at the last
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(wall.tzinfo).utcoffset() == low.astimezone(wall.tzinfo).utcoffset():
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
