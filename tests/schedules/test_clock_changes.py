"""What rules do when the clocks change: by name, and against a walk over every minute.

``DULY_DEEP=1`` walks twenty years of every zone, for every rule of DEEP; it takes some minutes.
"""

from __future__ import annotations

import os
from datetime import datetime
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_kit import MINUTE, ZONES, Fields, coming, fields, instant, night_fields, readings, shown, walk

from duly.schedules import cron, crontab, every, rrule

YEARS = (2008, 2028)  # with Apia's skipped day and Casablanca's many changes
DAY = 1440

PARIS, NEW_YORK, LORD_HOWE, TROLL = "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll"


def test_morning_stays_at_nine() -> None:
    assert coming(crontab(0, 9, tz=PARIS), "2026-03-28T00:00", 2) == [
        "2026-03-28T09:00+01:00",
        "2026-03-29T09:00+02:00",
    ]
    assert coming(crontab(0, 9, tz=PARIS), "2026-10-24T12:00", 2) == [
        "2026-10-25T09:00+01:00",
        "2026-10-26T09:00+01:00",
    ]


@pytest.mark.parametrize(
    ("rule", "after", "expected"),
    [
        (crontab(30, 2, tz=PARIS), "2026-03-29T00:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        (cron("30 2 * * *", tz=NEW_YORK), "2026-03-08T00:00", ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]),
        (crontab("0,30", 2, tz=PARIS), "2026-03-29T00:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        (crontab(0, "2,3", tz=PARIS), "2026-03-29T00:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        (crontab(15, 2, tz=LORD_HOWE), "2026-10-04T00:00", ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"]),
        (crontab(30, 1, tz=TROLL), "2026-03-29T00:30", ["2026-03-29T03:00+02:00", "2026-03-30T01:30+02:00"]),
        (
            crontab(0, 9, "fri", tz="Pacific/Apia"),
            "2011-12-28T00:00",
            ["2011-12-31T00:00+14:00", "2012-01-06T09:00+14:00"],
        ),
        (
            rrule("FREQ=DAILY", "2026-03-01T02:30", PARIS),
            "2026-03-29T00:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
        ),
        (
            rrule("FREQ=DAILY;BYMINUTE=0,30", "2026-03-01T02:30", PARIS),
            "2026-03-28T12:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"],
        ),
    ],
)
def test_a_time_in_a_gap_comes_once_when_the_gap_ends(rule, after, expected) -> None:
    assert coming(rule, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("rule", "after", "expected"),
    [
        (crontab(30, 2, tz=PARIS), "2026-10-25T00:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        (cron("30 1 * * *", tz=NEW_YORK), "2026-11-01T00:00", ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
        (crontab(45, 1, tz=LORD_HOWE), "2026-04-05T00:00", ["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"]),
        (
            crontab("0,30", "2,3", tz=PARIS),
            "2026-10-25T00:00",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T03:00+01:00", "2026-10-25T03:30+01:00"],
        ),
        (
            rrule("FREQ=DAILY", "2026-10-01T02:30", PARIS),
            "2026-10-25T00:00",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
        ),
    ],
)
def test_a_time_in_an_overlap_comes_the_first_time(rule, after, expected) -> None:
    assert coming(rule, after, len(expected)) == expected


def test_asked_within_the_repeated_hour_nothing_comes_twice() -> None:
    rule = crontab(30, 2, tz=PARIS)
    second_pass = instant("2026-10-25T02:10+01:00")
    assert shown(rule.next_after(second_pass), PARIS) == "2026-10-26T02:30+01:00"
    assert shown(rule.previous(second_pass), PARIS) == "2026-10-25T02:30+02:00"


def test_an_hourly_rule_runs_in_both_repeated_hours() -> None:
    assert coming(crontab(0, tz=PARIS), "2026-10-25T01:30", 3) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]
    assert coming(crontab(0, tz=PARIS), "2026-03-29T01:30", 2) == ["2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"]


@pytest.mark.parametrize("zone", ["Europe/Paris", "Antarctica/Troll", "America/New_York", "Africa/Casablanca"])
@pytest.mark.parametrize(
    "make",
    [
        lambda zone: crontab("*/15", tz=zone),
        lambda zone: cron("*/15 * * * *", tz=zone),
        lambda zone: every(900),
        lambda zone: rrule("FREQ=MINUTELY;INTERVAL=15", "2026-01-01T00:00", zone),
    ],
)
def test_every_quarter_hour_stays_every_quarter_hour(zone: str, make) -> None:
    found = make(zone).between(instant("2026-01-01T12:00"), instant("2027-01-01"), 40_000)
    assert len(found) == 364 * 96 + 48
    assert {after - before for before, after in pairwise(found)} == {15 * MINUTE}


def test_minutes_within_named_hours_follow_elapsed_time() -> None:
    rule = crontab("*", 2, tz=PARIS)
    assert len(rule.between(instant("2026-10-25T00:00", PARIS), instant("2026-10-26T00:00", PARIS), 999)) == 120
    assert rule.between(instant("2026-03-29T00:00", PARIS), instant("2026-03-30T00:00", PARIS), 999) == []
    weekly = crontab("*", 2, "sun", tz=PARIS)  # after the first 02:59 the next 02:xx by the calendar is a week off
    assert shown(weekly.next_after(instant("2026-10-25T02:59+02:00")), PARIS) == "2026-10-25T02:00+01:00"
    assert shown(weekly.previous(instant("2026-10-25T02:00+01:00")), PARIS) == "2026-10-25T02:59+02:00"


@cache
def changes(zone: str) -> tuple[int, ...]:
    """The days (UTC, in minutes since 1970) in YEARS on which the clocks of a zone change."""
    info = ZoneInfo(zone)
    days = range(instant(f"{YEARS[0]}-01-01") // MINUTE, instant(f"{YEARS[1]}-01-01") // MINUTE, DAY)
    offsets = [datetime.fromtimestamp(day * 60, info).utcoffset() for day in days]
    return tuple(day for day, before, after in zip(days, offsets, offsets[1:], strict=False) if before != after) or (
        days[0] + DAY,
    )


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, int, int]:
    """A zone and three days, beginning one before its clocks change."""
    zone = draw(st.sampled_from(ZONES))
    return zone, draw(st.sampled_from(changes(zone))) - DAY, 3 * DAY


@settings(max_examples=150, deadline=None)
@given(windows(), st.one_of(night_fields, fields))
def test_around_changes_as_the_walk_finds(window: tuple[str, int, int], chosen: Fields) -> None:
    zone, start, length = window
    lead = 2 * DAY  # so that the walk knows what was repeated
    expected = walk(chosen, readings(zone, start - lead, length + lead), start - lead)
    check(chosen, zone, start, start + length - 1, [minute for minute in expected if minute > start])


def check(chosen: Fields, zone: str, after: int, until: int, expected: list[int]) -> None:
    """Both directions of a rule against the expected minutes, later than ``after`` and up to ``until``."""
    rule = chosen.crontab(zone)
    assert [found // MINUTE for found in rule.between(after * MINUTE, until * MINUTE, 10**9)] == expected
    back, found = [], rule.previous(until * MINUTE + 1)
    while found is not None and found > after * MINUTE:
        back.append(found // MINUTE)
        found = rule.previous(found)
    assert back[::-1] == expected


def _fields(line: str) -> Fields:
    made = cron(line).pattern
    return Fields(*map(frozenset, (made.minutes, made.hours, made.month_days, made.months, made.week_days)))


DEEP = (
    "0 9 * * *", "30 2 * * *", "15 2 * * *", "0 2 * * *", "0 3 * * *", "59 1 * * *", "45 1 * * *", "0 0 * * *",
    "30 0 * * *", "59 23 * * *", "0,30 1-3 * * *", "*/15 0-4 * * *", "*/20 */2 * * *", "7,37 0,12 * * *",
    "0 * * * *", "15 * * * *", "45 * * * *", "*/15 * * * *", "*/7 * * * *", "* 2 * * *", "* 1-3 * * 0",
    "0 2 * * 0", "30 1 * * 5,6,0", "0 0 29 2 *", "30 2 31 * *", "0 3 25-31 3,10 *", "0 12 1 */3 *",
)  # fmt: skip


@pytest.mark.skipif("DULY_DEEP" not in os.environ, reason="walks twenty years minute by minute; DULY_DEEP=1 runs it")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("zone", ZONES)
def test_twenty_years_as_the_walk_finds(zone: str, capsys: pytest.CaptureFixture[str]) -> None:
    start, end = (instant(f"{year}-01-01") // MINUTE for year in YEARS)
    lead = 2 * DAY
    seen = readings.__wrapped__(zone, start - lead, end - start + lead)  # not remembered: 80 MB
    occurrences = 0
    for line in DEEP:
        chosen = _fields(line)
        expected = [minute for minute in walk(chosen, seen, start - lead) if minute > start]
        check(chosen, zone, start, end - 1, expected)
        occurrences += len(expected)
    with capsys.disabled():
        print(f"\n{zone}: {len(DEEP)} rules, {end - start:,} minutes each, {occurrences:,} occurrences agree")
