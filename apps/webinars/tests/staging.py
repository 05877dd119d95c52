"""Visits to the host of ``webinar_site``, directed by a test: what the room shows, and when.

All visits of a module go on at the same time in one browser, because most of a visit is waiting.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from playwright.async_api import Browser, BrowserContext
from webinar_site.server import Site

from webinars.attending import browser
from webinars.attending.evidence import Evidence
from webinars.attending.provider import Provider
from webinars.attending.providers import Generic
from webinars.attending.recorder import Recorder
from webinars.attending.stay import Limits, Pace, Stay
from webinars.event import Event
from webinars.ledger import Ledger, Planned
from webinars.settings import Browser as BrowserSettings
from webinars.visit import Visit

PACE = Pace(look=0.25, watch=0.4, plan=0.5, sure=2, quiet=2.0, stalled=3.0, stuck=3.0, reload=1.5, longest_pause=1.0)
ME = {
    "name": "Ada Example", "first_name": "Ada", "last_name": "Example", "email": "ada@example.org", "company": "",
    "job_title": "", "country": "", "phone": "", "passcode": "s3same", "username": "", "password": "",
}  # fmt: skip
AT_ONCE = 5


@dataclass
class Scene:
    """One visit to one room: what the room shows, from when to when it is scheduled, and what happens meanwhile."""

    room: str
    phase: str | None = "waiting"
    script: Callable[[Direction], Awaitable[None]] | None = None
    options: str = ""  # of the page: consent, register, login
    path: str = "room"
    provider: Provider = field(default_factory=Generic)
    starts: float = 0.0  # seconds from the beginning
    ends: float = 300.0
    grace: float = 1.0
    facts: dict[str, str] = field(default_factory=dict)
    record: bool = False
    alone: bool = False  # in a browser of its own


@dataclass
class Direction:
    """What a script has in its hands while the visit goes on."""

    site: Site
    scene: Scene
    ledger: Ledger
    planned: Planned
    context: BrowserContext
    visit: Visit
    folder: Path
    error: str = ""  # what broke the scene, if anything did

    def show(self, phase: str) -> None:
        self.site.phase[self.scene.room] = phase

    async def until(self, what: Callable[[], object], seconds: float = 60) -> None:
        """Wait for a condition."""
        end = asyncio.get_running_loop().time() + seconds
        while not what():
            assert asyncio.get_running_loop().time() < end, (
                f"{self.scene.room}: it did not come to that: {self.visit}"
            )
            await asyncio.sleep(0.05)

    async def told(self, what: str) -> None:
        await self.until(lambda: what in self.site.what(self.scene.room))

    async def inside(self) -> None:
        await self.until(lambda: self.visit.verdict == "joined")

    async def noted(self, what: str) -> None:
        await self.until(lambda: any(what in moment.what for moment in self.visit.moments))

    def change(self, **fields: object) -> None:
        """The calendar says something else now."""
        with self.ledger.changing() as plan:
            plan[self.planned.event.id] = msgspec.structs.replace(self.planned, **fields)


async def play(scenes: list[Scene], site: Site, folder: Path) -> dict[str, Direction]:
    """All of them, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(launched: Browser, scene: Scene) -> Direction:
        async with gate:
            return await _play(launched, scene, site, folder)

    async with browser.launch(BrowserSettings()) as launched:
        ended = await asyncio.gather(
            *(one(launched, scene) for scene in scenes if not scene.alone),
            *(_play_alone(scene, site, folder) for scene in scenes if scene.alone),
        )
    return {direction.scene.room: direction for direction in ended}


async def _play_alone(scene: Scene, site: Site, folder: Path) -> Direction:
    """In a browser of its own, for Chromium at times crashes as a whole where a page of it does. Then the scene was
    another one, and is played again."""
    for attempt in range(5):
        async with browser.launch(BrowserSettings()) as launched:
            direction = await _play(launched, scene, site, folder / f"alone-{attempt}")
            if launched.is_connected():
                return direction
    raise AssertionError(f"{scene.room}: the browser crashed each time")


async def _play(launched: Browser, scene: Scene, site: Site, folder: Path) -> Direction:
    now = datetime.now(UTC)
    link = f"{site.url}/{scene.path}/{scene.room}" + (f"?with={scene.options}&tk=t0ken" if scene.options else "")
    event = Event(
        calendar="work", uid=scene.room, title=scene.room, start=now + timedelta(seconds=scene.starts),
        end=now + timedelta(seconds=scene.ends), links=(link,),
    )  # fmt: skip
    planned = Planned(event=event, link=link, room=scene.room, provider="generic", reason="", folder=scene.room)
    ledger = Ledger(folder / scene.room)
    with ledger.changing() as plan:
        plan[event.id] = planned
    if scene.phase is not None:
        site.phase[scene.room] = scene.phase
    visit = Visit(attempt=1, opened=now, provider=scene.provider.name)
    evidence = Evidence(visit, ledger.folder(planned), lambda seen: ledger.save_visit(planned, seen), _now)
    limits = Limits(timedelta(seconds=scene.grace), timedelta(hours=1), timedelta(seconds=1))
    recorder = Recorder(ledger.folder(planned) / "recording-1.mp4", 5) if scene.record else None
    async with browser.context(launched, "Europe/Berlin", None) as context:
        direction = Direction(site, scene, ledger, planned, context, visit, ledger.folder(planned))
        stay = Stay(
            context, scene.provider, lambda: ledger.planned(event.id), {**ME, **scene.facts}, evidence, _now, limits,
            recorder, PACE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(150), asyncio.TaskGroup() as group:
                group.create_task(stay.run())
                if scene.script is not None:
                    group.create_task(scene.script(direction))
        except Exception:
            direction.error = traceback.format_exc()
    return direction


def _now() -> datetime:
    return datetime.now(UTC)
