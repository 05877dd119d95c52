"""``cron``: the line of common cron (Vixie's, as Debian has it), for those who have one to paste.

Its days differ from crontab's: when neither the day of the month nor the weekday begins with ``*``, a day
matches by either. ``L``, ``W`` and ``#`` are not common cron's; an rrule says the same in the open.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, ClassVar

from duly.errors import ConfigError
from duly.schedules.fields import HOUR, MINUTE, MONTH, MONTH_DAY, WEEK_DAY, expand, refuse_never
from duly.schedules.pattern import Pattern
from duly.schedules.rule import Spec
from duly.schedules.timeline import FieldRule
from duly.schedules.words import describe_pattern
from duly.schedules.zone import zone_key

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = (MINUTE, HOUR, MONTH_DAY, MONTH, WEEK_DAY)  # in the order of the line


class Cron(FieldRule):
    """The rule of ``"minute hour day-of-month month day-of-week"`` or of ``@daily`` and its like.

    ``tz`` is the zone whose clocks it reads (a name or a ZoneInfo); without one, the app's.
    Raises ConfigError for a line that cannot be read and for a date that never comes.
    """

    kind: ClassVar[str] = "cron"

    def __init__(self, line: str, tz: str | tzinfo | None = None) -> None:
        self._line = " ".join(line.split())
        super().__init__(_read(self._line), zone_key(tz))

    def bind(self, tz: str) -> Cron:
        return self if self._tz is not None else Cron(self._line, tz)

    def describe(self) -> str:
        return describe_pattern(self.pattern, self._tz)

    def to_spec(self) -> Spec:
        spec: Spec = {"kind": self.kind, "line": self._line}
        if self._tz is not None:
            spec["tz"] = self._tz
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Cron:
        return cls(spec["line"], spec.get("tz"))


def _read(line: str) -> Pattern:
    fields = _plain(line).split(" ")
    if len(fields) != len(_FIELDS):
        raise ConfigError(
            f"{line!r} has {len(fields)} fields; give five: minute hour day-of-month month day-of-week, "
            "or one of " + ", ".join(_MACROS)
        )
    _refuse_special_days(line, fields)
    sets = [expand(field, text, wraps=False) for field, text in zip(_FIELDS, fields, strict=True)]
    minutes, hours, month_days, months, week_days = sets
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    if not either:
        refuse_never(month_days, months, repr(line))
    return Pattern(minutes, hours, month_days, months, week_days, either)


def _plain(line: str) -> str:
    """The five fields of a line that may be a macro."""
    if not line.startswith("@"):
        return line
    name = line.lower()
    if name in _MACROS:
        return _MACROS[name]
    if name == "@reboot":
        raise ConfigError("'@reboot' is not a time; call the task when the worker is ready instead")
    near = difflib.get_close_matches(name, _MACROS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"{line!r} is unknown; {hint}allowed are {', '.join(_MACROS)}")


def _refuse_special_days(line: str, fields: list[str]) -> None:
    month_day, week_day = fields[2].upper(), fields[4].upper()
    if month_day.strip("LW0123456789,") == "" and month_day.strip("0123456789,"):
        raise ConfigError(
            f"{line!r}: L and W are not part of common cron; the last day of the month is "
            'rrule("FREQ=MONTHLY;BYMONTHDAY=-1", start)'
        )
    if "#" in week_day or (week_day.endswith("L") and week_day[:-1].isdigit()):
        raise ConfigError(
            f"{line!r}: # and L are not part of common cron; the first Monday of the month is "
            'rrule("FREQ=MONTHLY;BYDAY=1MO", start), the last Friday rrule("FREQ=MONTHLY;BYDAY=-1FR", start)'
        )
