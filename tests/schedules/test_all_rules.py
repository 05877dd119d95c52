"""What holds for every kind of rule: order, inverse directions, specs, equality, time taken."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_kit import ZONES, fields, instant

import duly.schedules
from duly.errors import ConfigError
from duly.schedules import Rule, cron, crontab, every, from_spec, rrule, solar

zones = st.sampled_from((None, *ZONES))
instants = st.integers(instant("1995-01-01"), instant("2045-01-01"))


def field_text(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    # not 5-5: cronsim, beside which these are tested, reads 5-5/2 as 5/2
    ranges = st.lists(number, min_size=2, max_size=2, unique=True).map(lambda ends: f"{min(ends)}-{max(ends)}")
    part = st.one_of(
        st.just("*"), number.map(str), ranges, st.builds(lambda r, n: f"{r}/{n}", ranges, st.integers(1, 70))
    )
    return st.lists(part, min_size=1, max_size=3).map(",".join)


def refused_to_none(make, *arguments: object) -> Rule | None:
    try:
        return make(*arguments)
    except ConfigError:
        return None


cron_lines = st.tuples(*(field_text(*bounds) for bounds in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)))).map(
    " ".join
)
crons = st.builds(lambda line, zone: refused_to_none(cron, line, zone), cron_lines, zones).filter(bool)
rules = st.one_of(
    st.builds(lambda chosen, zone: chosen.crontab(zone), fields, zones),
    crons,
    st.builds(every, st.integers(1, 10**7), instants),
    st.builds(
        solar, st.sampled_from(["sunrise", "dusk_civil", "solar_noon"]), st.integers(-70, 70), st.integers(-180, 180)
    ),
    st.builds(
        rrule,
        st.sampled_from(
            [
                "FREQ=DAILY;BYHOUR=2;BYMINUTE=0,30",
                "FREQ=WEEKLY;BYDAY=SU;INTERVAL=2",
                "FREQ=MONTHLY;BYDAY=-1FR",
                "FREQ=HOURLY;BYHOUR=1,2,3",
                "FREQ=MINUTELY;INTERVAL=90",
                "FREQ=DAILY;COUNT=400",
            ]
        ),
        st.just("2008-01-01T02:15:30"),
        zones,
    ),
)


@settings(max_examples=300, deadline=None)
@given(rules, instants)
def test_next_and_previous_are_inverse(rule: Rule, now: int) -> None:
    coming = rule.between(now, instant("2400-01-01"), 5)
    assert coming == sorted(set(coming))
    assert all(each > now for each in coming)
    for before, after in pairwise(coming):
        assert rule.next_after(before) == rule.next_after(after - 1) == after
        assert rule.previous(after) == before
        assert rule.previous(before + 1) == before
    last = rule.previous(now)
    if last is not None:
        assert last < now
        assert rule.next_after(last) == (now if rule.previous(now + 1) == now else rule.next_after(now))


@settings(max_examples=200, deadline=None)
@given(rules, instants)
def test_a_later_question_never_has_an_earlier_answer(rule: Rule, now: int) -> None:
    answers = [rule.next_after(now + step) for step in (0, 1, 999_999, 1_000_000, 60_000_000, 86_400_000_000)]
    known = [each for each in answers if each is not None]
    assert known == sorted(known)


@settings(max_examples=200, deadline=None)
@given(rules, st.sampled_from(ZONES))
def test_specs_rebuild_the_rule(rule: Rule, zone: str) -> None:
    spec = json.loads(json.dumps(rule.to_spec()))
    rebuilt = from_spec(spec)
    assert rebuilt == rule
    assert hash(rebuilt) == hash(rule)
    assert rebuilt.to_spec() == spec
    assert rebuilt.describe() == rule.describe()
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert from_spec(rule.bind(zone).to_spec()) == rule.bind(zone)


def test_specs_that_were_stored_stay_readable() -> None:
    """What databases hold. Never change a line of it: add one."""
    stored = [
        (
            {"kind": "crontab", "minute": "*/15", "hour": "8-18", "tz": "Europe/Paris"},
            crontab("*/15", "8-18", tz="Europe/Paris"),
        ),
        (
            {"kind": "crontab", "day_of_week": "mon", "day_of_month": "1,2", "month_of_year": "6"},
            crontab("*", "*", "mon", "1,2", 6),
        ),
        ({"kind": "crontab"}, crontab()),
        ({"kind": "cron", "line": "0 9 * * mon", "tz": "UTC"}, cron("0 9 * * mon", "UTC")),
        ({"kind": "every", "micros": 900_000_000, "anchor": 5}, every(900, 5)),
        (
            {"kind": "rrule", "rule": "FREQ=DAILY", "start": "2026-01-01T09:00:00", "tz": "UTC"},
            rrule("FREQ=DAILY", "2026-01-01T09:00", "UTC"),
        ),
        ({"kind": "solar", "event": "sunset", "lat": 48.86, "lon": 2.35}, solar("sunset", 48.86, 2.35)),
    ]
    for spec, rule in stored:
        assert from_spec(spec) == rule
        assert rule.to_spec() == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "kind None is unknown; was it stored by a newer duly?"),
        ({"kind": "crontabs"}, "did you mean 'crontab'?"),
        ({"kind": "lunar"}, "known are crontab, cron, every, rrule, solar"),
        ({"kind": "cron"}, "cannot be read: 'line'"),
        ({"kind": "crontab", "second": "5"}, "cannot be read: .*second"),
        ({"kind": "every", "micros": "5", "anchor": 0}, "cannot be read"),
    ],
)
def test_specs_that_cannot_be_read(spec: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_spec(spec)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_other_processes_compute_the_same(seed: str) -> None:
    program = (
        "from duly.schedules import *\n"
        "for rule in (crontab({30, 2, 17}, '1-3', tz='Africa/Casablanca'), cron('*/7 2 * * 0', 'Antarctica/Troll'),\n"
        "             rrule('FREQ=WEEKLY;BYDAY=SU,MO', '2026-01-01T02:30', 'Europe/Paris'), solar('sunset', 9, 5)):\n"
        "    print(rule.to_spec(), rule.between(1_790_000_000_000_000, 1_890_000_000_000_000, 300))"
    )
    here, there = (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, **other}
        )
        for other in ({}, {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"})
    )
    assert here.stdout == there.stdout
    assert here.stdout.count("[") == 4


def test_between_takes_up_where_it_left_off() -> None:
    rule = crontab("*/5")
    begin, middle, end = instant("2026-01-01T00:00"), instant("2026-01-01T00:10"), instant("2026-01-01T00:20")
    assert rule.between(begin, middle, 99) + rule.between(middle, end, 99) == rule.between(begin, end, 99)
    assert rule.between(begin, end, 2) == [instant("2026-01-01T00:05"), instant("2026-01-01T00:10")]
    assert rule.between(begin, end, 0) == []


def test_times_outside_of_the_calendar() -> None:
    for rule in (crontab(0, 0), every(60), solar("sunset", 0, 0), rrule("FREQ=DAILY", "2026-01-01T00:00")):
        assert rule.next_after(2**63) is None
        assert rule.previous(-(2**63)) is None
        assert rule.next_after(-(2**63)) is not None
        assert rule.previous(2**63) is not None


@pytest.mark.parametrize(
    "rule",
    [
        crontab(0, 9, tz="Europe/Paris"),
        cron("0 0 29 2 *", "Africa/Casablanca"),
        crontab("*", "*", "mon", 29, 2, tz="Europe/Paris"),
        cron("*/59 */23 31 */11 *", "America/New_York"),
        cron(",".join(["0-59/1"] * 60) + " * * * *"),
        rrule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "2026-01-01T00:00"),
        rrule("FREQ=HOURLY;INTERVAL=24;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "2026-01-01T00:00"),
        solar("sunrise", 89.99, 0),
        solar("sunrise", 90, 0),
    ],
)
def test_no_rule_takes_long(rule: Rule) -> None:
    """Twenty questions each way, spread over decades. Measured: most take 5 µs, the slowest here some ms."""
    begin = time.process_time()
    for year in range(2026, 2066, 2):
        rule.next_after(instant(f"{year}-06-01"))
        rule.previous(instant(f"{year}-06-01"))
    assert time.process_time() - begin < 4


def test_the_public_names() -> None:
    assert set(duly.schedules.__all__) == {
        "Cron", "Crontab", "Every", "RRule", "Rule", "Solar", "Spec", "as_rule", "cron", "crontab", "every",
        "from_spec", "rrule", "solar",
    }  # fmt: skip
