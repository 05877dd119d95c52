"""iCalendar by file or address. An address is asked with its ETag, and what it said last time is kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import tzinfo
from pathlib import Path

import msgspec

from webinars import files
from webinars.calendars import ical
from webinars.calendars.http import Fetcher, refuse
from webinars.calendars.source import Reading, Window
from webinars.errors import ReadFailed
from webinars.event import digest

MAX_SIZE = 50 << 20
"""Bytes of a calendar; more is a mistake, or worse."""


class FileSource:
    def __init__(self, name: str, path: Path, zone: tzinfo, mine: Iterable[str] = ()) -> None:
        self.name = name
        self._path, self._zone, self._mine = path, zone, tuple(mine)

    def read(self, window: Window) -> Reading:
        """Raises ReadFailed."""
        try:
            text = self._path.read_bytes()
        except OSError as error:
            raise ReadFailed(f"{self.name}: {self._path}: {error.strerror}") from None
        return ical.parse(self.name, text, window, self._zone, self._mine)


class _Kept(msgspec.Struct):
    """What the server called the version that we have."""

    address: str  # a digest: the address itself may be a secret
    etag: str | None
    modified: str | None


class UrlSource:
    """An address that serves iCalendar. ``cache`` is the folder where the last answer is kept."""

    def __init__(
        self,
        name: str,
        url: str,
        cache: Path,
        zone: tzinfo,
        mine: Iterable[str] = (),
        fetch: Callable[[str], Fetcher] = Fetcher,
    ) -> None:
        self.name = name
        self._url = "https" + url[len("webcal") :] if url.startswith("webcal://") else url
        self._body, self._about = cache / f"{name}.ics", cache / f"{name}.json"
        self._zone, self._mine = zone, tuple(mine)
        self._fetch_with = fetch

    def read(self, window: Window) -> Reading:
        """Raises ReadFailed."""
        with self._fetch_with(self.name) as fetcher:
            text = self._fetch(fetcher)
        return ical.parse(self.name, text, window, self._zone, self._mine)

    def _fetch(self, fetcher: Fetcher) -> bytes:
        kept = self._kept()
        response = fetcher.get(self._url, headers=_conditions(kept))
        if response.status_code == 304 and kept is not None:
            return self._body.read_bytes()
        if response.status_code in (401, 403, 404, 410):
            raise refuse(self.name, response, "is the address still the right one? A secret address can be reset")
        if response.status_code != 200:
            raise refuse(self.name, response)
        if len(response.content) > MAX_SIZE:
            raise ReadFailed(
                f"{self.name}: the calendar has {len(response.content):,} bytes; {MAX_SIZE:,} is the limit"
            )
        self._keep(response.content, response.headers.get("ETag"), response.headers.get("Last-Modified"))
        return response.content

    def _kept(self) -> _Kept | None:
        about = files.load(self._about, _Kept)
        return about if about and about.address == _address(self._url) and self._body.exists() else None

    def _keep(self, body: bytes, etag: str | None, modified: str | None) -> None:
        """The name of a version goes before its text is replaced and comes back after: never a wrong pair."""
        self._about.unlink(missing_ok=True)
        files.write(self._body, body)
        if etag or modified:
            files.save(self._about, _Kept(_address(self._url), etag, modified))


def _address(url: str) -> str:
    return digest(url)


def _conditions(kept: _Kept | None) -> dict[str, str]:
    headers = {"Accept": "text/calendar, */*;q=0.5"}
    if kept and kept.etag:
        headers["If-None-Match"] = kept.etag
    if kept and kept.modified:
        headers["If-Modified-Since"] = kept.modified
    return headers
