"""crontab: Celery's forms, sets and day rule; each bad form with its message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_kit import coming, fields, instant, readings, walk

from duly.errors import ConfigError
from duly.schedules import crontab, from_spec


@pytest.mark.parametrize(
    ("given_form", "expected"),
    [
        ("*", range(60)),
        (7, [7]),
        ("7", [7]),
        ("1,13,30-32", [1, 13, 30, 31, 32]),
        ("*/15", [0, 15, 30, 45]),
        ("2-10/3", [2, 5, 8]),
        ("55-5/3", [55, 58, 1, 4]),
        ("1,13,30-45,50-59/2", [1, 13, *range(30, 46), 50, 52, 54, 56, 58]),
        ({3, 1}, [1, 3]),
        ([3, 1], [1, 3]),
        ((3, 1), [1, 3]),
        (range(8, 12), [8, 9, 10, 11]),
        (iter([5, 6]), [5, 6]),
        ((n for n in (5, 6)), [5, 6]),
    ],
)
def test_forms_of_minutes(given_form, expected) -> None:
    rule = crontab(minute=given_form)
    assert rule.pattern.minutes == tuple(sorted(expected))
    assert from_spec(rule.to_spec()) == rule


@pytest.mark.parametrize(
    ("given_form", "expected"),
    [
        ("sun", {0}),
        ("SATURDAY", {6}),
        ("mon-fri", {1, 2, 3, 4, 5}),
        ("fri-mon", {5, 6, 0, 1}),
        ("thu,5", {4, 5}),
        ("*/2", {0, 2, 4, 6}),
        (6, {6}),
    ],
)
def test_forms_of_weekdays(given_form, expected: set[int]) -> None:
    assert crontab(day_of_week=given_form).pattern.week_days == expected


def test_days_and_months_count_from_one() -> None:
    assert crontab(day_of_month="*/15").pattern.month_days == {1, 16, 31}
    assert crontab(day_of_month="*/15") == crontab(day_of_month="1,16,31")
    assert crontab(month_of_year="nov-jan").pattern.months == (1, 11, 12)
    assert crontab(month_of_year="2-12/2").pattern.months == (2, 4, 6, 8, 10, 12)
    assert crontab(month_of_year="*/3").pattern.months == (1, 4, 7, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"minute": ""}, "minute='' is empty"),
        ({"minute": "1,,2"}, "minute='1,,2' has an empty part"),
        ({"minute": "*/"}, "has the step ''"),
        ({"minute": "*/0"}, "has the step '0'"),
        ({"minute": "1/5"}, "write 1-59/5"),
        ({"minute": "-1"}, "has a range with an end missing"),
        ({"minute": "5-"}, "has a range with an end missing"),
        ({"minute": "1-2-3"}, "minute='1-2-3' has '2-3'"),
        ({"minute": "60"}, "has 60, which is out of range; allowed are 0 to 59"),
        ({"minute": 60}, "minute=60 is out of range; allowed are 0 to 59"),
        ({"minute": -1}, "minute=-1 is out of range"),
        ({"minute": [0, 99]}, "minute=99 is out of range"),
        ({"minute": []}, "allows nothing"),
        ({"minute": 0.5}, "minute=0.5 is a float"),
        ({"minute": True}, "minute=True is a bool"),
        ({"minute": ["0"]}, "minute='0' is not a whole number"),
        ({"minute": "jan"}, "has 'jan', which is unknown; allowed are 0 to 59"),
        ({"minute": "٣"}, "has '٣', which is unknown"),
        ({"minute": "1," * 400 + "1"}, "longer than 500 characters"),
        ({"hour": "24"}, "has 24, which is out of range; allowed are 0 to 23"),
        ({"day_of_week": 7}, "day_of_week=7 is out of range; allowed are 0 to 6"),
        ({"day_of_week": "7"}, "has 7, which is out of range; allowed are 0 to 6, or sun to sat"),
        ({"day_of_week": "mnoday"}, "did you mean 'monday'?"),
        ({"day_of_month": "0"}, "has 0, which is out of range; allowed are 1 to 31"),
        ({"day_of_month": 32}, "day_of_month=32 is out of range"),
        ({"month_of_year": "juni"}, "did you mean 'jun'?"),
        ({"month_of_year": 13}, "allowed are 1 to 12"),
        ({"day_of_month": 31, "month_of_year": 4}, "never occurs: no day 31 in April; use a day up to 30"),
        ({"day_of_month": "30-31", "month_of_year": "feb"}, "never occurs: no day 30 in February"),
        ({"tz": "Europe/Pariss"}, "did you mean 'Europe/Paris'"),
        ({"tz": "../etc/passwd"}, "is not a time zone this host knows"),
    ],
)
def test_bad_forms(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        crontab(**arguments)
    assert message in str(caught.value)


def test_its_fields_are_sets_of_numbers() -> None:
    """As programs written for Celery read them."""
    rule = crontab(minute="*/15", hour=7, day_of_week="mon-wed", day_of_month="1,15", month_of_year="*/6")
    assert (rule.minute, rule.hour, rule.day_of_week) == ({0, 15, 30, 45}, {7}, {1, 2, 3})
    assert (rule.day_of_month, rule.month_of_year) == ({1, 15}, {1, 7})
    assert (crontab().hour, crontab().month_of_year) == (set(range(24)), set(range(1, 13)))


def test_from_string_has_crons_order() -> None:
    assert crontab.from_string("0 9 1-7 * mon") == crontab(0, 9, day_of_week="mon", day_of_month="1-7")
    with pytest.raises(ConfigError, match="has 4 fields; give five"):
        crontab.from_string("0 9 * *")


def test_weekday_and_month_day_must_both_match() -> None:
    first_monday = crontab(0, 9, day_of_week="mon", day_of_month="1-7")
    assert coming(first_monday, "2026-11-20", 3) == [
        "2026-12-07T09:00+00:00",
        "2027-01-04T09:00+00:00",
        "2027-02-01T09:00+00:00",
    ]


def test_leap_days() -> None:
    assert coming(crontab(0, 0, day_of_month=29, month_of_year=2), "2096-03-01", 2) == [
        "2104-02-29T00:00+00:00",
        "2108-02-29T00:00+00:00",
    ]
    on_monday = crontab(0, 0, "mon", 29, 2)
    assert coming(on_monday, "2072-03-01", 1) == ["2112-02-29T00:00+00:00"]
    assert on_monday.previous(instant("2112-02-29")) == instant("2072-02-29")


def test_binding_gives_a_zone_to_a_rule_without_one() -> None:
    assert crontab(0, 9).bind("Europe/Paris") == crontab(0, 9, tz="Europe/Paris")
    assert crontab(0, 9, tz="UTC").bind("Europe/Paris").tz == "UTC"
    assert crontab(0, 9) != crontab(0, 9, tz="UTC")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (crontab(), "every minute"),
        (crontab(0), "every hour"),
        (crontab(5), "at minute 5 of every hour"),
        (crontab("*/15"), "every 15 minutes"),
        (crontab("0,10-12"), "at minutes 0 and 10 to 12 of every hour"),
        (crontab(0, 9), "at 09:00 every day"),
        (crontab("*", "9-17", "mon-fri"), "every minute of hours 9 to 17 on Monday to Friday"),
        (crontab("0,30", "9,17", tz="Europe/Paris"), "at 09:00, 09:30, 17:00 and 17:30 every day (Europe/Paris)"),
        (crontab(0, 0, day_of_month=1), "at 00:00 on day 1 of the month"),
        (crontab(0, 9, "mon", "1-7", "jan,jun-aug"),
         "at 09:00 on Monday if it is days 1 to 7 of the month in January and June to August"),
    ],
)  # fmt: skip
def test_in_plain_english(rule, words: str) -> None:
    assert rule.describe() == words


@settings(max_examples=60, deadline=None)
@given(fields, st.integers(instant("1990-01-01") // 60_000_000, instant("2040-01-01") // 60_000_000))
def test_in_utc_as_the_walk_finds(chosen, start: int) -> None:
    length = 3 * 1440
    expected = walk(chosen, readings("UTC", start, length), start)
    found = chosen.crontab().between(start * 60_000_000, (start + length - 1) * 60_000_000, 10**6)
    assert [each // 60_000_000 for each in found] == [each for each in expected if each > start]


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, set[int]]:
    """A text for hours and the hours it means."""
    parts: list[str] = []
    hours: set[int] = set()
    for _ in range(draw(st.integers(1, 4))):
        first, last, step = (draw(st.integers(0, 23)) for _ in range(3))
        span = [hour % 24 for hour in range(first, (last if last >= first else last + 24) + 1)]
        text, meant = draw(
            st.sampled_from(
                [
                    (f"{first}", {first}),
                    (f"{first}-{last}", set(span)),
                    (f"{first}-{last}/{step + 1}", set(span[:: step + 1])),
                    (f"*/{step + 1}", set(range(0, 24, step + 1))),
                ]
            )
        )
        parts.append(text)
        hours |= meant
    return ",".join(parts), hours


@given(texts())
def test_texts_mean_what_they_say(pair: tuple[str, set[int]]) -> None:
    text, hours = pair
    rule = crontab(0, text)
    assert set(rule.pattern.hours) == hours
    assert rule == crontab(0, hours)
    assert hash(rule) == hash(crontab(0, sorted(hours)))
    assert from_spec(rule.to_spec()) == rule
