"""One request to a provider, and what its general answers mean."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from watch import __version__
from watch.pushing.verdicts import Closed, Later, NotAccepted, Refused

logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it writes each address, and those are secrets

PATIENCE = httpx2.Timeout(10, connect=5)
"""Seconds. A provider that accepted and did not say so in this time is asked again: the notice's key hides it."""

CLOSED_FOR = 60.0
"""Seconds for which a provider is left alone that asks for less, without saying how long."""

PARKED_FOR = 900.0
"""Seconds until somebody may have put right what only a person can."""


def client(connections: int = 64) -> httpx2.Client:
    """For all threads of the process; connections are kept."""
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=60)
    return httpx2.Client(timeout=PATIENCE, limits=limits, headers={"User-Agent": f"duly-watch/{__version__}"})


def post(client: httpx2.Client, url: str, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
    """The answer, whatever it says; redirects are not followed. Raises Later when there is none, and Refused for what
    is no address."""
    if not url.startswith(("https://", "http://")) or not host_of(url):
        raise Refused("the address begins with https:// and a host")
    try:
        return client.post(url, content=body, headers=headers)
    except httpx2.InvalidURL as error:
        raise Refused(f"this is no address that can be asked: {error}") from None
    except httpx2.HTTPError as error:
        raise Later(f"no answer from {host_of(url)}: {type(error).__name__}") from None


def refusal(response: httpx2.Response, who: str) -> NotAccepted:
    """What an answer means that nothing more is known of than its status."""
    status, asked = response.status_code, retry_after(response)
    said = f"{who} answered {status}{said_in(response)}"
    if status == 429 or (status == 503 and asked is not None):
        return Closed(said, CLOSED_FOR if asked is None else asked)
    if status >= 500 or status == 408:
        return Later(said, asked)
    if status in (401, 403):
        return Later(said, PARKED_FOR)
    return Refused(said)


def said_in(response: httpx2.Response, size: int = 200) -> str:
    """The beginning of an answer's text, after a colon; nothing if it has none or is a page."""
    kind = response.headers.get("Content-Type", "")
    if not kind.startswith(("text/plain", "application/json")):
        return ""
    text = " ".join(response.text.split())[:size]
    return text and f": {text}"


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds of a Retry-After header, in either of its forms; None without one."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 1.0)
    except ValueError:
        return None


def host_of(url: str) -> str:
    """The host of an address, for a message: the rest may be a secret. Nothing for what is no address."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
