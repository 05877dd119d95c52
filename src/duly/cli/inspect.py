"""``inspect``: ask workers and the store what goes on."""

from __future__ import annotations

from collections.abc import Callable

import click

from duly.cli.reach import Family, control, finish, reach_options, show
from duly.cli.session import Session, pass_session
from duly.inspection import ByNode, Inspection

Question = Callable[[Inspection], ByNode]


@click.group(cls=Family)
def inspect() -> None:
    """Ask what goes on, in Celery's words.

    ping, stats, report and conf are answered by live workers: exit status 69 when nobody answers. The rest is
    read from the store, and needs none.
    """


def _ask(name: str, question: Question, text: str) -> None:
    """A verb that live workers answer."""

    @inspect.command(name, help=text)
    @reach_options
    @pass_session
    def verb(session: Session, timeout: float, destination: list[str] | None, as_json: bool) -> None:
        finish(session, question(control(session).inspect(destination, timeout)), destination, as_json)


def _read(
    name: str,
    question: Question,
    text: str,
    nothing: str,
    brief: Callable[[ByNode], ByNode] = lambda answers: answers,
) -> None:
    """A verb that the store answers; ``nothing`` is said when there is none, and people are shown what is
    ``brief``."""

    @inspect.command(name, help=text)
    @reach_options
    @pass_session
    def verb(session: Session, timeout: float, destination: list[str] | None, as_json: bool) -> None:
        answers = question(control(session).inspect(destination, timeout))
        show(session, answers if as_json else brief(answers), as_json, nothing)
        if not control(session).nodes(destination):
            session.note("No worker is alive; this is what the store knows.")


_ask("ping", Inspection.ping, "Who is there?")
_ask("stats", Inspection.stats, "Process, pool, lease and what they use.")
_ask("report", Inspection.report, "Versions and settings as text.")
_ask("conf", Inspection.conf, "The app's settings as the workers have them.")
_read("active", Inspection.active, "Jobs that run.", "Nothing runs.")
_read("reserved", Inspection.reserved, "Jobs reserved and not started.", "Nothing is reserved.")
_read("scheduled", Inspection.scheduled, "Jobs due ahead, the next ones first.", "Nothing is scheduled.")
_read("revoked", Inspection.revoked, "Ids of cancelled jobs, the newest first.", "No job was cancelled.")
_read("active_queues", Inspection.active_queues, "Queues the workers serve.", "No queues: no worker is alive.",
      lambda answers: {node: [queue["name"] for queue in queues] for node, queues in answers.items()})  # fmt: skip


@inspect.command()
@click.argument("options", metavar="[OPTION...]", nargs=-1)
@reach_options
@pass_session
def registered(
    session: Session, options: tuple[str, ...], timeout: float, destination: list[str] | None, as_json: bool
) -> None:
    """Tasks the workers know, with these of their options (rate_limit)."""
    answers = control(session).inspect(destination, timeout).registered(*options)
    show(session, answers, as_json, "No tasks: no worker is alive.")


@inspect.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@reach_options
@pass_session
def query_task(
    session: Session, ids: tuple[str, ...], timeout: float, destination: list[str] | None, as_json: bool
) -> None:
    """State and call of jobs, by the worker that has or had them."""
    show(session, control(session).inspect(destination, timeout).query_task(ids), as_json, "No such jobs.")
