"""Looking at a page: what is written on it, what plays, which signs and steps are there. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Locator, Page

from webinars.attending.provider import Provider, Screen, Sign, Step

_LOOK = """() => ({
    text: document.body ? document.body.innerText.slice(0, 20000) : "",
    videos: [...document.querySelectorAll("video")].map(video => ({
        at: video.currentTime, ended: video.ended, paused: video.paused, loop: video.loop, width: video.clientWidth,
    })),
})"""

SMALL = 160
"""Pixels; a narrower video is an ornament."""


class Video(msgspec.Struct, frozen=True):
    at: float
    ended: bool
    paused: bool
    loop: bool
    width: float


class Sight(msgspec.Struct, frozen=True):
    """One look at a page and all its frames."""

    text: str
    address: str
    videos: tuple[Video, ...]  # those that could be the webinar

    @property
    def position(self) -> float:
        """Grows while something plays."""
        return sum(video.at for video in self.videos)

    @property
    def over(self) -> bool:
        """Whether all that played has come to its end."""
        return bool(self.videos) and all(video.ended for video in self.videos)

    @property
    def paused(self) -> bool:
        return any(video.paused and not video.ended for video in self.videos)


async def look(page: Page) -> Sight:
    """Raises Playwright's error when the page is gone."""
    texts, videos = [], []
    for frame in page.frames:
        try:
            seen = await frame.evaluate(_LOOK)
        except PlaywrightError:
            if frame is page.main_frame:
                raise
            continue  # a frame that went away meanwhile
        texts.append(seen["text"])
        videos += msgspec.convert(seen["videos"], list[Video])
    shown = tuple(video for video in videos if not video.loop and video.width >= SMALL)
    return Sight("\n".join(texts), page.url, shown)


async def screen(page: Page, sight: Sight, provider: Provider, among: Iterable[Screen]) -> Sign | None:
    """The first sign of one of these screens, in the order of Screen."""
    wanted = tuple(among)
    for kind in Screen:
        if kind not in wanted:
            continue
        for sign in provider.signs:
            if sign.screen is kind and await _there(page, sight, sign):
                return sign
    return None


async def _there(page: Page, sight: Sight, sign: Sign) -> bool:
    if sign.text is not None:
        return re.search(sign.text, sight.text, re.IGNORECASE) is not None
    if sign.url is not None:
        return re.search(sign.url, sight.address) is not None
    return await find(page, sign.see or "") is not None


async def find(page: Page, selector: str) -> Locator | None:
    """The first visible element, in any frame."""
    for frame in page.frames:
        element = frame.locator(selector).first
        if await _visible(frame, element):
            return element
    return None


async def _visible(frame: Frame, element: Locator) -> bool:
    try:
        return await element.is_visible()
    except PlaywrightError:
        if frame.is_detached():
            return False
        raise


async def applies(page: Page, step: Step) -> Locator | None:
    """The element that a step is for, if it is there and needs it."""
    element = await find(page, step.see)
    if element is None or not await element.is_enabled():
        return None
    if step.do == "fill" and await element.input_value():
        return None
    if step.do == "check" and await element.is_checked():
        return None
    if step.do == "choose" and await element.evaluate("select => select.selectedIndex > 0"):
        return None
    return element
