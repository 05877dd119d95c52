"""The folder of an installation: what is planned, and for each webinar what was seen.

::

    plan.json           the webinars that are wanted, with links and passcodes (mode 600, like everything here)
    known/NAME.json     what was last believed of a calendar
    cache/              what addresses answered last
    webinars/2026-11-26-cloud-security-a1b2c3d4e5f6/
        visit-1.json    one attempt, written while it goes on
        report.json     what became of it
        *.jpg, *.mp4
"""

from __future__ import annotations

import fcntl
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from webinars import files, trust
from webinars.event import Event
from webinars.visit import Report, Visit


class Planned(msgspec.Struct, frozen=True):
    """A webinar that is wanted."""

    event: Event
    link: str
    room: str
    provider: str
    reason: str
    folder: str  # its name, which stays when the event is moved or renamed
    job: str = ""  # the id of its attend job
    wanted: bool = True  # False: cancelled since


class Ledger:
    """Reads and writes that folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.cache = place / "cache"
        self._plan = place / "plan.json"
        self._webinars = place / "webinars"

    # -- the plan --------------------------------------------------------------------------------

    def plan(self) -> dict[str, Planned]:
        """What is planned, by the event's id."""
        return files.load(self._plan, dict[str, Planned]) or {}

    def planned(self, id: str) -> Planned | None:
        return self.plan().get(id)

    @contextmanager
    def changing(self) -> Iterator[dict[str, Planned]]:
        """The plan, to be changed by one at a time; written at the end if it differs."""
        files.folder(self.place)
        with open(self.place / "plan.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            plan = self.plan()
            before = dict(plan)
            yield plan
            if plan != before:
                files.save(self._plan, plan)

    # -- calendars -------------------------------------------------------------------------------

    def known(self, calendar: str) -> trust.Known | None:
        return files.load(self.place / "known" / f"{calendar}.json", trust.Known)

    def remember(self, calendar: str, known: trust.Known) -> None:
        files.save(self.place / "known" / f"{calendar}.json", known)

    # -- webinars --------------------------------------------------------------------------------

    def folder(self, planned: Planned) -> Path:
        """Where what is seen of a webinar goes."""
        return files.folder(self._webinars / planned.folder)

    def free_folder(self, event: Event) -> str:
        """A name for an event that took place before, and does again."""
        name, taken = folder_name(event), set(self.folders())
        return next(found for n in range(1, 10_000) if (found := name if n == 1 else f"{name}-{n}") not in taken)

    def visits(self, planned: Planned) -> list[Visit]:
        """The attempts, in order."""
        found = [files.load(path, Visit) for path in (self._webinars / planned.folder).glob("visit-*.json")]
        return sorted((visit for visit in found if visit), key=lambda visit: visit.attempt)

    def save_visit(self, planned: Planned, visit: Visit) -> None:
        files.save(self.folder(planned) / f"visit-{visit.attempt}.json", visit)

    def report(self, folder: str) -> Report | None:
        return files.load(self._webinars / folder / "report.json", Report)

    def save_report(self, planned: Planned, report: Report) -> None:
        files.save(self.folder(planned) / "report.json", report)

    def reports(self) -> list[tuple[str, Report]]:
        """All reports with the names of their folders, the newest first."""
        found = [(name, self.report(name)) for name in self.folders()]
        return sorted(
            ((name, report) for name, report in found if report), key=lambda pair: pair[1].start, reverse=True
        )

    def folders(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._webinars) if (self._webinars / name).is_dir())
        except FileNotFoundError:
            return []

    def path(self, folder: str) -> Path:
        return self._webinars / folder

    def tidy(self, before: datetime) -> list[str]:
        """Delete folders of webinars that ended before, and forget what was planned then; gives their names."""
        gone = []
        with self.changing() as plan:
            for id, planned in list(plan.items()):
                if planned.event.end < before:
                    del plan[id]
        for name in self.folders():
            place = self.path(name)
            newest = max(file.stat().st_mtime for file in (place, *place.iterdir()))
            if newest < before.timestamp():
                _remove(self.path(name))
                gone.append(name)
        return gone


def folder_name(event: Event) -> str:
    """For people to find it: day, title, and the id that makes it unique."""
    plain = unicodedata.normalize("NFKD", event.title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].rstrip("-")
    return "-".join(filter(None, (f"{event.start:%Y-%m-%d}", slug, event.id)))


def _remove(folder: Path) -> None:
    files_in: Iterable[Path] = folder.iterdir()
    for file in files_in:
        file.unlink()
    folder.rmdir()
