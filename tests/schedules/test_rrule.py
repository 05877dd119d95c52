"""rrule: against python-dateutil run plainly from the start, and where the two are meant to differ."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schedule_kit import coming, instant, shown

from duly.errors import ConfigError
from duly.schedules import from_spec, rrule

START = datetime(2026, 1, 30, 9, 30)
DAY = 86_400_000_000


def some(name: str, values: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    lists = st.lists(values, min_size=1, max_size=3, unique=True)
    return st.one_of(st.just(""), lists.map(lambda each: f";{name}=" + ",".join(map(str, each))))


DAY_NAMES = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={frequency}", draw(st.sampled_from(["", ";INTERVAL=2", ";INTERVAL=3"]))]
    parts.append(draw(some("BYMONTH", st.integers(1, 12))))
    chosen = draw(st.sampled_from(["none", "weekday", "numbered", "monthday", "yearday", "week", "position"]))
    if chosen in ("weekday", "position") or (chosen == "numbered" and frequency in ("DAILY", "WEEKLY")):
        parts.append(draw(some("BYDAY", DAY_NAMES)))
    elif chosen == "numbered":
        parts.append(
            draw(some("BYDAY", st.builds(lambda n, day: f"{n}{day}", st.sampled_from([1, 2, -1]), DAY_NAMES)))
        )
    elif chosen == "monthday":
        parts.append(draw(some("BYMONTHDAY", st.sampled_from([1, 15, 28, 29, 31, -1, -5]))))
    elif chosen == "yearday":
        parts.append(draw(some("BYYEARDAY", st.sampled_from([1, 60, 100, 200, 366, -1]))))
    elif chosen == "week" and frequency == "YEARLY":
        parts.append(draw(some("BYWEEKNO", st.sampled_from([1, 20, 52, 53, -1]))))
    parts.append(draw(some("BYHOUR", st.integers(0, 23))))
    parts.append(draw(some("BYMINUTE", st.integers(0, 59))))
    if chosen == "position" and any(parts[2:]):
        parts.append(draw(some("BYSETPOS", st.sampled_from([1, 2, -1]))))
    parts.append(draw(st.sampled_from(["", ";WKST=SU", ";WKST=WE"])))
    parts.append(draw(st.sampled_from(["", "", ";COUNT=7", ";UNTIL=20300615T120000Z"])))
    return "".join(parts)


def plainly(text: str, count: int) -> list[int]:
    rule = rrulestr(text, dtstart=START.replace(tzinfo=UTC))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [(each - epoch) // timedelta(microseconds=1) for each in islice(rule, count)]


@settings(max_examples=150, deadline=None)
@given(texts(), st.integers(0, 39))
def test_as_dateutil_from_the_start(text: str, skip: int) -> None:
    try:
        rule = rrule(text if "WKST" in text else text + ";WKST=MO", START, "UTC")
    except ConfigError:  # no occurrence
        assume(False)
    expected = plainly(text, 40)
    assert rule.between(0, instant("8999-01-01"), 40) == expected
    assert rule.next_after(expected[0] - 1) == expected[0]
    later = expected[skip % len(expected) :]
    assert list(islice(rule.walk(later[0] - 1), len(later))) == later
    assert rule.previous(expected[0]) is None
    for before, after in pairwise(expected):
        assert rule.next_after(before) == after
        assert rule.previous(after) == before
    assert from_spec(rule.to_spec()) == rule


def test_far_from_its_start_it_keeps_step() -> None:
    rule = rrule("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", START, "UTC")
    far = rule.next_after(instant("2926-01-01"))
    assert far is not None
    assert (far - instant("2026-01-30T09:30")) % (14 * DAY) == 0


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        (
            "FREQ=MONTHLY;BYDAY=-1FR",
            "Europe/Paris",
            "2026-03-01",
            ["2026-03-27T09:30+01:00", "2026-04-24T09:30+02:00"],
        ),
        ("FREQ=MONTHLY", "UTC", "2026-02-01", ["2026-03-30T09:30+00:00", "2026-04-30T09:30+00:00"]),
        ("FREQ=DAILY;COUNT=2", "UTC", "2026-01-01", ["2026-01-30T09:30+00:00", "2026-01-31T09:30+00:00"]),
        ("FREQ=DAILY;UNTIL=20260131", "UTC", "2026-01-01", ["2026-01-30T09:30+00:00", "2026-01-31T09:30+00:00"]),
        ("FREQ=DAILY;UNTIL=20260131T093000", "Asia/Kathmandu", "2026-01-31", ["2026-01-31T09:30+05:45"]),
        ("FREQ=DAILY;UNTIL=20260131T034459Z", "Asia/Kathmandu", "2026-01-30", ["2026-01-30T09:30+05:45"]),
        (
            "FREQ=HOURLY;BYHOUR=1,2,3",
            "Europe/Paris",
            "2026-10-25T00:45",
            ["2026-10-25T01:30+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"],
        ),
        (
            "FREQ=HOURLY;INTERVAL=6;BYDAY=MO",
            "UTC",
            "2026-02-01",
            ["2026-02-02T03:30+00:00", "2026-02-02T09:30+00:00"],
        ),
        (
            "FREQ=MINUTELY;INTERVAL=45;COUNT=2",
            "UTC",
            "2026-01-01",
            ["2026-01-30T09:30+00:00", "2026-01-30T10:15+00:00"],
        ),
    ],
)
def test_occurrences(text: str, zone: str, after: str, expected: list[str]) -> None:
    rule = rrule(text, START, zone)
    found = coming(rule, after, len(expected))
    assert found == expected
    if "COUNT" in text or "UNTIL" in text:
        assert rule.next_after(instant(expected[-1])) is None
        assert shown(rule.previous(instant("2100-01-01")), zone) == expected[-1]


def test_a_step_anywhere_in_the_last_minute_of_an_hour() -> None:
    rule = rrule("FREQ=HOURLY;BYHOUR=3", "2026-01-01T00:59:30", "UTC")
    assert rule.previous(instant("2026-05-05T12:00")) == instant("2026-05-05T03:59:30")
    assert rule.next_after(instant("2026-05-05T03:59:29")) == instant("2026-05-05T03:59:30")


def test_the_start_may_be_aware_or_text() -> None:
    in_paris = rrule("FREQ=DAILY", "2026-01-30T09:30", "Europe/Paris")
    assert rrule("FREQ=DAILY", "2026-01-30T08:30+00:00", "Europe/Paris") == in_paris
    assert rrule("RRULE:freq=daily;", START).bind("Europe/Paris") == in_paris
    assert rrule("FREQ=DAILY", START.replace(tzinfo=UTC)).tz == "UTC"


def test_equal_by_meaning() -> None:
    assert rrule("FREQ=WEEKLY", START) == rrule("FREQ=WEEKLY;INTERVAL=1;BYDAY=FR;BYHOUR=9", START)
    assert rrule("FREQ=WEEKLY", START) != rrule("FREQ=WEEKLY", START + timedelta(days=7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FREQ must be one of YEARLY"),
        ("FREQ=DALY", "has FREQ=DALY; FREQ must be one of"),
        ("FREQ=DAILY;BYMONT=1", "did you mean BYMONTH?"),
        ("FREQ=DAILY;FREQ=DAILY", "has FREQ twice"),
        ("FREQ=DAILY;INTERVAL=0", "has INTERVAL=0; allowed is a whole number from 1"),
        ("FREQ=DAILY;INTERVAL=0.5", "has INTERVAL=0.5"),
        ("FREQ=DAILY;INTERVAL=20000", "longer than 50 years"),
        ("FREQ=DAILY;COUNT=10001", "has COUNT=10001; allowed is a whole number from 1 to 10000"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "both COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=tomorrow", "write 20261231"),
        ("FREQ=DAILY;UNTIL=20261331", "write 20261231"),
        ("FREQ=DAILY;BYDAY=1MO", "a number before a weekday"),
        ("FREQ=MONTHLY;BYDAY=MON", "has BYDAY=MON; allowed are MO"),
        ("FREQ=MONTHLY;BYDAY=0MO", "has BYDAY=0MO"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "1 to 31, or -31 to -1"),
        ("FREQ=MONTHLY;BYWEEKNO=3", "BYWEEKNO, which goes with FREQ=YEARLY"),
        ("FREQ=DAILY;BYHOUR=24", "numbers from 0 to 23"),
        ("FREQ=DAILY;BYSECOND=60", "numbers from 0 to 59"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS without another BY part"),
        ("FREQ=HOURLY;BYMINUTE=30", "has BYMINUTE, which goes with FREQ=DAILY"),
        ("FREQ=MINUTELY;INTERVAL=7;BYHOUR=9", "a step that does not divide a day"),
        ("FREQ=DAILY;BYHOUR=0,1,2,3,4,5;BYMINUTE=" + ",".join(map(str, range(20))), "more than 96 times a day"),
        ("DTSTART:20260101\nRRULE:FREQ=DAILY", "give the start as start="),
        ("FREQ=DAILY;BYHOUR=" + "1," * 600, "up to 1000 characters"),
        ("FREQ=DAILY;UNTIL=20200101", "never occurs"),
        ("FREQ=MONTHLY;BYMONTH=4;BYMONTHDAY=31", "never occurs"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", "never occurs"),
        ("FREQ=HOURLY;INTERVAL=2;BYHOUR=8", "never occurs"),
        ("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "never occurs"),
    ],
)
def test_bad_rules_are_refused_soon(text: str, message: str) -> None:
    begin = time.process_time()
    with pytest.raises(ConfigError) as caught:
        rrule(text, START, "UTC")
    assert message in str(caught.value)
    assert time.process_time() - begin < 5  # measured: 0.3 s at worst


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FREQ=DAILY", "every day at 09:30, from 2026-01-30"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "every 2 weeks on Monday and Thursday at 09:30, from 2026-01-30"),
        ("FREQ=MONTHLY;BYDAY=-1FR;COUNT=3", "every month on the last Friday at 09:30, from 2026-01-30, 3 times"),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-2",
            "every month on the second to last day of the month at 09:30, from 2026-01-30",
        ),
        ("FREQ=HOURLY;INTERVAL=3", "every 3 hours, from 2026-01-30 09:30"),
        ("FREQ=DAILY;UNTIL=20261231", "every day at 09:30, from 2026-01-30 until 2026-12-31 23:59:59"),
    ],
)
def test_in_plain_english(text: str, words: str) -> None:
    assert rrule(text, START).describe() == words
