"""Quiet hours and what posts are wanted: pure functions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from watch.matching import Wants, words
from watch.quiet import is_quiet, told_from

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = (time(22), time(7))


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("2026-05-05 21:59", "2026-05-05 21:59"),
        ("2026-05-05 22:00", "2026-05-06 07:00"),
        ("2026-05-06 06:59", "2026-05-06 07:00"),
        ("2026-05-06 07:00", "2026-05-06 07:00"),
        ("2026-03-28 23:30", "2026-03-29 07:00"),  # the night in which an hour is missing
        ("2026-10-24 23:30", "2026-10-25 07:00"),  # and the one that has one more
    ],
)
def test_a_night_in_berlin(moment: str, told: str) -> None:
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=BERLIN) for text in (moment, told))
    assert told_from(begin.astimezone(UTC), BERLIN, *NIGHT) == end


def test_without_hours_at_once() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert told_from(moment, BERLIN, None, None) == moment
    assert told_from(moment, BERLIN, time(1), time(1)) == moment


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_it_is_the_first_minute_that_is_not_quiet(zone: str) -> None:
    """Against brute force, around the changes of the clock above all."""
    clock, rng = ZoneInfo(zone), random.Random(zone)
    changes = [
        hour
        for hour in (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(8760))
        if hour.astimezone(clock).utcoffset() != (hour + timedelta(hours=1)).astimezone(clock).utcoffset()
    ] or [datetime(2026, 3, 1, tzinfo=UTC)]
    for _ in range(150):
        moment = rng.choice(changes) + timedelta(minutes=rng.randrange(-1500, 300))
        begin, end = (time(rng.randrange(24), rng.choice((0, 15, 30))) for _ in range(2))
        if rng.random() < 0.5:
            end = time(rng.choice((1, 2)), rng.choice((0, 15, 30)))  # where clocks leap
        found = moment
        while is_quiet(found.astimezone(clock).time(), begin, end):
            found += timedelta(minutes=1)
        assert told_from(moment, clock, begin, end) == found, (moment, begin, end)


ADA, BOB, EVE, KIM = 1, 2, 3, 4
NEWS, FLATS = 10, 20


@pytest.fixture
def wants() -> Wants:
    return Wants(
        [
            (ADA, None, []),
            (BOB, FLATS, []),
            (EVE, FLATS, ["two rooms", "Balkon"]),
            (KIM, None, ["STRASSE", "\u6771\u4eac", "!!"]),
            (KIM, NEWS, ["rent"]),
        ]
    )


@pytest.mark.parametrize(
    ("site", "text", "told"),
    [
        (NEWS, "Elections", {ADA}),
        (FLATS, "A garage", {ADA, BOB}),
        (FLATS, "Two  Rooms, near the park", {ADA, BOB, EVE}),
        (FLATS, "rooms two", {ADA, BOB}),
        (FLATS, "mit balkon\nTwo", {ADA, BOB, EVE}),
        (NEWS, "Zwei Zimmer mit Balkon", {ADA}),
        (NEWS, "Lange Stra\u00dfe", {ADA, KIM}),
        (NEWS, "\u65b0\u6771\u4eac\u99c5!!", {ADA, KIM}),
        (NEWS, "different", {ADA}),  # which has rent in it, but not as a word
        (NEWS, "the RENT rises", {ADA, KIM}),
        (FLATS, "the rent rises", {ADA, BOB}),
    ],
)
def test_who_wants_what(wants: Wants, site: int, text: str, told: set[int]) -> None:
    assert wants.who(site, text) == told


def test_words_are_compared_without_case_and_width() -> None:
    assert words("\uff27\uff32\uff2f\u1e9e Stra\u00dfe-7") == ("gross", "strasse", "7")
