"""A server of sites on loopback. What a path answers is a function of the request; what was asked is written down."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    at: float
    path: str
    headers: Message


class Reply(NamedTuple):
    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - is not changed
    drip: float = 0.0
    """Seconds between two bytes."""


Answer = Callable[[Asked], Reply]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *where: object) -> None:
        """Who has gone away before the end is no error of the site's."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*where)


class Sites:
    """``pages``: what each path answers; ``asked``: what was asked, in its order. A path with a query is looked up
    as it is, then without the query."""

    def __init__(self) -> None:
        self.pages: dict[str, Reply | Answer] = {}
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        sites = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet: in two the second waits 40 ms for an acknowledgement

            def do_GET(self) -> None:
                sites._answer(self)

            def log_message(self, *_: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = Asked(time.monotonic(), handler.path, handler.headers)
        with self._lock:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            page = self.pages.get(handler.path, self.pages.get(handler.path.partition("?")[0], Reply(status=404)))
            self._send(handler, page(asked) if callable(page) else page)
        finally:
            with self._lock:
                self._at_once -= 1

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        handler.send_response(reply.status)
        for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if not reply.drip:
            handler.wfile.write(body)
            return
        for byte in body:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(reply.drip)  # it is a slow site

    def paths(self) -> list[str]:
        """What was asked for, apart from robots.txt."""
        return [asked.path for asked in self.asked if asked.path != "/robots.txt"]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def unless_unchanged(body: str, etag: str, **headers: str) -> Answer:
    """304 to who has it already."""

    def answer(asked: Asked) -> Reply:
        if asked.headers["If-None-Match"] == etag:
            return Reply(status=304, headers={"ETag": etag})
        return Reply(body, headers={"ETag": etag, **headers})

    return answer


# -- what stands on them -----------------------------------------------------------------------------


def rss(*numbers: int, title: str = "Post", base: str = "https://news.example") -> str:
    items = "".join(
        f"<item><guid>g{n}</guid><title>{title} {n}</title><link>{base}/{n}?utm=x</link>"
        f"<description>&lt;p&gt;About {n}&lt;/p&gt;</description>"
        "<pubDate>Wed, 25 Nov 2026 08:00:00 +0100</pubDate></item>"
        for n in numbers
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{items}</channel></rss>'


def listing(*numbers: int, following: str = "", name: str = "offer", title: str = "Offer") -> str:
    items = "".join(
        f'<article class="{name}" data-id="{n}"><h2><a href="/offer/{n}#top">{title} number {n}</a></h2>'
        f'<p class="lead">Two rooms, {n} m²</p><time datetime="2026-11-25T08:00:00Z">today</time></article>'
        for n in numbers
    )
    link = f'<a rel="next" href="{following}">More</a>' if following else ""
    return (
        "<!doctype html><html><head><title>Flats</title></head><body>"
        '<nav><a href="/">Home</a><a href="/about">About</a></nav>'
        f"<main>{items}</main>{link}<footer><a href='/imprint'>Imprint</a></footer></body></html>"
    )


SELECTORS = {
    "item": "article.offer", "link": "h2 a", "title": "h2", "summary": "p.lead", "published": "time",
    "next": "a[rel=next]",
}  # fmt: skip
