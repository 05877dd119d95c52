"""``purge``, ``forget`` and ``prune``: what is to go."""

from __future__ import annotations

import click

from duly.cli.change import WAITING
from duly.cli.root import Verb
from duly.cli.select import batches, collect, resolve
from duly.cli.session import NOT_DONE, Session, pass_session
from duly.cli.text import clean, did_you_mean, plural
from duly.job import Filter

PRUNE_BATCH = 1000  # jobs per transaction


@click.command(cls=Verb)
@click.option("-Q", "--queue", "queues", multiple=True, metavar="QUEUES", help="Only these (comma or repeated).")
@click.option("-X", "--exclude-queues", "excluded", multiple=True, metavar="QUEUES", help="All but these.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: how many were cancelled.")
@pass_session
def purge(session: Session, queues: tuple[str, ...], excluded: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Cancel every waiting job of the queues given, or of all queues. Running jobs go on."""
    names = _names(queues)
    if excluded:
        known = (count.queue for count in session.store.counts())
        names = tuple(name for name in names or known if name not in _names(excluded))
        if not names:
            raise click.UsageError("--exclude-queues leaves no queue that has jobs")
    found = collect(session.store, Filter(states=WAITING, queues=names or None))
    where = _where(session, names)
    if found.ids:
        session.confirm(
            f"Cancel {plural(len(found.ids), 'waiting job')} of {where} ({found.described()})?", force, "--force"
        )
    cancelled = 0
    for some in batches(found.ids):
        answers = session.store.cancel(Filter(ids=some, states=WAITING))
        cancelled += sum(answer.verdict == "prevented" for answer in answers)
    if as_json:
        session.json({"cancelled": cancelled})
    else:
        session.print(f"Cancelled {plural(cancelled, 'waiting job')} of {where}.")


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for one in given for name in one.split(",") if name.strip())


def _where(session: Session, names: tuple[str, ...]) -> str:
    """The queues in words; a name that no queue has is a usage error if it looks like a typo of one."""
    if not names:
        return "all queues"
    known = [count.queue for count in session.store.counts()]
    for name in names:
        hint = did_you_mean(name, known)
        if name not in known and hint:
            raise click.BadParameter(f"queue {name!r} has no live jobs{hint}", param_hint="'--queue'")
    return ("queue " if len(names) == 1 else "queues ") + clean(", ".join(names))


@click.command(cls=Verb)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: how many were deleted.")
@pass_session
def forget(session: Session, ids: tuple[str, ...], as_json: bool) -> None:
    """Delete finished jobs with their results and history. Ids may be abbreviated."""
    whole = resolve(session.store, ids)
    gone = session.store.forget(whole)
    if as_json:
        session.json({"forgotten": gone})
    else:
        session.print(f"Forgot {plural(gone, 'job')}.")
    if gone < len(whole):
        session.note(f"{plural(len(whole) - gone, 'job')} not forgotten: unknown, or not finished.")
        session.leave(NOT_DONE)


@click.command(cls=Verb)
@click.option("--older-than", metavar="SPAN", help="Succeeded and cancelled jobs that ended longer ago, e.g. 7d.")
@click.option("--failed-older-than", metavar="SPAN", help="Failed and uncertain jobs that ended longer ago.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: how many were deleted.")
@pass_session
def prune(session: Session, older_than: str | None, failed_older_than: str | None, as_json: bool) -> None:
    """Delete old finished jobs with their results and history.

    What is not said comes from the app's settings result_expires and failed_expires (1 day, 30 days).
    """
    now = session.store.now()
    before = _before(session, now, older_than, "--older-than", "result_expires")
    failed_before = _before(session, now, failed_older_than, "--failed-older-than", "failed_expires")
    gone = 0
    while True:
        some = session.store.prune(before, failed_before, PRUNE_BATCH)
        gone += some
        if not some:
            break
    if as_json:
        session.json({"pruned": gone})
    else:
        session.print(f"Pruned {plural(gone, 'job')}.")


def _before(session: Session, now: int, given: str | None, option: str, setting: str) -> int:
    """The instant, in µs, before which finished jobs are old."""
    from duly.config import Settings

    if given is not None:
        return now - session.span(given, option)
    conf = session.app.conf if session.app_spec is not None else Settings()
    return now - int(conf[setting] * 1_000_000) if conf[setting] is not None else 0
