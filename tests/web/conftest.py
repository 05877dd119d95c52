"""The dashboard on a store in a file, real Chromium, and pages on which nothing may go wrong unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.servers.process import found_program
from web_kit import Client, leave, serving

from duly.store import open as open_store
from duly.store.contract import Store

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic",
)  # fmt: skip


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    opened.now()
    opened.counts()
    yield opened
    opened.close()


@pytest.fixture
def base(store: Store) -> Iterator[str]:
    with serving(store) as address:
        yield address


@pytest.fixture
def client(base: str) -> Client:
    return Client(base)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of a module: a loop that playwright keeps must not be there when tests with coroutines run."""
    path = found_program("chromium", "Chromium", "chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(path), args=list(FLAGS))
        yield launched
        launched.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, base: str) -> Iterator[Visit]:
    """Opens pages. At the end of the test none of them may have complained on its console."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(path: str, width: int = 1280, height: int = 800, script: bool = True, at: str = "") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, java_script_enabled=script, timezone_id="Europe/Berlin",
            locale="en-US",
        )  # fmt: skip
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto((at or base) + path)
        return page

    yield open_page
    for context in contexts:
        leave(context)
    assert not complaints
