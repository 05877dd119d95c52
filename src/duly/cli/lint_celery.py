"""``lint-celery``: what in a Celery project loses, doubles or delays jobs."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from duly.cli.root import Verb
from duly.cli.session import NOT_DONE, Session, pass_session
from duly.cli.text import clean, plural

if TYPE_CHECKING:
    from duly.lint import Facts, Finding

_WIDTH = 100  # columns, where nobody says how many there are


@click.command("lint-celery", cls=Verb)
@click.argument("project", type=click.Path(exists=True, path_type=Path), default=".", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON, one object a line.")
@pass_session
def lint_celery(session: Session, project: Path, as_json: bool) -> None:
    """Point at what in a Celery project loses, doubles or delays jobs.

    Reads the Python files under PROJECT (here, unless named) and runs none of them. Looks at eta and countdown,
    acknowledging, visibility timeouts, time limits and pickle. Status 1 if anything was found.
    """
    from duly.lint import judge, read

    facts = read(project)
    if not facts.files:
        raise click.UsageError(f"there is no Python file in {str(project)!r}")
    findings = judge(facts)
    if as_json:
        for each in findings:
            session.json(_data(each))
    else:
        _show(session, findings)
    session.note(_summary(facts, findings))
    if findings:
        session.leave(NOT_DONE)


def _show(session: Session, findings: list[Finding]) -> None:
    from rich.text import Text

    width = min(session.width or _WIDTH, _WIDTH)
    for each in findings:
        colour = "red" if each.severity == "error" else "yellow"
        session.print(Text.assemble((clean(str(each.place)), "bold"), f": {each.rule} ", (each.severity, colour)))
        for text, style in ((each.text, ""), (f"-> {each.do}", "dim")):
            for line in textwrap.wrap(clean(text), width - 4, break_on_hyphens=False, break_long_words=False):
                session.print(Text(f"    {line}", style))


def _data(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.place.file, "line": finding.place.line, "rule": finding.rule, "severity": finding.severity,
        "text": finding.text, "do": finding.do,
    }  # fmt: skip


def _summary(facts: Facts, findings: list[Finding]) -> str:
    errors = sum(each.severity == "error" for each in findings)
    seen = (
        f"{plural(facts.files, 'file')}, {plural(len(facts.tasks), 'task')}, {plural(len(facts.settings), 'setting')}"
    )
    if not findings:
        nothing = "no Celery in them" if not (facts.apps or facts.tasks or facts.calls) else "nothing unsafe found"
        return f"{seen}: {nothing}."
    return f"{seen}: {plural(errors, 'error')}, {plural(len(findings) - errors, 'warning')}."
