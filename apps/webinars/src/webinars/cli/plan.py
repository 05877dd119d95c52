"""``plan`` and ``accept``: what is going to happen, before it does."""

from __future__ import annotations

from datetime import tzinfo

import click
from rich.markup import escape

from webinars import links
from webinars.cli.root import Session, console, pass_session
from webinars.cli.tables import table
from webinars.instants import local, span_text
from webinars.ledger import Planned
from webinars.plan import Line


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Events that are not attended too, with the reason.")
@pass_session
def plan(session: Session, everything: bool) -> None:
    """Read the calendars and show what would be attended, in your own time. Changes nothing."""
    service = session.service
    with console.status("reading the calendars"):
        lines, problems = service.look()
    now = service.now()
    lines = [line for line in lines if line.event.end > now]
    for name, problem in problems.items():
        console.print(f"[yellow]![/] {escape(name)} is not believed: {escape(problem)}")
    shown = [line for line in lines if line.taken or everything]
    if shown:
        console.print(_table(shown, service.ledger.plan(), service.settings.zone), soft_wrap=False)
    else:
        console.print("No webinars ahead.")
    _warn_of_crowds([line for line in lines if line.taken], service.settings.browser.at_once)
    left = len(lines) - sum(line.taken for line in lines)
    if left and not everything:
        others = "1 other event is" if left == 1 else f"{left} other events are"
        console.print(f"\n{others} not attended; see why with: webinars plan --all")
    if not service.settings.calendars:
        console.print("There are no calendars in the settings yet: webinars setup")


def _warn_of_crowds(lines: list[Line], at_once: int) -> None:
    """Say when more go on than there may be browsers: the last ones then come late, or not at all."""
    for line in lines:
        others = sum(other.event.start <= line.event.start < other.event.end for other in lines)
        if others > at_once:
            console.print(
                f"[yellow]![/] {others} go on when {escape(line.event.title)} starts, and at_once = "
                f"{at_once} lets only so many be attended at the same time (settings, browser)"
            )


def _table(lines: list[Line], stored: dict[str, Planned], zone: tzinfo) -> object:
    made = table("Id", "Starts", "Takes", "Webinar")
    for line in lines:
        event = line.event
        facts = [links.host_of(line.link) or "no link", escape(line.reason)]
        if line.taken:
            facts.append(_job(line, stored.get(event.id)))
        title = escape(event.title) if line.taken else f"[dim]{escape(event.title)}[/]"
        made.add_row(
            event.id[:6], local(event.start, zone), span_text(event.end - event.start),
            f"{title}\n[dim]{' · '.join(facts)}[/]",
        )  # fmt: skip
    return made


def _job(line: Line, stored: Planned | None) -> str:
    """How the plan differs from what the last reading stored."""
    if stored is None or not stored.wanted:
        return "[cyan]not stored yet[/]"
    return "job stored" if stored.event.revision == line.event.revision else "[cyan]changed since[/]"


@click.command()
@click.argument("calendar")
@pass_session
def accept(session: Session, calendar: str) -> None:
    """Say that what CALENDAR says is right, though it was not believed. The next reading acts on it."""
    session.service.accept(calendar)
    session.service.read_soon()
    console.print(f"The next reading of {escape(calendar)} is taken as it is.")
