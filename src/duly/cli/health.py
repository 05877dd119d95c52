"""``why`` and ``doctor``: what is wrong, in sentences."""

from __future__ import annotations

import click
import msgspec

from duly import doctor as examination
from duly.cli.root import Verb
from duly.cli.select import resolve
from duly.cli.session import Session, pass_session
from duly.cli.text import clean
from duly.clock import SYSTEM
from duly.errors import JobUnknown
from duly.why import why as reason

_SIGNS = {"ok": ("ok", ""), "warning": ("warning", "yellow"), "error": ("ERROR", "bold red")}


@click.command(cls=Verb)
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@pass_session
def why(session: Session, job_id: str, as_json: bool) -> None:
    """Say in one sentence why a job has not run, or what became of it. ID may be abbreviated."""
    [whole] = resolve(session.store, [job_id])
    try:
        sentence = reason(session.store, whole, session.zone)
    except JobUnknown as error:
        session.err.print(f"Error: {clean(str(error))}", soft_wrap=True)
        session.leave(1)
    if as_json:
        session.json({"id": whole, "why": sentence})
    else:
        session.print(clean(sentence))


@click.command(cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, a line each.")
@pass_session
def doctor(session: Session, as_json: bool) -> None:
    """Examine the store, the clock, workers and queues. Exit status 0: clean, 1: warnings, 2: errors."""
    findings = examination.examine(session.store, SYSTEM)
    for finding in findings:
        if as_json:
            session.json(msgspec.structs.asdict(finding))
            continue
        sign, style = _SIGNS[finding.severity]
        session.out.print(f"{sign:<8} {clean(finding.text)}", style=style, soft_wrap=True)
        if finding.help:
            session.print(f"{'':<8} {clean(finding.help[0].upper() + finding.help[1:])}.")
    session.leave(examination.status(findings))
