"""GET with manners and with care.

Manners: one request at a time, a pause between two to a host, robots.txt obeyed, an honest User-Agent, conditional
requests. Care: only http and https, only public addresses unless allowed, few redirects, a limit of bytes and of
seconds.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import httpx2
import msgspec

from watch import __version__
from watch.crawling.answer import Answer
from watch.crawling.robots import AGENT, Robots, Rules
from watch.errors import CrawlFailed

logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it writes a line for each request

MAX_BYTES = 10_000_000
MAX_SECONDS = 60.0
"""For one answer, however slowly it drips."""
MAX_REDIRECTS = 5
PAUSE = 1.0
"""Seconds between two requests to a host, unless its robots.txt asks for more."""
MAX_PAUSE = 60.0
_TIMEOUT = httpx2.Timeout(20, connect=10)
_MOVED = (301, 302, 303, 307, 308)
_FOR_GOOD = (301, 308)


class Fetcher:
    """GETs of one crawl. ``robots`` outlives it: a worker remembers what hosts allow.

    ``private``: addresses inside of the network are allowed. ``pause`` is called with the seconds to wait.
    """

    def __init__(
        self,
        robots: Robots,
        contact: str = "",
        private: bool = False,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._robots, self._private, self._pause, self._clock = robots, private, pause, clock
        self._last: dict[str, float] = {}  # host → when its last answer was complete
        self._client = httpx2.Client(
            timeout=_TIMEOUT,
            trust_env=False,  # through a proxy one could not see whose address answers
            headers={"User-Agent": agent(contact), "Accept-Language": "*"},
        )

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str, etag: str = "", last_modified: str = "") -> Answer:
        """The answer of status 200, or of 304 where it is as ``etag`` and ``last_modified`` say.

        Raises CrawlFailed for every other, for what is not allowed, and for what is too large or too slow.
        """
        conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        headers = {name: value for name, value in conditions.items() if value}
        at, moved_to, for_good = url, "", True
        for _ in range(MAX_REDIRECTS + 1):
            host = check(at)
            rules = self._rules(at)
            if not rules.allows(at):
                raise CrawlFailed(f"robots.txt of {host} does not allow {at}")
            answer = self._ask(at, headers, min(max(PAUSE, rules.delay), MAX_PAUSE))
            if answer.status not in _MOVED or "location" not in answer.headers:
                return _good(msgspec.structs.replace(answer, moved_to=moved_to))
            at = urljoin(at, answer.headers["location"])
            for_good = for_good and answer.status in _FOR_GOOD
            moved_to = at if for_good else moved_to
        raise CrawlFailed(f"{url} leads on and on: more than {MAX_REDIRECTS} redirects, the last to {at}")

    def _rules(self, url: str) -> Rules:
        return self._robots.rules(url, lambda address: self._ask(address, {}, PAUSE))

    def _ask(self, url: str, headers: dict[str, str], pause: float) -> Answer:
        """One request. Raises CrawlFailed when there is no answer."""
        host = check(url)
        self._check_addresses(host)
        if host in self._last and (left := self._last[host] + pause - self._clock()) > 0:
            self._pause(left)
        try:
            with self._client.stream("GET", url, headers=headers, follow_redirects=False) as response:
                self._check_peer(host, response)
                body = self._body(url, response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise CrawlFailed(f"no answer from {host}: {type(error).__name__}: {error}".rstrip(": ")) from None
        finally:
            self._last[host] = self._clock()
        return Answer(
            url=str(response.url), status=response.status_code, headers=dict(response.headers.items()), body=body
        )

    def _body(self, url: str, response: httpx2.Response) -> bytes:
        end = self._clock() + MAX_SECONDS
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise CrawlFailed(f"{url} is larger than {MAX_BYTES // 1_000_000} MB")
            if self._clock() > end:
                raise CrawlFailed(f"{url} did not come to an end within {MAX_SECONDS:.0f} s")
        return b"".join(parts)

    # -- care ------------------------------------------------------------------------------------

    def _check_addresses(self, host: str) -> None:
        """Raises CrawlFailed for a host that may not be asked."""
        if self._private:
            return
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise CrawlFailed(f"no address of {host}: {said}") from None
        for *_, address in found:
            self._check_address(host, str(address[0]))

    def _check_peer(self, host: str, response: httpx2.Response) -> None:
        """Who has answered: the name may have got another address since it was looked up."""
        stream = response.extensions.get("network_stream")
        peer = stream.get_extra_info("server_addr") if stream is not None else None
        if peer is not None:
            self._check_address(host, str(peer[0]))

    def _check_address(self, host: str, address: str) -> None:
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None)
        if not self._private and not (mapped or found).is_global:
            raise CrawlFailed(f"{host} has the private address {address}; WATCH_PRIVATE=1 allows those")


def agent(contact: str) -> str:
    """The User-Agent: who asks, and where one can complain."""
    return f"{AGENT}/{__version__}" + (f" (+{contact})" if contact else "")


def check(url: str) -> str:
    """The host of an address that can be asked. Raises CrawlFailed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise CrawlFailed(f"{url!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise CrawlFailed(f"{url!r} is no address of http or https")
    if parts.username is not None:
        raise CrawlFailed(f"{url!r} has a user name in it; that is not sent")
    return host


def host_of(url: str) -> str:
    """The host of an address, in lower case; the address itself where there is none."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _good(answer: Answer) -> Answer:
    """Raises CrawlFailed for an answer that is no content."""
    if answer.status in (200, 304):
        return answer
    words = {404: "there is no such page", 410: "it is gone for good", 429: "too many requests"}
    said = words.get(answer.status, "")
    raise CrawlFailed(
        f"{answer.url} answered {answer.status}{said and ': ' + said}", answer.retry_after, answer.status
    )
