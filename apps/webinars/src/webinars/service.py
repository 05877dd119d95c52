"""The application: its tasks, and what each does. ``worker.py`` makes it from the settings; tests make it with their
own clock, calendars and visitor.

The life of a webinar: ``read`` finds it in a calendar and wants two jobs. ``attend`` goes there at its time and
stays; ``report`` adds up what was seen. Each job is one of duly's: it runs at its time, once in effect, whatever
crashes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from duly import Duly, JobUnknown, Task
from webinars import concluding, files, hourly, links, notify, plan
from webinars.calendars.source import Source
from webinars.errors import SettingsError, WebinarsError
from webinars.event import Event, digest
from webinars.instants import from_micros, local, span, span_text
from webinars.ledger import Ledger, Planned
from webinars.settings import Settings
from webinars.sources import source
from webinars.vault import Vault
from webinars.verdict import Verdict, consequence
from webinars.visit import Report, Visit

log = logging.getLogger("webinars")

BROWSERS, DESK = "webinars", "desk"
"""The two queues: hours in a browser, and what is done at a desk in seconds. A worker keeps a slot for the latter."""

Visitor = Callable[[Planned, int, str], Awaitable[Visit]]
"""Goes to a webinar and stays: (what, number of the visit, id of the job)."""

LONGEST_PAUSE = 300.0
"""Seconds between two looks of a report whether its webinar is over."""

_LIVE = ("scheduled", "queued", "retrying", "running")


class Service:
    """One installation: settings, ledger, secrets, and the app with its tasks."""

    def __init__(
        self,
        settings: Settings,
        visitor: Visitor | None = None,
        open_source: Callable[[str], Source] | None = None,
    ) -> None:
        self.settings = settings
        try:
            self.ledger = Ledger(files.folder(settings.place))
        except OSError as error:
            raise SettingsError(f"folder = {str(settings.place)!r} cannot be made: {error.strerror}") from None
        self.vault = Vault(settings.place / "secrets.json")
        self.app = Duly(
            "webinars",
            store=f"sqlite:///{settings.place}/jobs.db",
            timezone=settings.timezone,
            result_expires=timedelta(days=30),
        )
        self._visitor = visitor
        self.source = open_source or self._source
        self._tasks()

    def now(self) -> datetime:
        """The store's clock."""
        return from_micros(self.app.now())

    # -- tasks -----------------------------------------------------------------------------------

    def _tasks(self) -> None:
        app, times = self.app, self.settings.times

        @app.periodic(times.of("every"), catch_up="last", overlap="skip")
        @app.task(name="webinars.read", queue=DESK, time_limit=600)
        def read() -> hourly.Outcome:
            return self._read()

        @app.task(
            name="webinars.attend", queue=BROWSERS, bind=True, max_retries=None,
            autoretry_for=(Exception,), retry_backoff=10, retry_backoff_max=120,  # until it is over: see _attend
            max_concurrency=1, limit_key=lambda id, room, title, revision: room,
            time_limit=times.of("longest").total_seconds() + 3600,
        )  # fmt: skip
        async def attend(self_: Task[..., Any], id: str, room: str, title: str, revision: str) -> Visit:
            return await self._attend(self_, id)

        @app.task(name="webinars.report", queue=DESK, bind=True, max_retries=None)
        def report(self_: Task[..., Any], id: str) -> Report | None:
            return self._report(self_, id)

        @app.task(
            name="webinars.tell", queue=DESK, autoretry_for=(notify.NotifyFailed,), retry_backoff=30, max_retries=8
        )
        def tell(title: str, body: str) -> None:
            notify.send([self.vault.resolve(url) for url in self.settings.notify.urls], title, body)

        @app.task(name="webinars.invite", queue=DESK, sensitive=("link",))
        def invite(link: str, title: str = "", start: datetime | None = None, length: str = "2h") -> str:
            return self._invited(link, title, start, length)

        @app.periodic(timedelta(days=1))
        @app.task(name="webinars.tidy", queue=DESK)
        def tidy() -> list[str]:
            return self.ledger.tidy(self.now() - span(self.settings.keep))

        self.read, self.attend, self.report, self.tell = read, attend, report, tell

    # -- the hourly reading ----------------------------------------------------------------------

    def _read(self) -> hourly.Outcome:
        gathered = hourly.gather(self.settings, self.ledger, self.source, self.now())
        jobs = hourly.Jobs(self.attend, self.report)
        outcome = hourly.reconcile(self.app, jobs, self.settings, self.ledger, gathered, self.now())
        for news in outcome.news:
            self.tell.delay("webinars: a calendar", news)
        return outcome

    def look(self) -> tuple[list[plan.Line], dict[str, str]]:
        """What a reading would plan now, and the calendars that are not believed; changes nothing."""
        gathered = hourly.gather(self.settings, self.ledger, self.source, self.now(), remember=False)
        return plan.make(gathered.events, self.settings.rules), gathered.problems

    def _source(self, name: str) -> Source:
        calendar = next(calendar for calendar in self.settings.calendars if calendar.name == name)
        return source(calendar, self.settings, self.vault, self.ledger.cache)

    # -- attending -------------------------------------------------------------------------------

    async def _attend(self, task: Task[..., Any], id: str) -> Visit:
        planned = self.ledger.planned(id)
        if planned is None or not planned.wanted:
            return self._no_visit(task, 1, Verdict.CANCELLED, "it is planned no more")
        # Not the job's own count: an attempt that a stopping worker gave back is none, and its visit is one.
        number = 1 + max((visit.attempt for visit in self.ledger.visits(planned)), default=0)
        if self.now() >= planned.event.end:
            return self._no_visit(task, number, Verdict.TOO_LATE, self._slept(planned))
        try:
            visit = await self._visit(planned, number, task.request.id)
        except WebinarsError as error:
            visit = self._no_visit(task, number, Verdict.UNABLE, str(error))
            self.ledger.save_visit(planned, visit)
        self._follow(task, planned, visit)
        self.report.apply_async((id,), countdown=1)
        return visit

    async def _visit(self, planned: Planned, attempt: int, job: str) -> Visit:
        if self._visitor is not None:
            return await self._visitor(planned, attempt, job)
        from webinars.attending.attend import attend  # with Playwright, which only this task needs

        return await attend(self, planned, attempt, job)

    def _follow(self, task: Task[..., Any], planned: Planned, visit: Visit) -> None:
        """Do what follows from the verdict: tell a person, or leave the task to come again."""
        follows = consequence(visit.verdict)
        if follows.ask and not self._asked(planned, visit):
            self.tell.delay(
                f"webinars: {planned.event.title}",
                f"{follows.text}: {visit.detail}\n{visit.link}\n{self._when(planned)}",
            )
        if follows.again is None:
            return
        if self.now() + timedelta(seconds=follows.again) < planned.event.end:
            task.retry(countdown=follows.again, exc=WebinarsError(f"{follows.text}: {visit.detail}"))

    def _asked(self, planned: Planned, visit: Visit) -> bool:
        """Whether an earlier attempt came to the same."""
        earlier = [seen for seen in self.ledger.visits(planned) if seen.attempt < visit.attempt]
        return any(seen.verdict is visit.verdict for seen in earlier)

    def _no_visit(self, task: Task[..., Any], number: int, verdict: Verdict, detail: str) -> Visit:
        now = self.now()
        return Visit(attempt=number, job=task.request.id, opened=now, closed=now, verdict=verdict, detail=detail)

    def _slept(self, planned: Planned) -> str:
        late = span_text(self.now() - planned.event.start)
        return f"the job started {late} after its start: no worker ran before, or the machine was off or asleep"

    # -- reporting -------------------------------------------------------------------------------

    def _report(self, task: Task[..., Any], id: str) -> Report | None:
        """Make the report once the attend job has ended; come again if it has not."""
        planned = self.ledger.planned(id)
        if planned is None or not planned.wanted or self.ledger.report(planned.folder) is not None:
            return None
        final, end = self._end_of(planned.job)
        if end.state in _LIVE:
            pause = min(5.0 * 2**task.request.retries, LONGEST_PAUSE)
            task.retry(countdown=pause, exc=WebinarsError(f"its attend job has not ended: it is {end.state}"))
        report = concluding.conclude(planned, self.ledger.visits(planned), final, end, self.now())
        self.ledger.save_report(planned, report)
        if report.outcome != "attended" or self.settings.notify.of == "everything":
            self.tell.delay(f"webinars: {report.outcome}: {report.title}", self._summary(planned, report))
        return report

    def _end_of(self, job: str) -> tuple[Visit | None, concluding.JobEnd]:
        if not job:
            return None, concluding.JobEnd("unknown")
        result = self.app.AsyncResult(job)
        try:
            state = result.state
            found = result.get(timeout=0, propagate=False) if state not in _LIVE else None
        except JobUnknown:
            return None, concluding.JobEnd("unknown")
        if isinstance(found, Visit):
            return found, concluding.JobEnd(state)
        return None, concluding.JobEnd(state, str(found) if isinstance(found, BaseException) else "")

    def _summary(self, planned: Planned, report: Report) -> str:
        lines = [report.reason, self._when(planned)]
        return "\n".join(lines if report.missed else [*lines, "Attended by a machine: you have not seen it yet."])

    def _when(self, planned: Planned) -> str:
        return f"{local(planned.event.start, self.settings.zone)}, {planned.event.calendar}"

    # -- now -------------------------------------------------------------------------------------

    def attend_now(self, link: str, title: str, length: timedelta) -> tuple[Planned, str]:
        """Plan a webinar that begins now, outside of all calendars; gives it and the id of its job."""
        return self._plan_one(link, title, self.now(), length)

    def _plan_one(self, link: str, title: str, start: datetime, length: timedelta) -> tuple[Planned, str]:
        """One webinar of no calendar. Asked again for the same link and start, it is the same one."""
        event = Event(
            calendar=hourly.NOW,
            uid=digest(link, start.isoformat()),
            title=title,
            start=start,
            end=start + length,
            links=(link,),
        )
        line = plan.Line(event, True, "you asked for it", link, links.room(link))
        with self.ledger.changing() as noted:
            entry = noted.setdefault(event.id, hourly.planned(line))
        if entry.job:
            return entry, entry.job
        lead, grace = self.settings.times.of("lead"), self.settings.times.of("grace")
        due = max(start - lead, self.now())
        job = self.attend.apply_async(hourly.arguments(entry), priority=9, eta=due, key=event.id)
        self.report.apply_async((event.id,), eta=event.end + grace, key=event.id + hourly.REPORT)
        with self.ledger.changing() as noted:
            noted[event.id] = entry = msgspec.structs.replace(entry, job=job.id)
        return entry, job.id

    # -- from elsewhere --------------------------------------------------------------------------

    def open_door(self) -> None:
        """Let the workers of this process take in what comes from the settings' broker. Raises SettingsError."""
        if self.settings.broker is not None:
            self.app.conf.broker_url = self.vault.resolve(self.settings.broker)

    def _invited(self, link: str, title: str, start: datetime | None, length: str) -> str:
        if not link.startswith(("https://", "http://")):
            raise WebinarsError(f"{links.redacted(link)!r} is no address of a page; it begins with https://")
        try:
            stay = span(length)
        except ValueError as error:
            raise WebinarsError(f"length: {error}") from None
        begins = self.now() if start is None else start
        begins = begins.replace(tzinfo=begins.tzinfo or self.settings.zone).astimezone(UTC)
        if begins + stay <= self.now():
            raise WebinarsError(f"it was over at {local(begins + stay, self.settings.zone)}, before it was asked for")
        planned, _ = self._plan_one(link, title or links.host_of(link), begins, stay)
        return planned.event.id

    def read_soon(self) -> None:
        """Read the calendars as soon as a worker can; once, however often it is asked."""
        self.read.apply_async(key="read")

    def has_worker(self) -> bool:
        """Whether a worker answers."""
        return bool(self.app.control.ping(timeout=2))

    def accept(self, calendar: str) -> None:
        """The next reading of a calendar is right, however empty. Raises WebinarsError."""
        known = self.ledger.known(calendar)
        if known is None:
            names = ", ".join(calendar.name for calendar in self.settings.calendars)
            raise WebinarsError(f"nothing is known of a calendar {calendar!r}; there are: {names or 'none'}")
        known.accept = True
        self.ledger.remember(calendar, known)
