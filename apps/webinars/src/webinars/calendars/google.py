"""Google Calendar, API v3: one query of a window, all its pages.

A window is read anew each hour instead of changes by syncToken: a query for ``timeMin``/``timeMax`` with recurring
events expanded is a few requests, needs no state that can be lost, and mends itself. (With syncToken the API allows
no window and no order.) The name of an occurrence is the event's id, which stays when it is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx2
import msgspec

from webinars import links
from webinars.calendars.http import Fetcher, refuse
from webinars.calendars.source import Reading, Window
from webinars.errors import ReadFailed
from webinars.event import DEFAULT_LENGTH, Event

API = "https://www.googleapis.com/calendar/v3"
PAGE = 2500  # the API's largest
MAX_PAGES = 200
_NO_MEETINGS = ("workingLocation", "outOfOffice", "focusTime", "birthday")


class Tokens(Protocol):
    """Gives access tokens."""

    def token(self, fresh: bool = False) -> str:
        """One that is valid; with ``fresh`` a new one, because the last was refused. Raises ReadFailed."""
        ...


class GoogleSource:
    def __init__(
        self, name: str, calendar: str, tokens: Tokens, api: str = API, fetch: Callable[[str], Fetcher] = Fetcher
    ) -> None:
        self.name = name
        self._url = f"{api}/calendars/{quote(calendar, safe='')}/events"
        self._calendar = calendar
        self._tokens = tokens
        self._fetch_with = fetch

    def read(self, window: Window) -> Reading:
        """Raises ReadFailed."""
        with self._fetch_with(self.name) as fetcher:
            try:
                items = list(self._items(fetcher, window))
            except _Gone:  # a page's token has expired meanwhile
                items = list(self._items(fetcher, window))
        return _reading(self.name, items)

    def _items(self, fetcher: Fetcher, window: Window) -> Iterator[_Item]:
        page = None
        for _ in range(MAX_PAGES):
            answer = self._page(fetcher, window, page)
            yield from answer.items
            page = answer.nextPageToken
            if page is None:
                return
        raise ReadFailed(f"{self.name}: more than {MAX_PAGES} pages of events; read a shorter time ahead")

    def _page(self, fetcher: Fetcher, window: Window, page: str | None) -> _Page:
        params = {
            "singleEvents": "true",
            "orderBy": "startTime",
            "showDeleted": "true",
            "maxResults": str(PAGE),
            "timeMin": window.start.isoformat(),
            "timeMax": window.end.isoformat(),
        }
        if page is not None:
            params["pageToken"] = page
        response = self._get(fetcher, params, self._tokens.token())
        if response.status_code == 401:
            response = self._get(fetcher, params, self._tokens.token(fresh=True))
        if response.status_code != 200:
            raise self._refused(response)
        try:
            return msgspec.json.decode(response.content, type=_Page)
        except msgspec.DecodeError as error:
            raise ReadFailed(f"{self.name}: the answer is not of the Calendar API: {error}") from None

    def _get(self, fetcher: Fetcher, params: dict[str, str], token: str) -> httpx2.Response:
        return fetcher.get(self._url, {"Authorization": f"Bearer {token}"}, params, limited=_limited)

    def _refused(self, response: httpx2.Response) -> Exception:
        hints = {
            401: f"the credentials are no longer good; run: webinars login {self.name}",
            403: "does the account see the calendar, and is the Calendar API switched on in its project?",
            404: f"there is no calendar {self._calendar!r} for this account; is it shared with it?",
        }
        if response.status_code == 410:
            return _Gone(f"{self.name}: the calendar says its pages are gone, twice")
        return refuse(self.name, response, hints.get(response.status_code, ""))


class _Gone(ReadFailed):
    """410: begin anew."""


class _When(msgspec.Struct):
    dateTime: str | None = None  # noqa: N815 - the API's names, here and below
    date: str | None = None
    timeZone: str | None = None  # noqa: N815


class _Person(msgspec.Struct):
    email: str = ""
    displayName: str = ""  # noqa: N815
    self: bool = False
    responseStatus: str = ""  # noqa: N815


class _Entry(msgspec.Struct):
    uri: str = ""
    entryPointType: str = ""  # noqa: N815
    passcode: str = ""
    password: str = ""


class _Conference(msgspec.Struct):
    entryPoints: list[_Entry] = []  # noqa: N815


class _Link(msgspec.Struct):
    url: str = ""


class _Item(msgspec.Struct):
    """An event, as far as it matters."""

    id: str
    status: str = ""
    summary: str = ""
    description: str = ""
    location: str = ""
    start: _When | None = None
    end: _When | None = None
    organizer: _Person | None = None
    attendees: list[_Person] = []
    conferenceData: _Conference | None = None  # noqa: N815
    hangoutLink: str = ""  # noqa: N815
    source: _Link | None = None
    eventType: str = "default"  # noqa: N815


class _Page(msgspec.Struct):
    kind: str  # "calendar#events"
    items: list[_Item] = []
    nextPageToken: str | None = None  # noqa: N815


def _reading(name: str, items: list[_Item]) -> Reading:
    events = [
        _event(name, item)
        for item in items
        if item.status != "cancelled" and item.start is not None and item.eventType not in _NO_MEETINGS
    ]
    return Reading(tuple(events), frozenset(item.id for item in items if item.status == "cancelled"))


def _event(name: str, item: _Item) -> Event:
    assert item.start is not None
    start, all_day = _instant(name, item.start)
    end = _instant(name, item.end)[0] if item.end else start
    entries = item.conferenceData.entryPoints if item.conferenceData else []
    texts = [entry.uri for entry in entries if entry.entryPointType == "video"]
    texts += [item.hangoutLink, item.location, item.source.url if item.source else "", item.description]
    codes = [entry.passcode or entry.password for entry in entries]
    return Event(
        calendar=name,
        uid=item.id,
        title=item.summary.strip() or "(no title)",
        start=start,
        end=end if end > start else start + DEFAULT_LENGTH,
        links=links.find(*texts),
        organiser=f"{item.organizer.displayName} <{item.organizer.email.lower()}>" if item.organizer else "",
        passcode=next((code for code in codes if code), "") or links.passcode(texts),
        all_day=all_day,
        declined=any(person.self and person.responseStatus == "declined" for person in item.attendees),
    )


def _instant(name: str, when: _When) -> tuple[datetime, bool]:
    try:
        if when.dateTime is not None:
            moment = datetime.fromisoformat(when.dateTime)
            zone = ZoneInfo(when.timeZone) if when.timeZone else UTC
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC), False
        return datetime.fromisoformat(when.date or "").replace(tzinfo=UTC), True
    except (ValueError, KeyError):
        raise ReadFailed(f"{name}: a time of the calendar cannot be read: {when.dateTime or when.date!r}") from None


def _limited(response: httpx2.Response) -> bool:
    """A 403 that means 429."""
    return response.status_code == 403 and b"ateLimitExceeded" in response.content
