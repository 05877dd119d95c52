"""robots.txt, as RFC 9309 has it: what a host allows, remembered for a day by each process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from protego import Protego

from watch.crawling.answer import Answer
from watch.errors import CrawlFailed

AGENT = "duly-watch"
"""The name that a robots.txt may have rules for."""
KEPT = 86_400.0
"""Seconds. The RFC's limit."""
MAX_HOSTS = 1000
MAX_BYTES = 500 * 1024
_REDIRECTS = 5


class Rules:
    """What one host says; without a text: everything is allowed."""

    def __init__(self, text: str = "") -> None:
        self._parsed = Protego.parse(text)
        self.delay = float(self._parsed.crawl_delay(AGENT) or 0.0)
        """Seconds between two requests."""

    def allows(self, url: str) -> bool:
        return bool(self._parsed.can_fetch(url, AGENT))


class Robots:
    """The rules of the hosts that were asked lately. Used by the crawls of all threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Rules]] = OrderedDict()

    def rules(self, url: str, ask: Callable[[str], Answer]) -> Rules:
        """The rules of an address's host. Raises CrawlFailed while it does not say them: nothing is allowed then."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url)).lower()
        with self._lock:
            known = self._known.get(origin)
        if known is not None and known[0] > self._clock():
            return known[1]
        rules = _read(f"{origin}/robots.txt", ask)
        with self._lock:
            self._known[origin] = (self._clock() + KEPT, rules)
            self._known.move_to_end(origin)
            while len(self._known) > MAX_HOSTS:
                self._known.popitem(last=False)
        return rules


def _read(url: str, ask: Callable[[str], Answer]) -> Rules:
    for _ in range(_REDIRECTS + 1):
        answer = ask(url)
        if answer.status == 200:
            return Rules(answer.body[:MAX_BYTES].decode("utf-8", errors="replace"))
        if answer.status == 429 or answer.status >= 500:
            said = f"{url} answered {answer.status}; until it says what it allows, nothing is"
            raise CrawlFailed(said, answer.retry_after)
        if not 300 <= answer.status < 400 or "location" not in answer.headers:
            break
        url = urljoin(url, answer.headers["location"])
    return Rules()  # there is none
