"""``now`` and ``attend``: going somewhere outside of the plan's time."""

from __future__ import annotations

import asyncio

import click
from rich.markup import escape

from webinars import hourly, links
from webinars.cli.root import Session, console, pass_session
from webinars.errors import WebinarsError
from webinars.instants import local, span
from webinars.ledger import Planned
from webinars.service import Service


@click.command()
@click.argument("url")
@click.option("--title", default="", help="What to call it; its host unless given.")
@click.option(
    "--for", "length", default="2h", metavar="SPAN", help="How long to stay at most, like 90m. [default: 2h]"
)
@pass_session
def now(session: Session, url: str, title: str, length: str) -> None:
    """Attend what is at URL, from now on. A running "webinars up" does it."""
    if not url.startswith(("https://", "http://")):
        raise click.UsageError(f"{url!r} is no address of a page; it begins with https://")
    try:
        stay = span(length)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from None
    service = session.service
    planned, job = service.attend_now(url, title or links.host_of(url), stay)
    console.print(f"Going to {escape(links.redacted(url))} until {local(planned.event.end, service.settings.zone)}.")
    console.print(f"[dim]duly -A webinars.worker show {job}[/]")
    if not service.has_worker():
        console.print("[yellow]![/] Nothing runs that would do it: webinars up")


@click.command()
@click.argument("event")
@click.option("--dry-run", is_flag=True, help="Open the door, say what is seen, and leave without a click.")
@pass_session
def attend(session: Session, event: str, dry_run: bool) -> None:
    """Go to a planned webinar now. EVENT is its id, as "webinars plan" shows it, or a part of its title."""
    service = session.service
    planned = _planned(service, event)
    if dry_run:
        from webinars.attending.rehearsal import rehearse

        console.print(f"Looking at the door of {escape(planned.event.title)}: {escape(links.redacted(planned.link))}")
        for line in asyncio.run(rehearse(service, planned)):
            console.print(f"  {escape(line)}")
        return
    if not planned.job:
        raise WebinarsError(f"{planned.event.title!r} has no job yet; the next reading stores it: webinars up")
    verdict = service.app.move(planned.job, countdown=0)[0].verdict
    if verdict != "moved":
        raise WebinarsError(f"{planned.event.title!r} cannot be attended now: its job is {verdict}")
    console.print(f"Going to {escape(planned.event.title)} now.")
    if not service.has_worker():
        console.print("[yellow]![/] Nothing runs that would do it: webinars up")


def _planned(service: Service, text: str) -> Planned:
    """The webinar ahead that a text names, of those that are stored, else of the calendars. Raises WebinarsError."""
    stored = [entry for entry in service.ledger.plan().values() if entry.wanted]
    found = _fitting(service, stored, text) or _fitting(service, _in_calendars(service), text)
    if len(found) == 1:
        return found[0]
    if not found:
        raise WebinarsError(f"no webinar {text!r} is planned; see: webinars plan")
    titles = ", ".join(f"{entry.event.id[:6]} {entry.event.title}" for entry in found[:5])
    raise WebinarsError(f"{text!r} fits {len(found)} webinars: {titles}")


def _fitting(service: Service, entries: list[Planned], text: str) -> list[Planned]:
    """Those ahead whose id begins so, or else whose title has it."""
    ahead = [entry for entry in entries if entry.event.end > service.now()]
    found = [entry for entry in ahead if entry.event.id.startswith(text)]
    return found or [entry for entry in ahead if text.lower() in entry.event.title.lower()]


def _in_calendars(service: Service) -> list[Planned]:
    """What "webinars plan" shows: before the first "up" nothing is stored."""
    return [hourly.planned(line) for line in service.look()[0] if line.taken]
