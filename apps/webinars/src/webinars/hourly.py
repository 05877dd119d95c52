"""The hourly reading: calendars to a plan, the plan to jobs. One ``app.sync`` whatever was read, or not.

1. Each calendar is read. One that cannot be read, or not be believed, keeps what was known of it.
2. All events make one plan (``plan.py``).
3. Every webinar is wanted twice: to be attended at its start, and to be reported after its end, whatever came of it.
4. The ledger notes what is planned, for the jobs (which carry no links) and for people.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from duly import Appointment, Duly, SyncReport, Task
from webinars import plan, trust
from webinars.calendars.ical import window
from webinars.calendars.source import Source
from webinars.errors import WebinarsError
from webinars.event import Event
from webinars.ledger import Ledger, Planned, folder_name
from webinars.settings import Settings
from webinars.trust import Known

log = logging.getLogger("webinars")

NAMESPACE = "webinars"
NOW = "now"  # stands for a calendar with what a person asked for by hand
REPORT = "/report"  # ends the key of the second job of a webinar


class Outcome(msgspec.Struct, frozen=True):
    """What a reading did; it is the job's result."""

    changes: dict[str, int]  # webinars by verdict of the sync
    problems: dict[str, str]  # calendar to why it was not believed
    news: list[str]  # problems that are new, for a person

    def text(self) -> str:
        counts = ", ".join(f"{number} {verdict}" for verdict, number in self.changes.items()) or "no webinars"
        return "; ".join([counts, *(f"{name} not believed ({why})" for name, why in self.problems.items())])


class Gathered(msgspec.Struct):
    """All calendars, each as far as it is believed."""

    events: list[Event] = []
    problems: dict[str, str] = {}
    news: list[str] = []


def gather(
    settings: Settings, ledger: Ledger, open_source: Callable[[str], Source], now: datetime, remember: bool = True
) -> Gathered:
    """Read every calendar; ``open_source`` gives the source of one. With ``remember`` what is believed is noted."""
    gathered = Gathered()
    wanted = window(now, settings.times.of("ahead"))
    for calendar in settings.calendars:
        known = ledger.known(calendar.name)
        try:
            reading = open_source(calendar.name).read(wanted)
            problem = trust.doubt(known, reading, now)
        except WebinarsError as error:
            reading, problem = None, str(error)
        if reading is None or problem:
            kept = known or Known(read_at=now, upcoming={}, taken=[])
            _distrust(gathered, calendar.name, kept, problem, now)
            if remember:
                doubted = kept.doubted or reading is not None
                ledger.remember(calendar.name, msgspec.structs.replace(kept, problem=problem, doubted=doubted))
            continue
        gathered.events += reading.events
        if remember:
            taken = [line.event for line in plan.make(reading.events, settings.rules) if line.taken]
            _note(gathered, known, calendar.name)
            ledger.remember(calendar.name, trust.believed(reading, taken, now))
    return gathered


def _distrust(gathered: Gathered, name: str, kept: Known, problem: str, now: datetime) -> None:
    """Go on with what was known, and tell a person when that begins."""
    gathered.problems[name] = problem
    gathered.events += kept.taken
    if not kept.problem:
        ahead = sum(event.end > now for event in kept.taken)
        gathered.news.append(
            f"The calendar {name} was not believed: {problem}. Nothing was cancelled; {ahead} webinars of it stay "
            f"planned. If this is right: webinars accept {name}"
        )


def _note(gathered: Gathered, known: Known | None, name: str) -> None:
    if known is not None and known.problem:
        gathered.news.append(f"The calendar {name} can be read again.")


class Jobs(msgspec.Struct, frozen=True):
    """The tasks that a webinar's two jobs are of."""

    attend: Task[..., Any]
    report: Task[..., Any]


def reconcile(
    app: Duly, jobs: Jobs, settings: Settings, ledger: Ledger, gathered: Gathered, now: datetime
) -> Outcome:
    """Make the jobs what the calendars say.

    A webinar that is over stays wanted until it is reported: if no worker ran, its jobs wait still.
    """
    lines = [line for line in plan.make(gathered.events, settings.rules) if line.taken and line.event.end > now]
    _write(ledger, lines)  # before the jobs: one that starts at once finds it
    wanted: dict[str, Appointment] = {}
    for entry in (*(planned(line) for line in lines), *unreported(ledger, now)):
        event = entry.event
        wanted[event.id] = Appointment(
            jobs.attend, arguments(entry), eta=event.start - settings.times.of("lead"), priority=9
        )
        wanted[event.id + REPORT] = Appointment(jobs.report, (event.id,), eta=event.end + settings.times.of("grace"))
    report = app.sync(NAMESPACE, wanted)
    _note_jobs(ledger, report)
    changes = Counter(answer.verdict for answer in report if not answer.key.endswith(REPORT))
    outcome = Outcome({str(verdict): number for verdict, number in changes.items()}, gathered.problems, gathered.news)
    log.info("%s", outcome.text())
    return outcome


def unreported(ledger: Ledger, now: datetime) -> list[Planned]:
    """The webinars that are over and have no report."""
    return [
        entry
        for entry in ledger.plan().values()
        if entry.wanted and entry.event.end <= now and entry.event.calendar != NOW and not ledger.report(entry.folder)
    ]


def arguments(entry: Planned) -> tuple[str, str, str, str]:
    """Of an attend job: nothing that is secret, and the revision, so that a changed link or passcode edits it."""
    return entry.event.id, entry.room, entry.event.title[:200], entry.event.revision


def planned(line: plan.Line, before: Planned | None = None) -> Planned:
    """A line as the ledger notes it."""
    return Planned(
        event=line.event,
        link=line.link,
        room=line.room,
        provider=line.provider,
        reason=line.reason,
        folder=before.folder if before else folder_name(line.event),
        job=before.job if before else "",
    )


def _write(ledger: Ledger, lines: Iterable[plan.Line]) -> None:
    with ledger.changing() as noted:
        for line in lines:
            before = noted.get(line.event.id)
            entry = planned(line, before)
            if before and before.event.start != line.event.start and ledger.report(before.folder):
                entry = msgspec.structs.replace(entry, folder=ledger.free_folder(line.event))  # it takes place again
            noted[line.event.id] = entry


def _note_jobs(ledger: Ledger, report: SyncReport) -> None:
    with ledger.changing() as noted:
        for answer in report:
            entry = noted.get(answer.key)
            if entry is None or answer.key.endswith(REPORT):
                continue
            if answer.verdict == "cancelled":
                noted[answer.key] = msgspec.structs.replace(entry, wanted=False)
            elif answer.id and answer.id != entry.job:
                noted[answer.key] = msgspec.structs.replace(entry, job=answer.id)
