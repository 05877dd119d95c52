"""Times as people write and read them."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.cli import times
from duly.clock import MICROS, to_micros

BERLIN = ZoneInfo("Europe/Berlin")
NOW = to_micros(datetime(2026, 11, 21, 10, 30), UTC)  # 11:30 in Berlin
HOUR = 3600 * MICROS
DAY = 24 * HOUR


def berlin(*parts: int) -> int:
    return to_micros(datetime(*parts), BERLIN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", NOW),
        ("+1h", NOW + HOUR),
        ("-10m", NOW - 10 * 60 * MICROS),
        ("+1h30m", NOW + 90 * 60 * MICROS),
        ("+1.5h", NOW + 90 * 60 * MICROS),
        ("+ 1d 2h", NOW + 26 * HOUR),
        ("+250ms", NOW + 250_000),
        ("+2W", NOW + 14 * DAY),
        ("today 18:00", berlin(2026, 11, 21, 18)),
        ("tomorrow 09:00", berlin(2026, 11, 22, 9)),
        ("Tomorrow", berlin(2026, 11, 22)),
        ("yesterday 23:59:59.5", berlin(2026, 11, 20, 23, 59, 59, 500_000)),
        ("9:05", berlin(2026, 11, 21, 9, 5)),
        ("2026-11-21", berlin(2026, 11, 21)),
        ("2026-11-21 09:00", berlin(2026, 11, 21, 9)),
        ("2026-11-21 9:00", berlin(2026, 11, 21, 9)),
        ("2026-11-21T09:00:00.123456", berlin(2026, 11, 21, 9, 0, 0, 123_456)),
        ("2026-11-21T09:00:00Z", to_micros(datetime(2026, 11, 21, 9), UTC)),
        ("2026-11-21 09:00 +02:00", to_micros(datetime(2026, 11, 21, 7), UTC)),
        ("2026-11-21T09:00:00-0530", to_micros(datetime(2026, 11, 21, 14, 30), UTC)),
        ("2026-11-21 09:00 UTC", to_micros(datetime(2026, 11, 21, 9), UTC)),
        ("@1763715600", 1_763_715_600 * MICROS),
        ("@1763715600.000001", 1_763_715_600 * MICROS + 1),
    ],
)
def test_instants(text: str, instant: int) -> None:
    assert times.parse_instant(text, NOW, BERLIN) == instant


@pytest.mark.parametrize(
    "text",
    ["", "tomorow", "+", "-", "+5", "+1x", "1h", "25:00", "today 9", "2026-13-01", "2026-02-30 10:00", "20261121",
     "2026-11-21 09:00 +99:00", "@", "@-5", "1763715600", "+1h garbage", "٣:٠٠"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_value_and_the_forms(text: str) -> None:
    with pytest.raises(times.BadTime) as caught:
        times.parse_instant(text, NOW, BERLIN)
    assert repr(text) in str(caught.value)
    assert "tomorrow 09:00" in str(caught.value)


@pytest.mark.parametrize("text", ["+99999999999w", "1969-12-31", "9999-12-31 23:59", "@99999999999999"])
def test_times_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(times.BadTime, match="out of range"):
        times.parse_instant(text, NOW, BERLIN)


def test_a_day_ahead_is_elapsed_time_and_tomorrow_is_wall_time() -> None:
    before_the_change = berlin(2026, 10, 24, 9)  # the clocks go back on the 25th: that day has 25 hours
    assert times.parse_instant("+1d", before_the_change, BERLIN) == before_the_change + DAY
    assert times.parse_instant("tomorrow 09:00", before_the_change, BERLIN) == before_the_change + DAY + HOUR


def test_a_skipped_wall_time_is_read_as_if_the_clocks_had_not_changed() -> None:
    instant = times.parse_instant("2026-03-29 02:30", NOW, BERLIN)
    assert times.full(instant, BERLIN) == "2026-03-29 03:30:00.000 +02:00"


def test_a_repeated_wall_time_means_the_first() -> None:
    instant = times.parse_instant("2026-10-25 02:30", NOW, BERLIN)
    assert times.full(instant, BERLIN) == "2026-10-25 02:30:00.000 +02:00"


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]).map(ZoneInfo)
MODERN = st.integers(to_micros(datetime(1990, 1, 1), UTC), to_micros(datetime(2090, 1, 1), UTC))


@given(MODERN, ZONES)
def test_what_is_shown_in_full_reads_back_to_the_millisecond(instant: int, zone: ZoneInfo) -> None:
    assert times.parse_instant(times.full(instant, zone), NOW, UTC) == instant - instant % 1000


@given(MODERN)
def test_unix_seconds_are_exact(instant: int) -> None:
    text = f"@{instant // MICROS}.{instant % MICROS:06d}"
    assert times.parse_instant(text, NOW, UTC) == instant


@given(st.text(max_size=30) | st.from_regex(r"[+@-]?[0-9:. TZwdhms-]{0,25}", fullmatch=True), ZONES)
def test_any_text_is_an_instant_in_range_or_a_bad_time(text: str, zone: ZoneInfo) -> None:
    with contextlib.suppress(times.BadTime):
        assert 0 <= times.parse_instant(text, NOW, zone) <= times.MAX_INSTANT


@given(st.integers(0, 500 * 365 * DAY))
def test_a_shown_span_reads_back_as_about_the_same(micros: int) -> None:
    back = times.parse_span(times.span(micros))
    assert abs(back - micros) <= max(0.06 * micros, 500)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0s"), (7, "7µs"), (1000, "1ms"), (999_499, "999ms"), (999_999, "1.0s"), (4_240_000, "4.2s"),
     (9_960_000, "10s"), (59_600_000, "1m"), (92 * MICROS, "1m 32s"), (3_599_600_000, "1h"),
     (22 * HOUR + 3_599_800_000, "23h"),
     (23 * DAY + 4 * HOUR, "23d 4h"), (400 * DAY - 1, "400d")],
)  # fmt: skip
def test_spans(micros: int, text: str) -> None:
    assert times.span(micros) == text


@pytest.mark.parametrize(
    ("text", "micros"), [("90", 90 * MICROS), ("0.5", 500_000), ("1h30m", 90 * 60 * MICROS), ("1w", 7 * DAY)]
)
def test_spans_are_read(text: str, micros: int) -> None:
    assert times.parse_span(text) == micros


@pytest.mark.parametrize("text", ["", "-5", "soon", "1y", "inf", "1e3"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(times.BadTime, match="length of time"):
        times.parse_span(text)


def test_short_times_say_as_much_as_is_needed() -> None:
    assert times.short(berlin(2026, 11, 21, 9, 0, 5), NOW, BERLIN) == "09:00:05"
    assert times.short(berlin(2026, 3, 1, 9), NOW, BERLIN) == "Mar  1 09:00"
    assert times.short(berlin(2027, 3, 1, 9), NOW, BERLIN) == "2027-03-01"


def test_relative_times() -> None:
    assert times.relative(NOW + 10_000, NOW) == "now"
    assert times.relative(NOW + 3 * HOUR, NOW) == "in 3h"
    assert times.relative(NOW - 4_200_000, NOW) == "4.2s ago"
