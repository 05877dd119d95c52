"""iCalendar in the dialects of those who write it: what each event becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from written import BERLIN, WINDOW, calendar

from webinars.calendars import ical
from webinars.calendars.source import Reading
from webinars.errors import ReadFailed


def parse(*events: str, head: str = "") -> Reading:
    return ical.parse("work", calendar(*events, head=head), WINDOW, BERLIN, ["ada@example.org"])


OUTLOOK_SERIES = """
UID:040000008200E00074C5B7101A82E008
SUMMARY:ISC2 Webinar
ORGANIZER;CN="ISC2 Events":mailto:Events@ISC2.org
DTSTART;TZID=W. Europe Standard Time:20261101T020000
DTEND;TZID=W. Europe Standard Time:20261101T030000
RRULE:FREQ=WEEKLY;COUNT=4
EXDATE;TZID=W. Europe Standard Time:20261108T020000
X-MICROSOFT-SKYPETEAMSMEETINGURL:https://teams.microsoft.com/l/meetup-join/19%3ameeting_x/0?context=y
DESCRIPTION:Join: https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fzoom.us%2Fw%2F1%3Fpwd%3Dz&data=1
"""
OUTLOOK_MOVED = """
UID:040000008200E00074C5B7101A82E008
RECURRENCE-ID;TZID=W. Europe Standard Time:20261115T020000
SUMMARY:ISC2 Webinar
DTSTART;TZID=W. Europe Standard Time:20261116T040000
DURATION:PT90M
"""


def test_outlook_a_series_with_an_exception_and_a_moved_instance() -> None:
    events = parse(OUTLOOK_SERIES, OUTLOOK_MOVED).events
    assert [f"{event.start:%m-%d %H}" for event in events] == ["11-01 01", "11-16 03", "11-22 01"]
    assert [(event.end - event.start) / timedelta(minutes=1) for event in events] == [60, 90, 60]
    assert events[0].organiser == "ISC2 Events <events@isc2.org>"
    assert events[0].links[:2] == (
        "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x/0?context=y", "https://zoom.us/w/1?pwd=z",
    )  # fmt: skip


def test_an_instance_that_is_moved_is_the_same_event() -> None:
    before = {event.uid: event.start for event in parse(OUTLOOK_SERIES).events}
    after = {event.uid: event.start for event in parse(OUTLOOK_SERIES, OUTLOOK_MOVED).events}
    assert before.keys() == after.keys()
    assert [uid for uid in before if before[uid] != after[uid]] == [
        "040000008200E00074C5B7101A82E008/2026-11-15T01:00:00+00:00"
    ]


def test_a_single_event_that_is_moved_is_the_same_event() -> None:
    one = "UID:a\nSUMMARY:x\nDTSTART:20261102T100000Z\nDTEND:20261102T110000Z"
    other = one.replace("1102T", "1109T")
    assert [event.uid for event in parse(one).events] == [event.uid for event in parse(other).events] == ["a"]


def test_google_a_cancelled_instance_and_conference_data() -> None:
    reading = parse(
        "UID:g@google.com\nSUMMARY:Talk\nDTSTART;TZID=America/New_York:20261102T200000\n"
        "DTEND;TZID=America/New_York:20261102T210000\nRRULE:FREQ=DAILY;COUNT=2\n"
        "X-GOOGLE-CONFERENCE:https://meet.google.com/abc-defg-hij",
        "UID:g@google.com\nRECURRENCE-ID:20261104T010000Z\nSUMMARY:Talk\nSTATUS:CANCELLED\nDTSTART:20261104T010000Z",
        head="X-WR-TIMEZONE:America/New_York\n",
    )
    assert [event.start for event in reading.events] == [datetime(2026, 11, 3, 1, tzinfo=UTC)]
    assert reading.cancelled == {"g@google.com/2026-11-04T01:00:00+00:00"}
    assert reading.events[0].links == ("https://meet.google.com/abc-defg-hij",)


def test_apple_url_location_and_a_zone_of_its_own() -> None:
    zone = (
        "BEGIN:VTIMEZONE\nTZID:Office\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0530\nTZOFFSETTO:+0530\n"
        "TZNAME:IST\nEND:STANDARD\nEND:VTIMEZONE\n"
    )
    event = parse(
        "UID:A-1\nSUMMARY;LANGUAGE=en:Evening \\, at home\nDTSTART;TZID=Office:20261105T063000\nDURATION:PT2H\n"
        "LOCATION:Zoom\nURL;VALUE=URI:https://register.gotowebinar.com/register/77\n"
        "X-APPLE-TRAVEL-ADVISORY-BEHAVIOR:AUTOMATIC",
        head=zone,
    ).events[0]  # fmt: skip
    assert (event.title, event.start) == ("Evening , at home", datetime(2026, 11, 5, 1, tzinfo=UTC))
    assert event.links == ("https://register.gotowebinar.com/register/77",)


@pytest.mark.parametrize(
    ("head", "hour"), [("", 9), ("X-WR-TIMEZONE:Asia/Tokyo\n", 1)], ids=["of the settings", "of the calendar"]
)
def test_a_floating_time_is_read_in_the_zone(head: str, hour: int) -> None:
    event = parse("UID:f\nSUMMARY:x\nDTSTART:20261102T100000", head=head).events[0]
    assert event.start == datetime(2026, 11, 2, hour, tzinfo=UTC)
    assert event.end - event.start == timedelta(hours=1)


def test_a_day_is_no_time_to_join_at() -> None:
    assert parse("UID:d\nSUMMARY:x\nDTSTART;VALUE=DATE:20261103").events[0].all_day


def test_the_night_of_the_clock_change() -> None:
    """At 02:30 each night: the first such time of that night, and one occurrence for each night."""
    events = parse("UID:n\nSUMMARY:x\nDTSTART;TZID=Europe/Berlin:20261024T023000\nRRULE:FREQ=DAILY;COUNT=3").events
    assert [event.start for event in events] == [
        datetime(2026, 10, 24, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
    ]  # fmt: skip


def test_what_i_declined_is_marked() -> None:
    text = "UID:p\nSUMMARY:x\nDTSTART:20261102T100000Z\nATTENDEE;PARTSTAT={}:mailto:Ada@Example.org"
    assert [parse(text.format(said)).events[0].declined for said in ("DECLINED", "ACCEPTED")] == [True, False]


def test_a_passcode_in_the_text_is_found() -> None:
    text = "UID:p\nSUMMARY:x\nDTSTART:20261102T100000Z\nDESCRIPTION:<p>Passcode: <b>aB3$x9</b></p>"
    assert parse(text).events[0].passcode == "aB3$x9"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<html>Sign in</html>", "no iCalendar"),
        (calendar("UID:a\nDTSTART:20261102T100000Z").replace("END:VCALENDAR", ""), "cut off"),
        ("", "no iCalendar"),
    ],
)
def test_what_is_not_a_whole_calendar_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ReadFailed, match=complaint):
        ical.parse("work", text, WINDOW, BERLIN)
