"""``celery.schedules``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from duly.schedules import Crontab, Every, Rule, Solar, as_rule

crontab = Crontab
solar = Solar
BaseSchedule = Rule


def schedule(run_every: float | timedelta, relative: bool = False, nowfun: Any = None, app: Any = None) -> Every:
    """Every so many seconds. ``relative`` changes nothing: periods go by the clock. Raises TypeError for ``nowfun``,
    ValueError for what is no time above 0."""
    if nowfun is not None:
        raise TypeError(
            "schedule(nowfun=...): the store's clock decides what is due; tests drive it with duly.testing"
        )
    return Every(run_every)


def maybe_schedule(s: Any, relative: bool = False, app: Any = None) -> Rule:
    """The rule of seconds, of a timedelta, or of what is one already. Raises ConfigError."""
    return as_rule(s)


__all__ = ["BaseSchedule", "crontab", "maybe_schedule", "schedule", "solar"]
