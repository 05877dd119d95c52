"""Zones: what the clocks of a place show at each second, and when they first show it.

Three words, used all over this package. A *second* is a point in time: seconds since 1970 in UTC. A
*reading* is what clocks show, written as if it were UTC: 09:00 on 2 January 1970 is the reading 118,800
wherever it is read. Between two changes of its clocks a zone is a *stretch* in which
reading = second + offset. In spring readings are skipped (a gap), in autumn they come twice (an overlap).

The whole policy for gaps and overlaps follows from two functions here that cannot disagree, because one
is the inverse of the other: :meth:`Zone.first_second` of a reading and :meth:`Zone.latest_reading` at a second.

What can go wrong: hosts with different releases of the time zone database disagree about the future of
a zone whose government changed its mind. Nothing here can know; keep tzdata current.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from duly.errors import ConfigError

FIRST = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp())
LAST = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp())
"""The seconds rules are computed for: no occurrence is before FIRST or after LAST."""

REACH = 2 * 86_400
"""No offset and no change of clocks is as long as this many seconds (the largest change: a day, Samoa 2011)."""

_CHUNK = 25  # changes are looked for in chunks of 2**25 s, 388 days, and remembered
_PROBE = 2 * 86_400  # since 1900 no zone changed its clocks twice within 95 hours, so none hides between probes

Stretch = tuple[int, int, int]
"""(start, end, offset) in seconds: from start, included, to end, not included, reading = second + offset."""


class Zone:
    """The clocks of one time zone. Get it by :func:`zone`."""

    def __init__(self, info: ZoneInfo) -> None:
        self.key: str = info.key
        self._info = info
        self._chunk = lru_cache(maxsize=512)(self._find_changes)

    def offset(self, second: int) -> int:
        """What to add to ``second`` for its reading."""
        return self.stretch(second)[2]

    def stretch(self, second: int) -> Stretch:
        """A stretch around ``second``: the clocks do not change within it (but may not at its ends either)."""
        starts, offsets = self._chunk(second >> _CHUNK)
        at = bisect_right(starts, second) - 1
        return starts[at], starts[at + 1], offsets[at]

    def latest_reading(self, second: int) -> int:
        """The latest reading clocks have shown up to ``second``, included.

        It is later than what they show now while an overlap repeats itself.
        """
        start, _, offset = self.stretch(second)
        latest = second + offset
        while start > second - REACH:
            before = start - 1
            start, _, offset = self.stretch(before)
            latest = max(latest, before + offset)
        return latest

    def first_second(self, reading: int) -> int:
        """The first second at which clocks show ``reading`` or later.

        In an overlap that is the first of the two; for a reading in a gap it is the end of the gap.
        """
        second = reading - REACH
        while True:
            start, end, offset = self.stretch(second)
            second = max(start, reading - offset)
            if second < end:
                return second
            second = end

    def _find_changes(self, chunk: int) -> tuple[list[int], list[int]]:
        """The stretches of one chunk: where they start (and last, where the chunk ends), and their offsets."""
        start, end = chunk << _CHUNK, (chunk + 1) << _CHUNK
        starts, offsets = [start], [self._look_up(start)]
        for probe in range(start, end, _PROBE):
            until = min(probe + _PROBE, end) - 1
            if (offset := self._look_up(until)) != offsets[-1]:
                starts.append(self._bisect(probe - 1, until, offset))
                offsets.append(offset)
        starts.append(end)
        return starts, offsets

    def _bisect(self, low: int, high: int, offset: int) -> int:
        """The first second after ``low`` with ``offset``, which ``high`` has."""
        while high - low > 1:
            middle = (low + high) // 2
            if self._look_up(middle) == offset:
                high = middle
            else:
                low = middle
        return high

    def _look_up(self, second: int) -> int:
        offset = datetime.fromtimestamp(second, self._info).utcoffset()
        assert offset is not None  # a ZoneInfo always knows
        return offset.days * 86_400 + offset.seconds


@lru_cache(maxsize=1024)
def zone(key: str) -> Zone:
    """The zone of that name. Raises ConfigError, with the nearest names, when there is none."""
    try:
        return Zone(ZoneInfo(key))
    except (LookupError, OSError, ValueError):
        near = difflib.get_close_matches(key, available_timezones(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "use a name like 'Europe/Paris'"
        raise ConfigError(f"tz={key!r} is not a time zone this host knows; {hint}") from None


def zone_key(tz: str | tzinfo | None) -> str | None:
    """The name of a zone given as people give it: a name, a ZoneInfo or ``datetime.UTC``.

    Raises ConfigError for anything that has no name, because a stored rule could not find it again.
    """
    if tz is None:
        return None
    if isinstance(tz, str):
        return zone(tz).key
    if isinstance(tz, ZoneInfo) and tz.key is not None:
        return zone(tz.key).key
    if tz is UTC:
        return "UTC"
    raise ConfigError(
        f"tz={tz!r} has no name to store; give the name of a zone such as 'Europe/Paris' or 'UTC', or a ZoneInfo"
    )
