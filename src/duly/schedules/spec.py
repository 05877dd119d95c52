"""From what is stored, or written in ``beat_schedule``, to a rule.

Specs are in databases: a kind, once released, keeps its meaning. A change of meaning gets a kind of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from duly.errors import ConfigError
from duly.schedules.cron import Cron
from duly.schedules.crontab import Crontab
from duly.schedules.interval import Every
from duly.schedules.rrule import RRule
from duly.schedules.rule import Rule
from duly.schedules.solar import Solar

_KINDS: dict[str, type[Rule]] = {rule.kind: rule for rule in (Crontab, Cron, Every, RRule, Solar)}


def from_spec(spec: Mapping[str, Any]) -> Rule:
    """The rule that :meth:`Rule.to_spec` gave ``spec`` for; equal to it. Raises ConfigError."""
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        near = difflib.get_close_matches(str(kind), _KINDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else "was it stored by a newer duly? "
        raise ConfigError(f"a schedule of the kind {kind!r} is unknown; {hint}known are {', '.join(_KINDS)}")
    try:
        return _KINDS[kind].from_spec(spec)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the stored schedule {dict(spec)!r} cannot be read: {error}") from error


def as_rule(given: object) -> Rule:
    """The rule of what a schedule entry may hold: a rule, or a period as seconds or a timedelta.

    Raises ConfigError.
    """
    if isinstance(given, Rule):
        return given
    if isinstance(given, (int, float, timedelta)) and not isinstance(given, bool):
        return Every(given)
    raise ConfigError(
        f"schedule={given!r} is not a schedule; give crontab(), cron(), rrule(), solar(), seconds or a timedelta"
    )
