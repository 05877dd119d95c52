"""Fetching, with patience: what is tried again, for how long, and what is said when it was in vain."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

import httpx2

from webinars import __version__, links
from webinars.errors import ReadFailed

logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it writes each address, and some are secrets

TRIES = 4
LONGEST_PAUSE = 30.0  # seconds; a server that wants more is asked again in an hour
_TIMEOUT = httpx2.Timeout(20, connect=10)
_AGAIN = (429, 500, 502, 503, 504)


class Fetcher:
    """GETs for one reading. ``pause`` is called with the seconds to wait."""

    def __init__(self, name: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.name = name
        self._pause = pause
        self._client = httpx2.Client(
            timeout=_TIMEOUT, follow_redirects=True, headers={"User-Agent": f"duly-webinars/{__version__}"}
        )

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        limited: Callable[[httpx2.Response], bool] = lambda response: False,
    ) -> httpx2.Response:
        """The answer, whatever its status, after trying again what may pass: no connection, 429, 5xx, and what
        ``limited`` knows to be a limit. Raises ReadFailed when nothing answers. Addresses are shown redacted: a
        calendar's may be a secret."""
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            try:
                response = self._client.get(url, headers=headers, params=params)
            except httpx2.HTTPError as error:
                if last:
                    host = links.host_of(url)
                    raise ReadFailed(f"{self.name}: no answer from {host}: {_kind(error)}") from None
                self._pause(_backoff(attempt))
                continue
            if (response.status_code in _AGAIN or limited(response)) and not last:
                wait = _asked(response)
                if wait is not None and wait > LONGEST_PAUSE:
                    return response
                self._pause(_backoff(attempt) if wait is None else wait)
                continue
            return response
        raise AssertionError("the last try returns or raises")


def refuse(name: str, response: httpx2.Response, hint: str = "") -> ReadFailed:
    """The error for an answer that is no calendar."""
    host = links.host_of(str(response.url))
    return ReadFailed(
        f"{name}: {host} answered {response.status_code} {response.reason_phrase}{hint and '; ' + hint}"
    )


def _backoff(attempt: int) -> float:
    return random.uniform(0.5, 1) * 2.0**attempt


def _asked(response: httpx2.Response) -> float | None:
    """Seconds of a Retry-After header, in either of its forms."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    if value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _kind(error: httpx2.HTTPError) -> str:
    """What happened, without the address that some errors quote."""
    return type(error).__name__
