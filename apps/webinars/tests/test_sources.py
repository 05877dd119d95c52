"""Calendars over HTTP: real servers on loopback, each way to refuse, and what is kept in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from webinar_site.google import Google, event
from webinar_site.server import Served
from written import BERLIN, WINDOW, calendar

from webinars.calendars.brighttalk import BrightTalkSource
from webinars.calendars.google import GoogleSource
from webinars.calendars.google_auth import CredentialTokens, Login
from webinars.calendars.http import Fetcher
from webinars.calendars.icalfile import FileSource, UrlSource
from webinars.errors import ReadFailed, SettingsError, WebinarsError

Fetch = Callable[[str], Fetcher]


# -- an address that serves iCalendar --------------------------------------------------------------


class Calendars:
    """Serves ``text`` with an ETag, or what ``answers`` says first."""

    def __init__(self) -> None:
        self.text = calendar("UID:a\nSUMMARY:x\nDTSTART:20261102T100000Z")
        self.answers: list[Response] = []
        self.asked: list[str | None] = []  # If-None-Match of each request
        self._server = Served(Starlette(routes=[Route("/{path:path}", self._serve)]))
        self.url = f"{self._server.url}/private-0123456789abcdef/basic.ics"

    async def _serve(self, request: Request) -> Response:
        self.asked.append(request.headers.get("If-None-Match"))
        if self.answers:
            return self.answers.pop(0)
        etag = f'"{hash(self.text)}"'
        if request.headers.get("If-None-Match") == etag:
            return Response(status_code=304)
        return Response(self.text, media_type="text/calendar", headers={"ETag": etag})

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def calendars() -> Iterator[Calendars]:
    served = Calendars()
    yield served
    served.close()


def test_what_has_not_changed_is_not_fetched_again(calendars: Calendars, tmp_path: Path, fetch: Fetch) -> None:
    source = UrlSource("work", calendars.url, tmp_path, BERLIN, fetch=fetch)
    first, second = source.read(WINDOW), source.read(WINDOW)
    assert first == second
    assert calendars.asked[0] is None
    assert calendars.asked[1] is not None
    calendars.text = calendar("UID:b\nSUMMARY:x\nDTSTART:20261102T100000Z")
    assert [event.uid for event in source.read(WINDOW).events] == ["b"]


def test_another_address_is_not_answered_from_what_was_kept(
    calendars: Calendars, tmp_path: Path, fetch: Fetch
) -> None:
    UrlSource("work", calendars.url, tmp_path, BERLIN, fetch=fetch).read(WINDOW)
    UrlSource("work", calendars.url + "?2", tmp_path, BERLIN, fetch=fetch).read(WINDOW)
    assert calendars.asked == [None, None]


def test_what_is_kept_of_a_calendar_is_private(calendars: Calendars, tmp_path: Path, fetch: Fetch) -> None:
    UrlSource("work", calendars.url, tmp_path / "cache", BERLIN, fetch=fetch).read(WINDOW)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "cache").iterdir()} == {0o600}
    assert "0123456789abcdef" not in (tmp_path / "cache" / "work.json").read_text()


def test_what_passes_is_tried_again(calendars: Calendars, tmp_path: Path, fetch: Fetch, pauses: list[float]) -> None:
    calendars.answers = [Response(status_code=503, headers={"Retry-After": "7"}), Response(status_code=429)]
    assert len(UrlSource("work", calendars.url, tmp_path, BERLIN, fetch=fetch).read(WINDOW).events) == 1
    assert pauses[0] == 7
    assert 0 < pauses[1] <= 2


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([Response(status_code=404)], "answered 404 .* is the address still the right one"),
        ([Response(status_code=500)] * 4, "answered 500"),
        ([Response(status_code=429, headers={"Retry-After": "3600"})], "answered 429"),
        ([Response("<html>please log in</html>")], "no iCalendar"),
        ([Response("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n")], "cut off"),
    ],
)
def test_what_is_no_whole_calendar_is_a_failure(
    calendars: Calendars, tmp_path: Path, fetch: Fetch, answers: list[Response], complaint: str
) -> None:
    calendars.answers = list(answers)
    with pytest.raises(ReadFailed, match=complaint) as failure:
        UrlSource("work", calendars.url, tmp_path, BERLIN, fetch=fetch).read(WINDOW)
    assert "0123456789abcdef" not in str(failure.value)


def test_a_secret_address_is_not_logged(
    calendars: Calendars, tmp_path: Path, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    UrlSource("work", calendars.url, tmp_path, BERLIN, fetch=fetch).read(WINDOW)
    assert "0123456789abcdef" not in caplog.text


def test_a_server_that_is_not_there(calendars: Calendars, tmp_path: Path, fetch: Fetch, pauses: list[float]) -> None:
    calendars.close()
    with pytest.raises(ReadFailed, match=r"work: no answer from 127\.0\.0\.1: ConnectError"):
        UrlSource("work", calendars.url, tmp_path, BERLIN, fetch=fetch).read(WINDOW)
    assert len(pauses) == 3


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ics"
    with pytest.raises(ReadFailed, match="No such file"):
        FileSource("work", path, BERLIN).read(WINDOW)
    path.write_text(calendar("UID:a\nSUMMARY:x\nDTSTART:20261102T100000Z"))
    assert [event.uid for event in FileSource("work", path, BERLIN).read(WINDOW).events] == ["a"]


# -- Google ----------------------------------------------------------------------------------------


def person(google: Google) -> str:
    return json.dumps(
        {"client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": f"{google.url}/token"}
    )


def source(google: Google, fetch: Fetch, calendar: str = "ada@example.org", secret: str = "") -> GoogleSource:
    return GoogleSource("g", calendar, CredentialTokens("g", secret or person(google)), google.url, fetch)


def nights(number: int) -> list[dict[str, object]]:
    return [
        event(f"e{n}", f"2026-11-{n + 1:02}T02:00:00+01:00", f"2026-11-{n + 1:02}T03:00:00+01:00")
        for n in range(number)
    ]


def test_google_all_pages_and_what_it_says(google: Google, fetch: Fetch) -> None:
    google.events = [
        *nights(3),
        event("gone", "2026-11-09T02:00:00+01:00", "2026-11-09T03:00:00+01:00", status="cancelled"),
        {"id": "bare", "status": "cancelled"},
        event("office", "2026-11-09T02:00:00+01:00", "2026-11-09T03:00:00+01:00", eventType="workingLocation"),
        {**event("day", "", ""), "start": {"date": "2026-11-10"}, "end": {"date": "2026-11-11"}},
        event(
            "rich", "2026-11-12T02:00:00+01:00", "2026-11-12T03:00:00+01:00", location="Room 5",
            description='<a href="https://www.google.com/url?q=https://zoom.us/j/9%3Fpwd%3Dx&sa=D">join</a>',
            conferenceData={"entryPoints": [
                {"entryPointType": "phone", "uri": "tel:+1"},
                {"entryPointType": "video", "uri": "https://meet.google.com/aaa-bbbb-ccc", "passcode": "77"},
            ]},
            attendees=[{"self": True, "responseStatus": "declined", "email": "ada@example.org"}],
        ),
    ]  # fmt: skip
    reading = source(google, fetch).read(WINDOW)
    assert [event.uid for event in reading.events] == ["e0", "e1", "e2", "day", "rich"]
    assert reading.cancelled == {"gone", "bare"}
    assert reading.events[0].start == datetime(2026, 11, 1, 1, tzinfo=UTC)
    assert reading.events[3].all_day
    rich = reading.events[4]
    assert rich.links == ("https://meet.google.com/aaa-bbbb-ccc", "https://zoom.us/j/9?pwd=x")
    assert (rich.passcode, rich.declined) == ("77", True)
    assert len(google.asked) == 4
    assert {query["singleEvents"] for query in google.asked} == {"true"}


def test_google_a_token_that_is_refused_is_renewed_once(google: Google, fetch: Fetch) -> None:
    google.events = nights(1)
    google.refuse = [(401, {}, {})]
    assert len(source(google, fetch).read(WINDOW).events) == 1
    assert google.tokens == 2
    google.refuse = [(401, {}, {}), (401, {}, {})]
    with pytest.raises(ReadFailed, match="webinars login g"):
        source(google, fetch).read(WINDOW)


def test_google_a_login_that_was_taken_back_says_what_to_do(google: Google, fetch: Fetch) -> None:
    google.revoked = True
    with pytest.raises(ReadFailed, match=r"invalid_grant.*webinars login g"):
        source(google, fetch).read(WINDOW)


def test_google_too_many_requests_are_waited_out(google: Google, fetch: Fetch, pauses: list[float]) -> None:
    google.events = nights(3)
    google.refuse = [
        (429, {"Retry-After": "3"}, {}),
        (403, {}, {"error": {"errors": [{"reason": "userRateLimitExceeded"}]}}),
    ]
    google.refuse_page = 1
    assert len(source(google, fetch).read(WINDOW).events) == 3
    assert pauses[0] == 3
    assert len(pauses) == 2


def test_google_pages_that_are_gone_are_read_anew(google: Google, fetch: Fetch) -> None:
    google.events = nights(5)
    google.refuse, google.refuse_page = [(410, {}, {})], 1
    assert len(source(google, fetch).read(WINDOW).events) == 5
    google.refuse = [(410, {}, {}), (410, {}, {})]
    with pytest.raises(ReadFailed, match="gone, twice"):
        source(google, fetch).read(WINDOW)


def test_google_a_page_that_fails_fails_the_whole(google: Google, fetch: Fetch) -> None:
    google.events = nights(5)
    google.refuse, google.refuse_page = [(500, {}, {})] * 4, 2
    with pytest.raises(ReadFailed, match="answered 500"):
        source(google, fetch).read(WINDOW)


def test_google_a_calendar_that_is_not_shared(google: Google, fetch: Fetch) -> None:
    with pytest.raises(ReadFailed, match=r"no calendar 'else@example\.org'"):
        source(google, fetch, calendar="else@example.org").read(WINDOW)


def test_google_an_answer_of_something_else(google: Google, fetch: Fetch) -> None:
    google.refuse = [(200, {}, {"items": []})]
    with pytest.raises(ReadFailed, match="not of the Calendar API"):
        source(google, fetch).read(WINDOW)


def test_google_a_service_account_signs_for_itself(google: Google, fetch: Fetch) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"type": "service_account", "client_email": "robot@example.org", "private_key_id": "1"}
    secret = json.dumps({**account, "private_key": pem, "token_uri": f"{google.url}/token"})
    google.events = nights(1)
    assert len(source(google, fetch, secret=secret).read(WINDOW).events) == 1
    assert "assertion" in google.granted[0]


def test_google_a_person_allows_it_once(google: Google, fetch: Fetch) -> None:
    client = json.dumps({"installed": {"client_id": "c", "client_secret": "s", "token_uri": f"{google.url}/token"}})
    login = Login(client, "http://127.0.0.1:8028/")
    state = login.url.split("state=")[1].split("&")[0]
    secret = login.finish(f"http://127.0.0.1:8028/?state={state}&code=abc")
    assert google.granted[0]["code"] == "abc"
    google.events = nights(1)
    assert len(source(google, fetch, secret=secret).read(WINDOW).events) == 1
    with pytest.raises(WebinarsError, match="did not allow it: access_denied"):
        login.finish(f"http://127.0.0.1:8028/?state={state}&error=access_denied")
    with pytest.raises(WebinarsError, match="not the answer"):
        login.finish("http://127.0.0.1:8028/?state=other&code=abc")


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [("no", "no JSON"), ("{}", "of type None"), ('{"installed": {}}', "webinars login g"),
     ('{"type": "service_account"}', "not complete")],
)  # fmt: skip
def test_google_credentials_that_are_none(google: Google, fetch: Fetch, secret: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        source(google, fetch, secret=secret)


# -- BrightTALK ------------------------------------------------------------------------------------

FEED = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:bt="http://brighttalk.com/2009/atom_extensions">
  <title>ISC2</title>
  <entry><id>tag:brighttalk.com,2026:webcast:1</id><title>Zero trust</title><author><name>ISC2</name></author>
    <link rel="alternate" type="text/html" href="https://www.brighttalk.com/webcast/5385/1"/>
    <link rel="enclosure" type="text/calendar" href="https://www.brighttalk.com/webcast/5385/1/calendar"/>
    <bt:status>upcoming</bt:status><bt:start>1793926800</bt:start><bt:duration>2700</bt:duration></entry>
  <entry><id>2</id><title>Old</title><bt:status>recorded</bt:status><bt:start>1600000000</bt:start></entry>
  <entry><id>3</id><title>Off</title><bt:status>cancelled</bt:status><bt:start>1793926800</bt:start></entry>
</feed>"""


def test_brighttalk_upcoming_webcasts(calendars: Calendars, fetch: Fetch) -> None:
    calendars.answers = [Response(FEED, media_type="application/atom+xml")]
    reading = BrightTalkSource("isc2", calendars.url, fetch).read(WINDOW)
    [webcast] = reading.events
    assert (webcast.title, webcast.links) == ("Zero trust", ("https://www.brighttalk.com/webcast/5385/1",))
    assert webcast.start == datetime(2026, 11, 6, 1, 0, tzinfo=UTC)
    assert (webcast.end - webcast.start).total_seconds() == 2700
    assert reading.cancelled == {"3"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<html></html>", "no Atom feed"),
        ("oops", "cannot be parsed"),
        (FEED.replace("1793926800", "soon"), "no start"),
    ],
)
def test_brighttalk_what_is_no_feed(calendars: Calendars, fetch: Fetch, text: str, complaint: str) -> None:
    calendars.answers = [Response(text)]
    with pytest.raises(ReadFailed, match=complaint):
        BrightTalkSource("isc2", calendars.url, fetch).read(WINDOW)
