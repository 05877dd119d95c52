"""A small site to crawl, on a free port of this machine: one page lists posts, each on a page of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGES = {
    "/": '<a href="/posts/1">New book</a> <a href="/posts/2">Open day</a> <a href="/posts/3">Closed</a>',
    "/posts/1": "<h1>New book</h1>",
    "/posts/2": "<h1>Open day</h1>",
    "/posts/3": "<h1>Closed</h1>",
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = PAGES.get(self.path)
        body = (found or "not here").encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        return


@contextmanager
def site() -> Iterator[str]:
    """The site's address, as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
