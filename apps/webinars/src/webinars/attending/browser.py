"""The browser: the system's Chromium, driven by Playwright. Nothing is hidden: it says that it is automated."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from playwright.async_api import Browser as PlaywrightBrowser
from playwright.async_api import BrowserContext, async_playwright
from playwright.async_api import Error as PlaywrightError

from webinars.errors import SettingsError, WebinarsError
from webinars.settings import Browser

log = logging.getLogger("webinars")

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SIZE = (1280, 720)
LEAVE = 30.0
"""Seconds that a context, and then the browser, is given to close."""

_MARK = "WEBINARS_BROWSER"  # in the environment of a browser and of all its processes

FLAGS = (
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
    "--no-first-run",
    "--deny-permission-prompts",  # nobody is there to answer whether a page may use a microphone
)
_MUTE = "--mute-audio"  # nobody listens


class BrowserMissing(WebinarsError):
    """No Chromium, or one that does not start."""


def find(settings: Browser) -> str:
    """The path of Chromium. Raises SettingsError and BrowserMissing."""
    if settings.path is not None:
        if not os.access(settings.path, os.X_OK):
            raise SettingsError(f"browser: path = {settings.path!r} is no program that can be run")
        return settings.path
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserMissing("no Chromium found (Debian, Ubuntu: apt-get install chromium); or say [browser] path = ...")


@asynccontextmanager
async def launch(settings: Browser, sink: str | None = None) -> AsyncIterator[PlaywrightBrowser]:
    """A browser until the end of the block; silent, unless its sound goes to ``sink``. Raises SettingsError and
    BrowserMissing."""
    path = find(settings)
    sandbox = settings.sandbox and os.geteuid() != 0  # Chromium refuses its sandbox to root
    mark = secrets.token_hex(8)
    environment: dict[str, str | float | bool] = {**os.environ, _MARK: mark}
    if sink is not None:
        environment["PULSE_SINK"] = sink
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(
                executable_path=path, headless=not settings.visible, chromium_sandbox=sandbox,
                args=[*FLAGS, _MUTE] if sink is None else list(FLAGS),
                ignore_default_args=None if sink is None else [_MUTE],
                env=environment,
                handle_sigint=False, handle_sigterm=False, handle_sighup=False,  # the worker decides about signals
            )  # fmt: skip
        except PlaywrightError as error:
            reason = error.message.strip().splitlines()[0]
            raise BrowserMissing(f"{path} does not start: {reason}. webinars setup examines it") from None
        try:
            yield browser
        finally:
            await _end(browser, mark)


@asynccontextmanager
async def context(browser: PlaywrightBrowser, zone: str, profile: Path | None) -> AsyncIterator[BrowserContext]:
    """A context: fresh, or with what ``profile`` (a file) remembers of a log-in. Several may use a profile at
    once."""
    opened = await browser.new_context(
        viewport={"width": SIZE[0], "height": SIZE[1]}, locale="en-US", timezone_id=zone, storage_state=_kept(profile)
    )
    try:
        yield opened
    finally:
        # Chromium that is told to close a page just while another document takes its place may forget to answer;
        # then it is the end of the browser that closes it
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE):
                await opened.close()


async def _end(browser: PlaywrightBrowser, mark: str) -> None:
    """Close it; one that does not answer is killed, or Playwright would wait for it."""
    try:
        async with asyncio.timeout(LEAVE):
            await browser.close()
    except TimeoutError:
        log.warning("Chromium did not close within %g s and is killed", LEAVE)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == mark:
                    process.kill()


def _kept(profile: Path | None) -> Path | None:
    return profile if profile is not None and profile.exists() else None
