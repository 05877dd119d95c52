"""The same questions put to Celery, cronsim and PyEphem, where they are installed. duly needs none of them.

``DULY_DEEP=1`` asks twenty times as many.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_kit import Fields, fields, instant
from test_all_rules import cron_lines

from duly.errors import ConfigError
from duly.schedules import cron, crontab, solar

MORE = 20 if "DULY_DEEP" in os.environ else 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
minutes = st.integers(instant("1995-01-01") // 60_000_000, instant("2045-01-01") // 60_000_000)


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


@settings(max_examples=1000 * MORE, deadline=None)
@given(fields, minutes, st.integers(0, 59_999_999))
def test_crontab_as_celery(chosen: Fields, minute: int, micros: int) -> None:
    celery = pytest.importorskip("celery")
    schedules = pytest.importorskip("celery.schedules")
    app = celery.Celery(set_as_current=False)
    app.conf.timezone = "UTC"
    now = minute * 60_000_000 + micros
    theirs = schedules.crontab(
        set(chosen.minutes), set(chosen.hours), set(chosen.week_days), set(chosen.month_days), set(chosen.months),
        nowfun=lambda: moment(now), app=app,
    )  # fmt: skip
    expected = moment(now) + theirs.remaining_estimate(moment(now))
    assert moment(chosen.crontab("UTC").next_after(now) or 0) == expected


celery_parts = st.one_of(
    st.sampled_from(
        [
            "*",
            "*/2",
            "*/7",
            "*/100",
            "1",
            "9",
            "31",
            "mon",
            "mon-fri",
            "sunday",
            "jan",
            "NOV-feb",
            "2-4/2",
            "55-5/3",
            "22-4",
            "",
            "*/",
            "*/0",
            "7",
            "0",
            "-1",
            "60",
            "mox",
            "5-",
            "1-7,15-21",
        ]
    ),
    st.text("0123456789*/-", max_size=6),
)


@settings(max_examples=1000 * MORE, deadline=None)
@given(
    st.sampled_from(["minute", "hour", "day_of_week", "day_of_month", "month_of_year"]),
    st.lists(celery_parts, min_size=1, max_size=3),
)
def test_fields_as_celery_reads_them(field: str, parts: list[str]) -> None:
    """What we accept means what it means there; what we refuse and Celery takes, it takes by oversight."""
    schedules = pytest.importorskip("celery.schedules")
    text = ",".join(parts)
    try:
        ours = crontab(**{field: text})
    except ConfigError:
        return
    pattern = ours.pattern
    sets = {"minute": pattern.minutes, "hour": pattern.hours, "day_of_week": pattern.week_days,
            "day_of_month": pattern.month_days, "month_of_year": pattern.months}  # fmt: skip
    assert getattr(schedules.crontab(**{field: text}), field) == set(sets[field])


@settings(max_examples=500 * MORE, deadline=None)
@given(cron_lines, minutes)
def test_cron_as_cronsim(line: str, minute: int) -> None:
    cronsim = pytest.importorskip("cronsim")
    now = minute * 60_000_000
    try:
        ours = cron(line, "UTC")
    except ConfigError:
        return
    theirs = cronsim.CronSim(line, moment(now))
    expected = [next(theirs) for _ in range(3)]
    assert [moment(each) for each in ours.between(now, instant("8999-01-01"), 3)] == expected


@settings(max_examples=500 * MORE, deadline=None)
@given(
    st.sampled_from(["dawn_astronomical", "dawn_civil", "sunrise", "solar_noon", "sunset", "dusk_nautical"]),
    st.integers(-45, 45),
    st.integers(-179, 179),
    minutes,
)
def test_solar_within_two_minutes_of_ephem(event: str, lat: int, lon: int, minute: int) -> None:
    """Where the sun crosses the horizon steeply; PyEphem is what Celery asks."""
    ephem = pytest.importorskip("ephem")
    heights = {"dawn_astronomical": "-18", "dawn_civil": "-6", "dusk_nautical": "-12"}
    observer = ephem.Observer()
    observer.lat, observer.lon, observer.elev, observer.pressure = str(lat), str(lon), 0, 0
    observer.horizon = heights.get(event, "-0:34")
    method = {
        "solar_noon": "next_transit", "dawn_astronomical": "next_rising", "dawn_civil": "next_rising",
        "sunrise": "next_rising", "sunset": "next_setting", "dusk_nautical": "next_setting",
    }[event]  # fmt: skip
    ours = solar(event, lat, lon).next_after(minute * 60_000_000)
    assert ours is not None
    keywords = {"use_center": True} if event in heights else {}
    theirs = getattr(observer, method)(
        ephem.Sun(), start=moment(ours - 3 * 3600 * 1_000_000).replace(tzinfo=None), **keywords
    )
    assert abs(theirs.datetime().replace(tzinfo=UTC) - moment(ours)) <= timedelta(minutes=2)
