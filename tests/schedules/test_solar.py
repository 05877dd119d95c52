"""solar: against published values."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from schedule_kit import instant, shown

from duly.errors import ConfigError
from duly.schedules import solar
from duly.schedules.solar import sun_at

LONDON, NEW_YORK, SYDNEY = (51.5074, -0.1278), (40.7128, -74.0060), (-33.8688, 151.2093)
TROMSO = (69.6492, 18.9553)
MINUTE, DAY = 60_000_000, 86_400_000_000


def test_the_sun_of_meeus_examples() -> None:
    """Astronomical Algorithms, examples 25.a (declination) and 28.b (equation of time): 13 October 1992, 0h."""
    declination, equation = sun_at(instant("1992-10-13") / 1e6)
    assert math.degrees(declination) == pytest.approx(-7.78507, abs=0.002)
    assert equation == pytest.approx(13 + 42.7 / 60, abs=0.02)


@pytest.mark.parametrize(
    ("place", "zone", "day", "sunrise", "sunset"),
    [
        (LONDON, "Europe/London", "2023-06-21", "04:43", "21:21"),
        (LONDON, "Europe/London", "2023-12-22", "08:04", "15:53"),
        (NEW_YORK, "America/New_York", "2023-06-21", "05:25", "20:31"),
        (NEW_YORK, "America/New_York", "2023-12-21", "07:17", "16:32"),
        (SYDNEY, "Australia/Sydney", "2023-12-22", "05:41", "20:05"),
        (SYDNEY, "Australia/Sydney", "2023-06-21", "07:00", "16:54"),
    ],
)
def test_published_sunrise_and_sunset(place, zone: str, day: str, sunrise: str, sunset: str) -> None:
    """As the almanacs print them (to the minute) for these cities at the solstices."""
    for event, time in (("sunrise", sunrise), ("sunset", sunset)):
        found = solar(event, *place).next_after(instant(day, zone))
        assert found is not None
        assert abs(found - instant(f"{day}T{time}", zone)) <= MINUTE, shown(found, zone)


def test_the_events_of_a_day_come_in_their_order() -> None:
    names = ("dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon", "sunset", "dusk_civil",
             "dusk_nautical", "dusk_astronomical")  # fmt: skip
    begin = instant("2026-11-21", "America/New_York")
    found = [solar(name, *NEW_YORK).next_after(begin) for name in names]
    assert found == sorted(found)
    assert len(set(found)) == 9
    assert found[-1] < begin + DAY


def test_polar_night_and_day_are_passed_over() -> None:
    sunrise = solar("sunrise", *TROMSO)
    after_night = sunrise.next_after(instant("2026-12-05"))
    assert "2027-01-13" < shown(after_night) < "2027-01-18"
    before_night = sunrise.previous(after_night)
    assert "2026-11-24" < shown(before_night) < "2026-11-29"
    assert sunrise.next_after(before_night) == after_night
    after_day = solar("sunset", *TROMSO).next_after(instant("2026-06-21"))
    assert "2026-07-20" < shown(after_day) < "2026-07-28"


def test_at_the_pole_there_is_none() -> None:
    assert solar("sunrise", 90, 0).next_after(instant("2026-01-01")) is None
    assert solar("sunrise", 90, 0).previous(instant("2026-01-01")) is None


@pytest.mark.parametrize("place", [LONDON, SYDNEY, (0, 179.9), (0, -180), (60, 180), (-54.8, -68.3)])
@pytest.mark.parametrize("event", ["dawn_civil", "sunrise", "solar_noon", "sunset"])
def test_one_a_day_all_year(place, event: str) -> None:
    rule = solar(event, *place)
    found = rule.between(instant("2026-01-01"), instant("2027-01-01"), 1000)
    assert len(found) in (364, 365, 366)
    assert all(abs(after - before - DAY) < 6 * MINUTE for before, after in pairwise(found))
    assert all(rule.previous(after) == before for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sunrize", 0, 0), "did you mean 'sunrise'?"),
        (("sunrise", 91, 0), "lat=91 is not a place; allowed are -90 to 90"),
        (("sunrise", 0, -181), "lon=-181 is not a place"),
        (("sunrise", float("nan"), 0), "lat=nan"),
        (("sunrise", "48", 0), "lat='48'"),
    ],
)
def test_bad_arguments(arguments, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        solar(*arguments)
    assert message in str(caught.value)


def test_in_plain_english() -> None:
    assert solar("dawn_civil", 48.86, -2.35).describe() == "at civil dawn at 48.86 N, 2.35 W"
    assert solar("solar_noon", -33.9, 151).describe() == "at solar noon at 33.9 S, 151 E"
