"""Cron fields: from what people write to sets of numbers.

One grammar, in two dialects. A field is a list of parts separated by commas; a part is ``*``, a number or
name, or a range ``a-b``, with an optional step ``/n``. Celery's dialect lets ranges wrap around (``22-4``);
common cron's has 7 for Sunday and reads ``5/15`` as ``5-59/15``.

What can go wrong is said as a ConfigError that names the field, quotes what was given and says what is
allowed. The work is bounded: a field is at most 500 characters, and every part expands to 60 numbers at most.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from duly.errors import ConfigError

MONTH_NAMES = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
               "October", "November", "December")  # fmt: skip
DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

Given = int | str | Iterable[int]
"""The forms in which a field may be given."""

_LONGEST = 500
_DAYS_IN_MONTH = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Field:
    """One of the five fields: its name, its bounds, and the names its numbers have."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()  # the first is the name of ``least``

    @property
    def allowed(self) -> str:
        named = f", or {self.names[0][:3].lower()} to {self.names[-1][:3].lower()}" if self.names else ""
        return f"{self.least} to {self.most}{named}"

    @property
    def full(self) -> frozenset[int]:
        return frozenset(range(self.least, self.most + 1))


MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
MONTH_DAY = Field("day_of_month", 1, 31)
MONTH = Field("month_of_year", 1, 12, MONTH_NAMES)
WEEK_DAY = Field("day_of_week", 0, 6, DAY_NAMES)


def expand(field: Field, given: Given | None, wraps: bool) -> frozenset[int]:
    """The numbers a field allows. ``wraps`` chooses the dialect: True is Celery's, False is common cron's.

    Raises ConfigError.
    """
    if given is None:
        return field.full
    if isinstance(given, str):
        return _expand_text(field, given, wraps)
    if isinstance(given, bool) or not isinstance(given, (int, Iterable)):
        raise _error(field, given, f"is a {type(given).__name__}; give a number, a text or a list of numbers")
    return _expand_numbers(field, [given] if isinstance(given, int) else given)


def text_of(field: Field, given: Given | None, numbers: frozenset[int]) -> str:
    """How a field is stored: as it was written if it was written, else its numbers."""
    if isinstance(given, str):
        return given.strip()
    return "*" if numbers == field.full else ",".join(map(str, sorted(numbers)))


def refuse_never(month_days: frozenset[int], months: frozenset[int], given: str) -> None:
    """Raises ConfigError when none of the days exists in any of the months (31 April)."""
    longest = max(_DAYS_IN_MONTH[month] for month in months)
    if min(month_days) > longest:
        where = " or ".join(MONTH_NAMES[month - 1] for month in sorted(months))
        raise ConfigError(
            f"{given} never occurs: no day {min(month_days)} in {where}; use a day up to {longest} or other months"
        )


def _expand_numbers(field: Field, given: Iterable[object]) -> frozenset[int]:
    numbers: set[int] = set()
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int):
            raise _error(field, number, f"is not a whole number; allowed are {field.allowed}")
        if not field.least <= number <= field.most:
            raise _error(field, number, f"is out of range; allowed are {field.least} to {field.most}")
        numbers.add(number)
    if not numbers:
        raise _error(field, [], "allows nothing; leave it out for every value")
    return frozenset(numbers)


def _expand_text(field: Field, given: str, wraps: bool) -> frozenset[int]:
    text = given.strip()
    if not text:
        raise _error(field, given, "is empty; use '*' for every value")
    if len(text) > _LONGEST:
        raise _error(field, text[:40] + "...", f"is longer than {_LONGEST} characters")
    numbers: set[int] = set()
    for part in text.split(","):
        numbers.update(_expand_part(field, part.strip(), given, wraps))
    return frozenset(numbers)


def _expand_part(field: Field, part: str, given: str, wraps: bool) -> Iterable[int]:
    if not part:
        raise _error(field, given, "has an empty part between its commas")
    body, slash, step_text = part.partition("/")
    step = _step(field, step_text, given) if slash else 1
    if body == "*":
        return range(field.least, field.most + 1, step)
    first_text, dash, last_text = body.partition("-")
    first = _number(field, first_text, given, wraps)
    if dash:
        return _range(field, first, _number(field, last_text, given, wraps), step, given, wraps)
    if not slash:
        return [_sunday(field, first)]
    if wraps:
        raise _error(field, given, f"has a step without a range in {part!r}; write {body}-{field.most}/{step}")
    return [_sunday(field, value) for value in range(first, max(first, field.most) + 1, step)]


def _range(field: Field, first: int, last: int, step: int, given: str, wraps: bool) -> Iterable[int]:
    if first <= last:
        return [_sunday(field, value) for value in range(first, last + 1, step)]
    if not wraps:
        raise _error(
            field, given, f"has a range that runs backwards; write {first}-{field.most},{field.least}-{last}"
        )
    return [*range(first, field.most + 1), *range(field.least, last + 1)][::step]


def _sunday(field: Field, value: int) -> int:
    """Common cron's 7 is Sunday, which is 0."""
    return value % 7 if field is WEEK_DAY else value


def _step(field: Field, text: str, given: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= (step := int(text)) <= 999:
        raise _error(field, given, f"has the step {text!r}; a step is a whole number from 1")
    return step


def _number(field: Field, text: str, given: str, wraps: bool) -> int:
    if text.isascii() and text.isdigit():
        value = int(text)
        most = 7 if field is WEEK_DAY and not wraps else field.most
        if not field.least <= value <= most:
            raise _error(field, given, f"has {value}, which is out of range; allowed are {field.allowed}")
        return value
    if not text:
        raise _error(field, given, f"has a range with an end missing; allowed are {field.allowed}")
    return _named(field, text, given)


def _named(field: Field, text: str, given: str) -> int:
    word = text.capitalize()
    for index, name in enumerate(field.names):
        if word in (name, name[:3]):
            return field.least + index
    near = difflib.get_close_matches(word, [*field.names, *(name[:3] for name in field.names)], n=1)
    hint = f"did you mean {near[0].lower()!r}? " if near else ""
    raise _error(field, given, f"has {text!r}, which is unknown; {hint}allowed are {field.allowed}")


def _error(field: Field, given: object, what: str) -> ConfigError:
    return ConfigError(f"{field.name}={given!r} {what}")
