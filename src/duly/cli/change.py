"""``cancel``, ``move`` and ``retry``: change jobs by id or by filter; each job answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec
from rich.text import Text

from duly.cli.call import json_option, when_due
from duly.cli.root import Verb, Whole
from duly.cli.select import Wanted, batches, collect, filter_options, narrowed, resolve, why_nothing
from duly.cli.session import NOT_DONE, Session, pass_session
from duly.cli.text import clean, plural
from duly.job import Answer, Change, Filter

Apply = Callable[[tuple[str, ...]], list[Answer]]

WAITING = ("scheduled", "held", "queued", "retrying")
LIVE = (*WAITING, "running")
ENDED_BADLY = ("failed", "uncertain")

MEANING = {
    "prevented": ("green", "it will not run"),
    "signalled": ("yellow", "it is running and was asked to stop"),
    "moved": ("green", ""),
    "retried": ("green", "it is due now"),
    "too late": ("red", ""),
    "key taken": ("red", "another live job holds its key"),
    "unknown": ("red", "no such job in this store"),
}
DONE = ("prevented", "signalled", "moved", "retried")


def selecting(verb: Any) -> Any:
    """The ids and options by which all three verbs choose jobs."""
    verb = click.option("--json", "as_json", is_flag=True, help="One JSON object a line: id and verdict.")(verb)
    verb = click.option("-y", "--yes", is_flag=True, help="Do not ask before changing what a filter matched.")(verb)
    verb = filter_options(verb)
    return click.argument("ids", metavar="[ID]...", nargs=-1)(verb)


@click.command(cls=Verb)
@selecting
@click.option("--terminate", is_flag=True, help="Kill running jobs at once instead of asking them to stop.")
@pass_session
def cancel(session: Session, ids: tuple[str, ...], wanted: Wanted, yes: bool, as_json: bool, terminate: bool) -> None:
    """Cancel jobs: those named (ids may be abbreviated), or all that the filter options match.

    A waiting job will not run (prevented). A running one is asked to stop (signalled). Works with no
    worker running. A filter without --state matches waiting and running jobs.
    """
    chosen = choose(session, "Cancel", ids, wanted, LIVE, yes)
    change(session, chosen, lambda some: session.store.cancel(Filter(ids=some), terminate), as_json)


@click.command(cls=Verb)
@selecting
@click.option("--eta", metavar="TIME", help="Make them due at this time.")
@click.option("--countdown", metavar="SPAN", help="Make them due after this long, e.g. 10m.")
@click.option("--to-queue", metavar="QUEUE", help="Put them in this queue.")
@click.option("--priority", type=Whole(0, 9), metavar="0-9", help="Give them this priority; 9 runs first.")
@click.option("-a", "--args", metavar="JSON", help="Replace their positional arguments: a JSON array.")
@click.option("-k", "--kwargs", metavar="JSON", help="Replace their keyword arguments: a JSON object.")
@pass_session
def move(
    session: Session,
    ids: tuple[str, ...],
    wanted: Wanted,
    yes: bool,
    as_json: bool,
    eta: str | None,
    countdown: str | None,
    to_queue: str | None,
    priority: int | None,
    args: str | None,
    kwargs: str | None,
) -> None:
    """Change waiting jobs: those named (ids may be abbreviated), or all that the filter options match."""
    positional, keyword = json_option(args, "--args", list), json_option(kwargs, "--kwargs", dict)
    wish = Change(due=when_due(session, eta, countdown), queue=to_queue, priority=priority)
    if wish == Change() and positional is None and keyword is None:
        raise click.UsageError(
            "nothing to change: give --eta, --countdown, --to-queue, --priority, --args or --kwargs"
        )
    if to_queue == "":
        raise click.BadParameter("a queue needs a name", param_hint="'--to-queue'")
    chosen = choose(session, "Move", ids, wanted, WAITING, yes)
    if positional is None and keyword is None:
        change(session, chosen, lambda some: session.store.move(Filter(ids=some), wish), as_json)
    else:
        change(session, chosen, lambda some: _rewrite(session, some, wish, positional, keyword), as_json)


def _rewrite(
    session: Session, ids: tuple[str, ...], wish: Change, positional: bytes | None, keyword: bytes | None
) -> list[Answer]:
    """Move each job with new arguments; the half that was not given stays the job's own."""
    answers: dict[str, Answer] = {}
    for job in session.store.jobs(Filter(ids=ids), limit=len(ids)).jobs:
        try:
            old_args, old_kwargs = msgspec.json.decode(job.args, type=tuple[msgspec.Raw, msgspec.Raw])
        except msgspec.DecodeError:
            old_args, old_kwargs = msgspec.Raw(b"[]"), msgspec.Raw(b"{}")
        new = b"[" + (positional or bytes(old_args)) + b"," + (keyword or bytes(old_kwargs)) + b"]"
        moved = session.store.move(Filter(ids=(job.id,)), msgspec.structs.replace(wish, args=new))
        answers |= {answer.id: answer for answer in moved}
    return list(answers.values())


@click.command(cls=Verb)
@selecting
@pass_session
def retry(session: Session, ids: tuple[str, ...], wanted: Wanted, yes: bool, as_json: bool) -> None:
    """Run finished jobs again, now: those named (ids may be abbreviated), or all that the filter matches.

    Their history is kept. A filter without --state matches failed and uncertain jobs.
    """
    chosen = choose(session, "Run again", ids, wanted, ENDED_BADLY, yes)
    change(session, chosen, lambda some: session.store.retry(Filter(ids=some)), as_json)


def choose(
    session: Session, what: str, ids: Sequence[str], wanted: Wanted, states: Sequence[str], yes: bool
) -> list[str]:
    """The ids of the jobs meant. Ids are taken at their word; what a filter matched is confirmed."""
    if ids and wanted:
        raise click.UsageError("give ids or filter options, not both")
    if ids:
        return resolve(session.store, ids)
    if not wanted:
        raise click.UsageError("which jobs? Give ids, or filter options such as --queue, --task and --state")
    which = narrowed(wanted.filter(session), states)
    found = collect(session.store, which)
    if found.ids:
        session.confirm(f"{what} {plural(len(found.ids), 'job')} ({found.described()})?", yes)
    else:
        session.note(f"{why_nothing(session, which)} Nothing was changed.")
    return found.ids


def change(session: Session, ids: Sequence[str], apply: Apply, as_json: bool) -> None:
    """Apply the change batch by batch, print each job's answer, and leave with 1 unless all did it."""
    tally: Counter[str] = Counter()
    for some in batches(ids):
        answered = {answer.id: answer for answer in apply(some)}
        answers = [answered.get(one) or Answer(one, "unknown") for one in some]
        tally.update(answer.verdict for answer in answers)
        _print_answers(session, answers, as_json)
    if len(ids) > 1:
        session.note(", ".join(f"{n:,} {verdict}" for verdict, n in tally.items()))
    if any(verdict not in DONE for verdict in tally):
        session.leave(NOT_DONE)


def _print_answers(session: Session, answers: Sequence[Answer], as_json: bool) -> None:
    if as_json:
        for answer in answers:
            session.json({"id": answer.id, "verdict": answer.verdict})
        return
    late = _states(session, [answer.id for answer in answers if answer.verdict == "too late"])
    for answer in answers:
        style, meaning = MEANING[answer.verdict]
        if answer.id in late:
            meaning = f"it is {late[answer.id]}"
        session.print(
            Text.assemble(clean(answer.id), "  ", (answer.verdict, style), f": {meaning}" if meaning else "")
        )


def _states(session: Session, ids: Sequence[str]) -> dict[str, str]:
    if not ids:
        return {}
    now = session.store.now()
    return {one.id: one.state_name(now) for one in session.store.results(ids) if one is not None}
