"""``every``: equal steps on the absolute line of time, which knows no change of clocks.

The steps are counted from an anchor, 1970 unless given, not from when a worker started. So all workers agree,
a restart shifts nothing, and "every 15 minutes" falls on the quarter hours.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from duly.clock import MICROS, from_micros, to_micros
from duly.errors import ConfigError
from duly.schedules.rule import Rule, Spec
from duly.schedules.words import duration
from duly.schedules.zone import FIRST, LAST

_SHORTEST = MICROS // 10
_LONGEST = 100 * 366 * 86_400 * MICROS


class Every(Rule):
    """A rule of one step: ``period`` in seconds or a timedelta, 0.1 s to 100 years.

    ``anchor`` is an instant on which an occurrence falls: an aware datetime, or µs UTC. Occurrences lie before
    it as well as after it. Raises ConfigError.
    """

    kind: ClassVar[str] = "every"

    def __init__(self, period: float | timedelta, anchor: datetime | int = 0) -> None:
        self.period = _micros(period)
        self.anchor = _instant(anchor)

    def next_after(self, instant: int) -> int | None:
        instant = max(instant, FIRST * MICROS)
        found = instant + self.period - (instant - self.anchor) % self.period
        return found if found <= LAST * MICROS else None

    def previous(self, instant: int) -> int | None:
        instant = min(instant, LAST * MICROS + 1) - 1
        found = instant - (instant - self.anchor) % self.period
        return found if found > FIRST * MICROS else None

    def describe(self) -> str:
        words = f"every {duration(self.period)}"
        if words.startswith("every 1 ") and " and " not in words:
            words = words.replace("1 ", "", 1)
        phase = self.anchor % self.period
        return f"{words}, counted from {from_micros(self.anchor).isoformat(sep=' ')}" if phase else words

    def to_spec(self) -> Spec:
        return {"kind": self.kind, "micros": self.period, "anchor": self.anchor}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Every:
        return cls(timedelta(microseconds=spec["micros"]), spec["anchor"])

    def _meaning(self) -> Hashable:
        return ("every", self.period, self.anchor % self.period)


def _micros(period: float | timedelta) -> int:
    if isinstance(period, timedelta):
        micros = period // timedelta(microseconds=1)
    elif isinstance(period, (int, float)) and not isinstance(period, bool) and math.isfinite(period):
        micros = round(period * MICROS)
    else:
        raise ConfigError(f"period={period!r} is not a length of time; give seconds or a timedelta")
    if not _SHORTEST <= micros <= _LONGEST:
        raise ConfigError(f"period={period!r} is out of range; allowed are 0.1 seconds to 100 years")
    return micros


def _instant(anchor: datetime | int) -> int:
    if isinstance(anchor, datetime):
        if anchor.tzinfo is None:
            raise ConfigError(f"anchor={anchor!r} has no time zone; add one, as in tzinfo=UTC")
        return to_micros(anchor, UTC)
    if isinstance(anchor, int) and not isinstance(anchor, bool) and FIRST <= anchor // MICROS <= LAST:
        return anchor
    raise ConfigError(f"anchor={anchor!r} is not an instant; give an aware datetime, or microseconds since 1970")
