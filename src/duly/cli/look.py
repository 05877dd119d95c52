"""``jobs`` and ``show``: what is in the store."""

from __future__ import annotations

import shlex
import sys

import click

from duly.cli.data import full_data, job_data
from duly.cli.neighbours import Neighbours
from duly.cli.render import PLAIN_SYMBOLS, SYMBOLS, Look, job_lines, show_lines
from duly.cli.root import Verb, Whole
from duly.cli.select import Wanted, filter_options, find, why_nothing
from duly.cli.session import Session, pass_session
from duly.cli.text import plural
from duly.job import Page


def look(session: Session) -> Look:
    """How to show things on this terminal, now."""
    wide = (session.out.encoding or "").lower().startswith("utf")
    return Look(
        zone=session.zone,
        now=session.store.now(),
        width=session.width,
        symbols=SYMBOLS if wide else PLAIN_SYMBOLS,
    )


@click.command(cls=Verb)
@filter_options
@click.option("--order", type=click.Choice(["newest", "due"]), default="newest", help="Which first. [newest]")
@click.option("--limit", type=Whole(1, 10_000), default=50, metavar="N", help="How many on a page. [50]")
@click.option("--after", metavar="PAGE", help="Go on after a page: what that page said at its end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; times in µs since 1970 UTC.")
@pass_session
def jobs(session: Session, wanted: Wanted, order: str, limit: int, after: str | None, as_json: bool) -> None:
    """List jobs, newest first; the filter options narrow it down."""
    which = wanted.filter(session)
    page = session.store.jobs(which, "due" if order == "due" else "newest", after, limit)
    if as_json:
        now = session.store.now()
        for job in page.jobs:
            session.json(job_data(job, now))
    elif page.jobs:
        shown = look(session)
        session.print(*job_lines(page.jobs, shown))
        session.note(f"{plural(len(page.jobs), 'job')}. Times: {session.zone.key}.")
    else:
        session.note(why_nothing(session, which))
    _next_page(session, page)


def _next_page(session: Session, page: Page) -> None:
    """Tell how to go on, in words that can be pasted."""
    if page.after is None:
        return
    words = [*_without_after(sys.argv[1:]), "--after", page.after]
    session.note(f"More: duly {shlex.join(words)}")


def _without_after(words: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word != "--after" and not word.startswith("--after="):
            kept.append(word)
        skip = word == "--after" and not skip
    return kept


@click.command(cls=Verb)
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the log and every attempt.")
@pass_session
def show(session: Session, job_id: str, as_json: bool) -> None:
    """Show everything about a job. ID may be abbreviated."""
    job = find(session, job_id)
    attempts, beside = session.store.attempts(job.id), Neighbours(session.store, job)
    if as_json:
        session.json({**full_data(job, attempts, session.store.now()), **beside.data()})
    else:
        session.print(*show_lines(job, attempts, beside.facts(), look(session)))
