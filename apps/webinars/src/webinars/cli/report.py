"""``report``: what became of webinars."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.markup import escape

from webinars.cli.root import Session, console, pass_session
from webinars.cli.tables import OUTCOMES, table
from webinars.errors import WebinarsError
from webinars.instants import clock, local, span_text
from webinars.service import Service
from webinars.visit import Report


@click.command()
@click.argument("event", required=False)
@click.option("-n", "number", default=20, show_default=True, metavar="N", help="How many.")
@pass_session
def report(session: Session, event: str | None, number: int) -> None:
    """Show the last reports; with EVENT (a part of the title, or of the folder's name) one of them whole."""
    service = session.service
    found = service.ledger.reports()
    if event is not None:
        _show(service, *_one(found, event))
        return
    if not found:
        console.print("No reports yet.")
        return
    made = table("Started", "Outcome", "Inside", "Webinar, and why")
    for _, one in found[:number]:
        made.add_row(
            local(one.start, service.settings.zone), OUTCOMES[one.outcome], span_text(timedelta(seconds=one.inside)),
            f"{escape(one.title)}\n[dim]{escape(one.reason)}[/]",
        )  # fmt: skip
    console.print(made, soft_wrap=False)
    console.print("\nAttended by a machine: what you want to know of it, you have to watch.")


def _one(found: list[tuple[str, Report]], text: str) -> tuple[str, Report]:
    fits = [pair for pair in found if text.lower() in pair[0] or text.lower() in pair[1].title.lower()]
    if not fits:
        raise WebinarsError(f"no report of {text!r}; see: webinars report")
    return fits[0]


def _show(service: Service, folder: str, one: Report) -> None:
    zone = service.settings.zone
    facts = {
        "Outcome": f"{OUTCOMES[one.outcome]}: {escape(one.reason)}",
        "Scheduled": f"{local(one.start, zone)}, {span_text(one.end - one.start)}",
        "Calendar": escape(one.calendar),
        "Where": f"{escape(one.link)} ({one.provider})",
        "Joined": _joined(one, service),
        "Inside": span_text(timedelta(seconds=one.inside)),
        "Attempts": f"{one.attempts}, {one.reconnects} reconnects",
        "Folder": str(service.ledger.path(folder)),
    }
    console.print(f"[bold]{escape(one.title)}[/]{'' if one.missed else f' · {one.by}'}\n")
    made = table("", "")
    made.show_header = False
    for name, value in facts.items():
        made.add_row(name, value)
    console.print(made, soft_wrap=False)
    if one.moments:
        console.print()
    for moment in one.moments:
        console.print(f"  {clock(moment.at, zone)}  {escape(moment.what)}  [dim]{moment.screenshot}[/]")


def _joined(one: Report, service: Service) -> str:
    if one.joined is None or one.lateness is None:
        return "never"
    how = f"{span_text(timedelta(seconds=abs(one.lateness)))} {'after' if one.lateness > 0 else 'before'} the start"
    return f"{clock(one.joined, service.settings.zone)}, {how}"
