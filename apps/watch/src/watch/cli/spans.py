"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import click
from django.utils import timezone

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Span(click.ParamType[int]):
    """``15m``, ``2h``, ``90`` (seconds) → seconds."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,9})\s*([smhd]?)", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no duration; expected one like 15m, 2h, 1d or 90s", param, ctx)
        return int(found[1]) * _UNITS[found[2] or "s"]


def span_text(seconds: float) -> str:
    """The largest unit that fits, rounded."""
    for unit, size in reversed(_UNITS.items()):
        if seconds >= size:
            return f"{seconds / size:.0f} {'min' if unit == 'm' else unit}"
    return "0 s"


def ago(moment: datetime | None) -> str:
    """How long ago it was."""
    if moment is None:
        return "never"
    passed = timezone.now() - moment
    return "just now" if passed < timedelta(seconds=5) else f"{span_text(passed.total_seconds())} ago"
