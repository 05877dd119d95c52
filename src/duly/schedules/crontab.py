"""``crontab``: Celery's five fields, with Celery's meaning.

A day must match both its weekday and its day of the month. (Common cron matches either when both are
restricted; for that there is :mod:`duly.schedules.cron`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, ClassVar

from duly.errors import ConfigError
from duly.schedules.fields import (
    HOUR,
    MINUTE,
    MONTH,
    MONTH_DAY,
    WEEK_DAY,
    Given,
    expand,
    refuse_never,
    text_of,
)
from duly.schedules.pattern import Pattern
from duly.schedules.rule import Spec
from duly.schedules.timeline import FieldRule
from duly.schedules.words import describe_pattern
from duly.schedules.zone import zone_key

_FIELDS = (MINUTE, HOUR, WEEK_DAY, MONTH_DAY, MONTH)  # in the order of the arguments


class Crontab(FieldRule):
    """A rule of five fields, each a number, a text such as ``"*/15"`` or ``"mon-fri"``, or a list of numbers.

    ``tz`` is the zone whose clocks it reads (a name or a ZoneInfo); without one, the app's.
    Raises ConfigError for a field that cannot be read and for a date that never comes.
    """

    kind: ClassVar[str] = "crontab"

    def __init__(
        self,
        minute: Given = "*",
        hour: Given = "*",
        day_of_week: Given = "*",
        day_of_month: Given = "*",
        month_of_year: Given = "*",
        tz: str | tzinfo | None = None,
    ) -> None:
        given = [_reread(each) for each in (minute, hour, day_of_week, day_of_month, month_of_year)]
        minutes, hours, week_days, month_days, months = sets = [
            expand(field, value, wraps=True) for field, value in zip(_FIELDS, given, strict=True)
        ]
        self._texts = [text_of(*each) for each in zip(_FIELDS, given, sets, strict=True)]
        refuse_never(month_days, months, f"day_of_month={given[3]!r} with month_of_year={given[4]!r}")
        super().__init__(Pattern(minutes, hours, month_days, months, week_days), zone_key(tz))

    @property
    def minute(self) -> set[int]:
        """The minutes at which it comes round; this and the four below are sets of numbers, whatever was given."""
        return set(self.pattern.minutes)

    @property
    def hour(self) -> set[int]:
        return set(self.pattern.hours)

    @property
    def day_of_week(self) -> set[int]:
        """Sunday is 0."""
        return set(self.pattern.week_days)

    @property
    def day_of_month(self) -> set[int]:
        return set(self.pattern.month_days)

    @property
    def month_of_year(self) -> set[int]:
        return set(self.pattern.months)

    @classmethod
    def from_string(cls, text: str, tz: str | tzinfo | None = None) -> Crontab:
        """The rule of ``"minute hour day_of_month month_of_year day_of_week"``. Raises ConfigError."""
        fields = text.split()
        if len(fields) != 5:
            raise ConfigError(
                f"{text!r} has {len(fields)} fields; give five: minute hour day_of_month month_of_year day_of_week"
            )
        minute, hour, day_of_month, month_of_year, day_of_week = fields
        return cls(minute, hour, day_of_week, day_of_month, month_of_year, tz=tz)

    def bind(self, tz: str) -> Crontab:
        return self if self._tz is not None else Crontab.from_spec({**self.to_spec(), "tz": tz})

    def describe(self) -> str:
        return describe_pattern(self.pattern, self._tz)

    def to_spec(self) -> Spec:
        spec: Spec = {"kind": self.kind}
        spec.update((field.name, text) for field, text in zip(_FIELDS, self._texts, strict=True) if text != "*")
        if self._tz is not None:
            spec["tz"] = self._tz
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Crontab:
        return cls(**{name: value for name, value in spec.items() if name != "kind"})


def _reread(given: Any) -> Any:
    """``given``, safe to be read twice: an iterator is drawn into a list."""
    return list(given) if hasattr(given, "__next__") else given
