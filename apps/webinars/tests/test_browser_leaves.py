"""Leaving a page ends, whatever the browser does."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from webinars.attending import browser
from webinars.settings import Browser


def chromium() -> psutil.Process:
    """The main process of the browser below this one."""
    [found] = [
        one for one in psutil.Process().children(recursive=True)
        if "chrom" in one.name() and not any(word.startswith("--type=") for word in one.cmdline())
    ]  # fmt: skip
    return found


def test_a_context_that_does_not_close_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "LEAVE", 0.5)

    async def visit() -> None:
        async with browser.launch(Browser()) as launched:
            silent = chromium()
            try:
                async with browser.context(launched, "UTC", None) as opened:
                    await opened.new_page()
                    silent.suspend()
            finally:
                silent.resume()

    asyncio.run(asyncio.wait_for(visit(), 60))


def test_a_browser_that_does_not_close_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(browser, "LEAVE", 0.5)
    processes: list[psutil.Process] = []

    async def visit() -> None:
        async with browser.launch(Browser()) as launched:
            await launched.new_page()
            silent = chromium()
            processes.extend([silent, *silent.children(recursive=True)])
            silent.suspend()

    try:
        asyncio.run(asyncio.wait_for(visit(), 60))
    finally:
        left = psutil.wait_procs(processes, 30)[1]
        for process in left:
            process.kill()
    assert left == []
    assert "is killed" in caplog.text
