"""Rate strings: ``"10/m"`` as a number of starts in a span of time, and back. Pure.

A rate is whole starts in whole microseconds, so that limits compute exactly: ``"0.5/s"`` is one start in two seconds.
"""

from __future__ import annotations

from fractions import Fraction

from duly.clock import MICROS

Rate = tuple[int, int]
"""(starts, µs in which they may happen)"""

_UNITS = {"s": MICROS, "m": 60 * MICROS, "h": 3600 * MICROS, "d": 86_400 * MICROS}
_FORMS = 'a rate is "10/m" (10 a minute; /s, /m, /h, /d), a number (per second), or 0 or None for no limit'


def parse_rate(value: str | float | None) -> Rate | None:
    """The rate of a text, a number per second, or nothing; None: no limit. Raises ValueError."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none")):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"rate {value!r}: {_FORMS}")
    number, slash, unit = str(value).partition("/")
    unit = unit.strip().lower() if slash else "s"
    if unit not in _UNITS:
        raise ValueError(f"rate {value!r}: no unit {unit!r}; {_FORMS}")
    starts = _number(number.strip(), value)
    return None if starts == 0 else _exact(starts, _UNITS[unit])


def format_rate(starts: int, per: int) -> str:
    """As a person writes it: ``10/m``; ``1 in 2 s`` where no unit fits."""
    for unit, span in _UNITS.items():
        if per == span:
            return f"{starts}/{unit}"
    return f"{starts} in {per / MICROS:g} s"


def _number(text: str, value: object) -> Fraction:
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"rate {value!r}: {text!r} is no number; {_FORMS}") from None
    if number < 0:
        raise ValueError(f"rate {value!r} is below 0; {_FORMS}")
    return number


def _exact(starts: Fraction, per: int) -> Rate:
    """Both whole: 2.5 a second are 5 in two seconds."""
    return starts.numerator, per * starts.denominator
