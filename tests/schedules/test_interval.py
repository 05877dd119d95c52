"""every: steps on the absolute line of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_kit import coming, instant

from duly.errors import ConfigError
from duly.schedules import as_rule, crontab, every, from_spec

micros = st.integers(instant("1950-01-01"), instant("2150-01-01"))


def test_steps_fall_on_round_times() -> None:
    assert coming(every(900), "2026-11-21T10:07", 2) == ["2026-11-21T10:15+00:00", "2026-11-21T10:30+00:00"]
    assert coming(every(timedelta(days=1)), "2026-11-21T10:07", 1) == ["2026-11-22T00:00+00:00"]


def test_the_anchor_moves_them() -> None:
    rule = every(3600, anchor=datetime(2026, 1, 1, 0, 10, tzinfo=UTC))
    assert coming(rule, "2025-11-21T10:10", 2) == ["2025-11-21T11:10+00:00", "2025-11-21T12:10+00:00"]
    assert rule == every(timedelta(hours=1), anchor=instant("1999-05-05T05:10"))
    assert rule != every(3600)


@given(st.integers(100_000, 10**15), micros, micros)
def test_strictly_after_and_aligned(period: int, anchor: int, now: int) -> None:
    rule = every(timedelta(microseconds=period), anchor)
    after, before = rule.next_after(now), rule.previous(now)
    assert after is not None
    assert now < after <= now + period
    assert (after - anchor) % period == 0
    assert from_spec(rule.to_spec()) == rule
    if before is not None:
        assert now - period <= before < now
        assert rule.next_after(before) == (now if (now - anchor) % period == 0 else after)


def test_what_a_schedule_entry_may_hold() -> None:
    assert as_rule(30) == every(30)
    assert as_rule(0.5) == every(timedelta(milliseconds=500))
    assert as_rule(timedelta(hours=1)) == every(3600)
    assert as_rule(crontab(0)) == crontab(0)
    for bad in ("0 9 * * *", True, None, [30]):
        with pytest.raises(ConfigError, match="is not a schedule; give crontab"):
            as_rule(bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "period=0 is out of range; allowed are 0.1 seconds to 100 years"),
        ((-5,), "period=-5 is out of range"),
        ((0.01,), "period=0.01 is out of range"),
        ((timedelta(days=40_000),), "is out of range"),
        ((float("inf"),), "period=inf is not a length of time"),
        (("5",), "period='5' is not a length of time"),
        ((True,), "period=True is not"),
        ((60, datetime(2026, 1, 1)), "has no time zone"),
        ((60, "2026"), "anchor='2026' is not an instant"),
    ],
)
def test_bad_arguments(arguments, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        every(*arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("period", "words"),
    [
        (1, "every second"),
        (30, "every 30 seconds"),
        (0.5, "every 0.5 seconds"),
        (60, "every minute"),
        (5400, "every 1 hour and 30 minutes"),
        (86_400, "every day"),
        (90_061, "every 1 day, 1 hour, 1 minute and 1 second"),
    ],
)
def test_in_plain_english(period: float, words: str) -> None:
    assert every(period).describe() == words
