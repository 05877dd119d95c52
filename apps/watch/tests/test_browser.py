"""The service worker of the README in a real Chromium: it shows what is pushed, and one notice for one key."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from pushworld.installation import eventually

from watch.pushing.notice import notice
from watch.pushing.webpush import payload

README = (Path(__file__).parents[1] / "README.md").read_text()
WORKER = re.search(r"```js\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def page_of_ours() -> Iterator[str]:
    """A page, and the service worker as the README has it."""
    assert WORKER is not None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = self.path == "/worker.js"
            body = (WORKER.group(1) if script else "<title>ours</title>").encode()  # type: ignore[union-attr]
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if script else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


SHOWN = """async () => {
  const ready = await navigator.serviceWorker.ready;
  return (await ready.getNotifications()).map(shown => [shown.title, shown.body, shown.tag]);
}"""
REGISTER = "async () => { await navigator.serviceWorker.register('/worker.js'); await navigator.serviceWorker.ready }"


def test_a_notice_that_comes_twice_is_shown_once(page_of_ours: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
        context = browser.new_context(permissions=["notifications"])
        page = context.new_page()
        page.goto(page_of_ours)
        chrome = context.new_cdp_session(page)
        known: list[str] = []
        chrome.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: known.extend(one["registrationId"] for one in event["registrations"]),
        )
        chrome.send("ServiceWorker.enable")
        page.evaluate(REGISTER)
        for key in ("p7", "p7", "p8"):
            post = notice(key=key, title="Zwei Zimmer", body="in Linden", url="https://x.example/7")
            pushed = {"origin": page_of_ours, "registrationId": known[-1], "data": payload(post).decode()}
            chrome.send("ServiceWorker.deliverPushMessage", pushed)
        eventually(lambda: any(tag == "p8" for *_, tag in page.evaluate(SHOWN)))
        shown = sorted(page.evaluate(SHOWN))
        browser.close()
    assert shown == [["Zwei Zimmer", "in Linden", "p7"], ["Zwei Zimmer", "in Linden", "p8"]]
