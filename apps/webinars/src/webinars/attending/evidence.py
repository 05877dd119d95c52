"""Evidence: what happened, when, and what the screen looked like. Written at once, so that a crash leaves it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from webinars import files
from webinars.visit import Moment, Visit

log = logging.getLogger("webinars")

_SECRET_FIELDS = "input[type=password], [data-webinars-secret]"
MARK = "element => element.setAttribute('data-webinars-secret', '')"
"""Run on an element into which a secret is filled: from then on it is blotted out."""


class Evidence:
    """The notes of one visit. ``save`` writes the visit down; ``now`` is the clock."""

    def __init__(
        self, visit: Visit, folder: Path, save: Callable[[Visit], None], now: Callable[[], datetime]
    ) -> None:
        self.visit = visit
        self._folder, self._save, self._now = folder, save, now
        self._number = 0

    async def note(self, what: str, page: Page | None = None) -> None:
        """Note a moment, with a screenshot if there is a page that gives one."""
        at = self._now()
        name = await self._shot(what, page) if page is not None else ""
        log.info("%s", what)
        self.visit.moments.append(Moment(at, what, name))
        self.save()

    def save(self) -> None:
        self._save(self.visit)

    async def _shot(self, what: str, page: Page) -> str:
        """A screenshot's file name; empty if the page gives none. Fields with secrets are covered."""
        self._number += 1
        slug = re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")[:32]
        name = f"{self.visit.attempt}-{self._number:03}-{slug}.jpg"
        try:
            picture = await page.screenshot(
                type="jpeg", quality=60, timeout=5_000, animations="allow", caret="initial",
                mask=[frame.locator(_SECRET_FIELDS) for frame in page.frames],
            )  # fmt: skip
        except PlaywrightError as error:
            log.debug("no screenshot: %s", error)
            return ""
        files.write(self._folder / name, picture)
        return name
