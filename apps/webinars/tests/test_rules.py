"""Which events are webinars, where their door is, and which rooms are the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from webinars import links, plan
from webinars.event import Event
from webinars.rules import Rule, Rules, judge

START = datetime(2026, 11, 26, 1, tzinfo=UTC)


def event(title: str = "x", *found: str, organiser: str = "", start: datetime = START, **more: Any) -> Event:
    more.setdefault("uid", title)
    return Event(
        calendar="work", title=title, start=start, end=start + timedelta(hours=1), links=found, organiser=organiser,
        **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (event("Talk", "https://zoom.us/w/1", organiser="ISC2 <events@isc2.org>"), "organised by isc2.org"),
        (event("Talk", "https://www.brighttalk.com/webcast/1/2"), "a webinar's address at www.brighttalk.com"),
        (event("Talk", "https://attendee.gotowebinar.com/join/1"), "a webinar's address at attendee.gotowebinar.com"),
        (event("ISC2 chapter", "https://zoom.us/j/1"), "the title says ISC2"),
        (event("A Webinar on x", "https://teams.microsoft.com/l/meetup-join/1"), "the title says Webinar"),
    ],
)
def test_webinars_by_default(given: Event, reason: str) -> None:
    assert judge(given, Rules()) == (judgement := judge(given, Rules()))
    assert (judgement.taken, judgement.reason) == (True, reason)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (event("1:1 with Kim", "https://meet.google.com/abc-defg-hij"), "nothing says it is a webinar"),
        (event("Team webinar prep"), "nothing says it is a webinar"),
        (event("x", organiser="a <a@isc2.org>"), "organised by isc2.org, but there is no link"),
        (event("x", "https://x.example", organiser="a <a@notisc2.org>"), "nothing says it is a webinar"),
        (event("Webinar", "https://zoom.us/j/1", all_day=True), "all day: no time to join at"),
        (event("Webinar", "https://zoom.us/j/1", declined=True), "you declined it"),
    ],
)
def test_no_webinars_by_default(given: Event, reason: str) -> None:
    judgement = judge(given, Rules())
    assert (judgement.taken, judgement.reason) == (False, reason)


def test_rules_of_the_user_come_first() -> None:
    rules = Rules(
        take=(Rule(title="brown bag", calendar="work"), Rule(host="acme.example")),
        leave=(Rule(organiser="*@boring.example"), Rule(title="(?i)repeat")),
    )
    assert judge(event("Brown Bag", "https://x.example/1"), rules).taken
    assert judge(event("y", "https://live.acme.example/1"), rules).reason == "your rule: take host acme.example"
    assert not judge(event("y", "https://notacme.example/1"), rules).taken
    left = judge(event("Webinar", "https://zoom.us/j/1", organiser="B <b@boring.example>"), rules)
    assert left.reason == "your rule: leave organiser *@boring.example"
    assert not judge(event("Webinar (repeat)", "https://zoom.us/j/1"), rules).taken


@pytest.mark.parametrize(("rule", "complaint"), [({}, "has to name"), ({"title": "("}, "no regular expression")])
def test_rules_that_are_none(rule: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Rule(**rule)


def test_links_are_unwrapped_and_doors_come_first() -> None:
    found = links.find(
        "see https://example.org/agenda.",
        '<a href="https://www.google.com/url?q=https://zoom.us/j/5%3Fpwd%3Dabc&amp;sa=D">x</a> (https://zoom.us/help)',
    )
    assert found == ("https://zoom.us/j/5?pwd=abc", "https://example.org/agenda", "https://zoom.us/help")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://zoom.us/j/5?pwd=a", "https://zoom.us/j/5?pwd=b", True),
        ("https://zoom.us/j/5", "https://zoom.us/j/6", False),
        ("https://x.example/watch?id=1", "https://x.example/watch?id=2", False),
        ("https://www.brighttalk.com/webcast/1/2/", "https://brighttalk.com/webcast/1/2?utm_source=mail", True),
    ],
)
def test_the_same_room(one: str, other: str, same: bool) -> None:
    assert (links.room(one) == links.room(other)) is same


def test_what_is_shown_of_a_link_is_not_secret() -> None:
    assert links.redacted("https://u:p@zoom.us:8443/j/5?pwd=secret#tk=1") == "https://zoom.us:8443/j/5?…"


def test_one_room_is_entered_once_at_a_time() -> None:
    later = START + timedelta(hours=2)
    lines = plan.make(
        [
            event("Webinar", "https://zoom.us/w/5?tk=1"),
            event("Webinar again", "https://zoom.us/w/5?tk=2"),
            event("Webinar later", "https://zoom.us/w/5?tk=3", start=later),
        ],
        Rules(),
    )
    assert [line.taken for line in lines] == [True, False, True]
    assert lines[1].reason == "the same room as 'Webinar' at that time"


def test_a_passcode_changes_the_revision_and_a_move_keeps_the_id() -> None:
    one = event("Webinar", "https://zoom.us/j/5", passcode="1", uid="u")
    other = event("Renamed", "https://zoom.us/j/6", passcode="2", uid="u", start=START + timedelta(days=1))
    assert one.id == other.id
    assert one.revision != event("Webinar", "https://zoom.us/j/5", passcode="2", uid="u").revision
