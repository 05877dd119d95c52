"""cron: the line of common cron."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_kit import Fields, coming, fields, instant, walk

from duly.errors import ConfigError
from duly.schedules import cron, crontab, from_spec


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("@yearly", crontab(0, 0, day_of_month=1, month_of_year=1)),
        ("@annually", crontab(0, 0, day_of_month=1, month_of_year=1)),
        ("@monthly", crontab(0, 0, day_of_month=1)),
        ("@weekly", crontab(0, 0, "sun")),
        ("@daily", crontab(0, 0)),
        ("@Midnight", crontab(0, 0)),
        ("@hourly", crontab(0)),
        ("0 9 * * 7", crontab(0, 9, 0)),
        ("0 9 * * 5-7", crontab(0, 9, "5,6,0")),
        ("0 9 * * MON-fri", crontab(0, 9, "mon-fri")),
        ("5/15 * * * *", crontab("5,20,35,50")),
        ("  0   9 * jan,feb * ", crontab(0, 9, month_of_year="1,2")),
        ("0 0 */2 * mon", crontab(0, 0, "mon", "*/2")),  # begins with *: both must match
    ],
)
def test_lines(line: str, same) -> None:
    rule = cron(line)
    assert rule == same
    assert hash(rule) == hash(same)
    assert from_spec(rule.to_spec()) == rule


def test_either_day_matches_when_both_are_restricted() -> None:
    rule = cron("0 9 1 * mon")
    assert coming(rule, "2026-11-25", 3) == [
        "2026-11-30T09:00+00:00",
        "2026-12-01T09:00+00:00",
        "2026-12-07T09:00+00:00",
    ]
    assert rule.describe() == "at 09:00 on day 1 of the month and on every Monday"
    assert rule != crontab(0, 9, "mon", 1)
    assert cron("0 9 1-31 * mon") == cron("0 9 * * *")
    assert coming(cron("0 0 31 4 mon"), "2026-11-25", 1) == ["2027-04-05T00:00+00:00"]


@settings(max_examples=60, deadline=None)
@given(fields, st.integers(instant("1990-01-01") // 60_000_000, instant("2040-01-01") // 60_000_000))
def test_lists_of_days_match_either_as_the_walk_finds(chosen: Fields, start: int) -> None:
    texts = (chosen.minutes, chosen.hours, chosen.month_days, chosen.months, chosen.week_days)
    rule = cron(" ".join(",".join(map(str, each)) for each in texts))
    length = 40 * 1440
    expected = walk(replace(chosen, either=True), array("q", range(start, start + length)), start)
    found = rule.between(start * 60_000_000, (start + length - 1) * 60_000_000, 10**6)
    assert [each // 60_000_000 for each in found] == [each for each in expected if each > start]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "has 1 fields; give five"),
        ("0 9 * *", "has 4 fields; give five: minute hour day-of-month month day-of-week"),
        ("0 0 9 * * *", "has 6 fields"),
        ("@dayly", "did you mean '@daily'?"),
        ("@reboot", "is not a time"),
        ("0 9 * * 8", "has 8, which is out of range"),
        ("0 22-4 * * *", "runs backwards; write 22-23,0-4"),
        ("0 0 L * *", "BYMONTHDAY=-1"),
        ("0 0 15W * *", "L and W are not part of common cron"),
        ("0 0 * * mon#1", "BYDAY=1MO"),
        ("0 0 * * 5L", "BYDAY=-1FR"),
        ("0 0 30 2 *", "'0 0 30 2 *' never occurs: no day 30 in February"),
        ("*/* * * * *", "has the step '*'"),
        ("1/1/1/1 * * * *", "has the step '1/1/1'"),
    ],
)
def test_bad_lines(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cron(line)
    assert message in str(caught.value)
