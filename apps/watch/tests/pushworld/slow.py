"""Sites that take their time, each on an address of loopback of its own (127.0.0.2, 127.0.0.3, ...)."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SlowSites:
    """Every page is a feed without posts, and takes ``seconds``; that there is no robots.txt is said at once."""

    def __init__(self, seconds: float) -> None:
        self.at_once = 0
        self.begun = 0
        self._released = threading.Event()
        lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/robots.txt":
                    self.send_error(404)
                    return
                with lock:
                    owner.at_once += 1
                    owner.begun += 1
                owner._released.wait(seconds)
                with lock:
                    owner.at_once -= 1
                body = b"<rss version='2.0'><channel></channel></rss>"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                pass  # a client that was ended

        self._server = Server(("0.0.0.0", 0), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def urls(self, count: int) -> list[str]:
        return [f"http://127.0.0.{number}:{self._port}/feed" for number in range(2, count + 2)]

    def close(self) -> None:
        """All of them answer now, and never again."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
