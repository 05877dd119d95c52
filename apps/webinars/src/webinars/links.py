"""Links: where webinars take place, which of an event's many links is the door, and which two are the same room.

What the hosts' addresses look like is from their public documentation and from public code; ``known`` below is the
one place that knows it.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit, urlunsplit

from webinars.event import digest

HOSTS: dict[str, tuple[str, ...]] = {
    "brighttalk": ("brighttalk.com",),
    "zoom": ("zoom.us", "zoom.com", "zoomgov.com"),
    "teams": ("teams.microsoft.com", "teams.live.com", "teams.cloud.microsoft"),
    "webex": ("webex.com",),
    "goto": ("gotowebinar.com", "gotomeeting.com", "goto.com"),
    "meet": ("meet.google.com",),
}
"""Provider to the domains it uses; subdomains are included."""

_PATHS = {
    "brighttalk": re.compile(r"/webcast/|/webinar/|/summit/"),
    "zoom": re.compile(r"/(j|w|s|wc|my)/|/(webinar|meeting)/register/"),
    "teams": re.compile(r"/l/meetup-join/|/meet/|/event/|/registration/"),
}
"""Other pages of these hosts (home, help, dial-in numbers) are no doors."""

WEBINAR = re.compile(
    r"brighttalk\.com/(webcast|summit)/|gotowebinar\.com/|zoom\.\w+/(w|webinar)/|/l/meetup-join/.*webinar"
)
"""Addresses that are used for webinars only, where the same host has meetings too."""

_URL = re.compile(r"https?://[^\s<>\"'\\^`{|}\]]+")
_WRAPPERS = {"safelinks.protection.outlook.com": "url", "www.google.com": "q", "google.com": "q"}
_SECRET_FREE = ("https", "http")


def host_of(link: str) -> str:
    """The host, lower case; empty if there is none."""
    try:
        return (urlsplit(link).hostname or "").lower()
    except ValueError:
        return ""


def under(host: str, domain: str) -> bool:
    """Whether a host is this domain or in it."""
    return host == domain or host.endswith(f".{domain}")


def provider_of(link: str) -> str | None:
    """Whose door this is; None for what is no door we know."""
    host = host_of(link)
    for name, domains in HOSTS.items():
        if any(under(host, domain) for domain in domains):
            path = _PATHS.get(name)
            return name if path is None or path.search(urlsplit(link).path) else None
    return None


def find(*texts: str) -> tuple[str, ...]:
    """The links in texts (HTML or not), unwrapped, each once: doors of known hosts first, then in order."""
    found: dict[str, None] = {}
    for text in texts:
        for match in _URL.finditer(html.unescape(text)):
            found.setdefault(unwrap(match[0].rstrip(".,;:!?)*_")))
    return tuple(sorted(found, key=lambda link: provider_of(link) is None))


def unwrap(link: str) -> str:
    """The address inside a link that mail programs and calendars have wrapped."""
    for domain, parameter in _WRAPPERS.items():
        if under(host_of(link), domain):
            inner = parse_qs(urlsplit(link).query).get(parameter, [""])[0]
            if inner.startswith(_SECRET_FREE):
                return inner
    return link


def room(link: str) -> str:
    """A short name of the room behind a link: two links with it are never open at once.

    Passcodes and tracking differ between invitations to one room, so only host and path count; a host whose rooms
    are told apart by the query has it counted too.
    """
    parts = urlsplit(link)
    host = host_of(link)
    path = parts.path.rstrip("/")
    query = "" if provider_of(link) else parts.query
    return digest(host.removeprefix("www."), path, query)


def redacted(link: str) -> str:
    """A link for logs, screens and reports: tokens and passcodes travel in what is left out here."""
    parts = urlsplit(link)
    netloc = parts.hostname or ""
    with contextlib.suppress(ValueError):  # a port that is none
        netloc += f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, netloc, parts.path, "…" if parts.query else "", ""))


_PASSCODE = re.compile(
    r"\b(?:pass\s?code|password|kennwort|kenncode)\s*[:=]\s*(?P<code>[\w!@#$%&*.+-]{3,32})", re.IGNORECASE
)


def passcode(texts: Iterable[str]) -> str:
    """A passcode that an invitation spells out; empty if it does not."""
    for text in texts:
        match = _PASSCODE.search(html.unescape(re.sub(r"<[^>]+>", " ", text)))
        if match:
            return match["code"].rstrip(".")
    return ""
