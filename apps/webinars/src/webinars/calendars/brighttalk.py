"""A BrightTALK channel's Atom feed: its upcoming webcasts.

Atom with elements of its own (``bt:status``, ``bt:start`` in seconds since 1970, ``bt:duration`` in seconds), as
public programs read it. The feed has what is upcoming and what was recorded; only the former is of interest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from webinars.calendars.http import Fetcher, refuse
from webinars.calendars.source import Reading, Window
from webinars.errors import ReadFailed
from webinars.event import DEFAULT_LENGTH, Event

_ATOM = "{http://www.w3.org/2005/Atom}"
_BT = "{http://brighttalk.com/2009/atom_extensions}"
_OVER = ("recorded", "archived", "processing")


class BrightTalkSource:
    def __init__(self, name: str, url: str, fetch: Callable[[str], Fetcher] = Fetcher) -> None:
        self.name = name
        self._url = url
        self._fetch_with = fetch

    def read(self, window: Window) -> Reading:
        """Raises ReadFailed."""
        with self._fetch_with(self.name) as fetcher:
            response = fetcher.get(self._url, headers={"Accept": "application/atom+xml"})
        if response.status_code == 404:
            raise refuse(self.name, response, "is the channel's number right?")
        if response.status_code != 200:
            raise refuse(self.name, response)
        return parse(self.name, response.content, window)


def feed_url(channel: int) -> str:
    """Where the feed of a channel is."""
    return f"https://www.brighttalk.com/channel/{channel}/feed"


def parse(name: str, text: bytes, window: Window) -> Reading:
    """The webcasts in the window. Raises ReadFailed."""
    try:
        feed = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ReadFailed(f"{name}: the feed cannot be parsed: {error}") from None
    if feed.tag != f"{_ATOM}feed":
        raise ReadFailed(f"{name}: this is no Atom feed; its outermost element is {feed.tag!r}")
    events, cancelled = [], set()
    for entry in feed.iter(f"{_ATOM}entry"):
        status = _text(entry, f"{_BT}status")
        if status in ("cancelled", "canceled"):
            cancelled.add(_uid(name, entry))
        elif status not in _OVER:
            event = _event(name, entry)
            if event.end > window.start and event.start < window.end:
                events.append(event)
    return Reading(tuple(sorted(events, key=lambda event: event.start)), frozenset(cancelled))


def _event(name: str, entry: ElementTree.Element) -> Event:
    uid = _uid(name, entry)
    seconds = _text(entry, f"{_BT}start")
    if not seconds.isdigit():
        raise ReadFailed(f"{name}: the webcast {uid!r} has no start that can be read: {seconds!r}")
    start = datetime.fromtimestamp(int(seconds), UTC)
    length = _text(entry, f"{_BT}duration")
    return Event(
        calendar=name,
        uid=uid,
        title=_text(entry, f"{_ATOM}title") or "(no title)",
        start=start,
        end=start + (timedelta(seconds=int(length)) if length.isdigit() and int(length) else DEFAULT_LENGTH),
        links=_links(entry),
        organiser=f"{_text(entry, f'{_ATOM}author/{_ATOM}name')} <channel@brighttalk.com>".strip(),
    )


def _uid(name: str, entry: ElementTree.Element) -> str:
    uid = _text(entry, f"{_ATOM}id")
    if not uid:
        raise ReadFailed(f"{name}: an entry of the feed has no id")
    return uid


def _links(entry: ElementTree.Element) -> tuple[str, ...]:
    """The page of the webcast; the link of type text/calendar is an invitation to download."""
    found = [
        link.get("href", "")
        for link in entry.iter(f"{_ATOM}link")
        if link.get("type") != "text/calendar" and link.get("rel", "alternate") == "alternate"
    ]
    return tuple(link for link in found if link)


def _text(entry: ElementTree.Element, path: str) -> str:
    return (entry.findtext(path) or "").strip()
