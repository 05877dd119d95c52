"""Rate strings."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.clock import MICROS
from duly.rates import format_rate, parse_rate

MINUTE = 60 * MICROS


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/m", (10, MINUTE)),
        ("5/s", (5, MICROS)),
        ("100/h", (100, 3600 * MICROS)),
        ("1/d", (1, 86_400 * MICROS)),
        (" 10 / M ", (10, MINUTE)),
        (10, (10, MICROS)),
        ("10", (10, MICROS)),
        (0.5, (1, 2 * MICROS)),
        ("0.5/m", (1, 2 * MINUTE)),
        ("2.5/s", (5, 2 * MICROS)),
        (0, None),
        ("0", None),
        ("0/m", None),
        (None, None),
        ("None", None),
        ("", None),
    ],
)
def test_a_rate_reads_as_in_celery(text: object, rate: object) -> None:
    assert parse_rate(text) == rate  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["10/x", "ten/m", "-1/m", "10/m/s", "/m", True, [10], "1/0/m", "nan", "inf/s"])
def test_what_is_no_rate_is_refused_with_its_forms(text: object) -> None:
    with pytest.raises(ValueError, match=r"rate .*10/m"):
        parse_rate(text)  # type: ignore[arg-type]


@given(st.integers(1, 10**6), st.sampled_from("smhd"))
def test_a_rate_is_written_as_it_is_read(starts: int, unit: str) -> None:
    rate = parse_rate(f"{starts}/{unit}")
    assert rate is not None
    assert format_rate(*rate) == f"{starts}/{unit}"


@given(st.decimals(min_value="0.0001", max_value=1000, places=4))
def test_a_fraction_is_exact(starts: object) -> None:
    rate = parse_rate(f"{starts}/m")
    assert rate is not None
    assert Fraction(rate[0], rate[1]) == Fraction(str(starts)) / MINUTE
