"""``control``: tell workers and the store what to do."""

from __future__ import annotations

import difflib
from typing import Any

import click

from duly.cli.reach import Family, finish, reach_options, warn_unserved
from duly.cli.reach import control as reach
from duly.cli.root import Number, Whole
from duly.cli.select import resolve
from duly.cli.session import NOT_DONE, Session, pass_session
from duly.cli.text import clean, did_you_mean, plural
from duly.job import Limit
from duly.limits import Scope
from duly.rates import format_rate


@click.group(cls=Family)
def control() -> None:
    """Tell workers and the store what to do, in Celery's words.

    Limits, pauses and revokes are kept in the store and hold for every worker, also for later ones. The
    others are told to live workers: exit status 69 when nobody answers, 1 when somebody refuses.
    """


# -- kept in the store ---------------------------------------------------------------------------

_json = click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object.")


def _scope(verb: Any) -> Any:
    verb = click.option("--key", "scope", flag_value="key", help="NAME is a task; each limit key by itself.")(verb)
    return click.option("--queue", "scope", flag_value="queue", help="NAME is a queue.")(verb)


@control.command()
@click.argument("name")
@click.argument("rate")
@_scope
@_json
@pass_session
def rate_limit(session: Session, name: str, rate: str, scope: Scope | None, as_json: bool) -> None:
    """Let so many jobs of a task start: 10/m (a minute; /s, /h, /d), 5 (a second), 0 for no limit.

    Over all workers, and kept until it is changed again.
    """
    _check_task(session, name, scope)
    try:
        limit = reach(session).rate_limit(name, rate, scope or "task")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'RATE'") from None
    _show_limit(session, limit, as_json)


@control.command()
@click.argument("name")
@click.argument("most", metavar="N", type=Whole(min=0))
@_scope
@_json
@pass_session
def max_concurrency(session: Session, name: str, most: int, scope: Scope | None, as_json: bool) -> None:
    """Let at most N jobs of a task run at once, over all workers; 0 for no limit."""
    _check_task(session, name, scope)
    _show_limit(session, reach(session).max_concurrency(name, most or None, scope or "task"), as_json)


@control.command()
@click.argument("name")
@_scope
@_json
@pass_session
def unset_limit(session: Session, name: str, scope: Scope | None, as_json: bool) -> None:
    """Forget a limit that was set by hand: what the code says holds again."""
    gone = reach(session).unset_limit(name, scope or "task")
    text = "as the code says" if gone else "no limit was set by hand"
    _say(session, {"unset": gone}, f"{name}: {text}", as_json)
    if not gone:
        session.leave(NOT_DONE)


@control.command()
@click.argument("task")
@click.argument("soft", type=Number(min=0), required=False)
@click.argument("hard", type=Number(min=0), required=False)
@_json
@pass_session
def time_limit(session: Session, task: str, soft: float | None, hard: float | None, as_json: bool) -> None:
    """Give a task a SOFT and a HARD time limit in seconds, from the next job on; 0 for no limit.

    Kept until it is changed again; without SOFT and HARD the code's limits hold again.
    """
    _check_task(session, task, None)
    try:
        limit = reach(session).time_limit(task, soft, hard)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'SOFT'") from None
    text = f"{task}: soft {_seconds(limit.soft)}, hard {_seconds(limit.hard)}"
    _say(session, {"task": task, "soft": limit.soft, "hard": limit.hard}, text, as_json)


@control.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--terminate", is_flag=True, help="Kill those that run, instead of asking them to stop.")
@_json
@pass_session
def revoke(session: Session, ids: tuple[str, ...], terminate: bool, as_json: bool) -> None:
    """Cancel jobs, like `duly cancel`. It holds with every worker down."""
    answers = reach(session).revoke(resolve(session.store, ids), terminate)
    if as_json:
        session.json({answer.id: answer.verdict for answer in answers})
    else:
        session.print(*(f"{clean(answer.id)}: {answer.verdict}" for answer in answers))
    if any(answer.verdict not in ("prevented", "signalled") for answer in answers):
        session.leave(NOT_DONE)


@control.command()
@click.argument("queue")
@_json
@pass_session
def pause(session: Session, queue: str, as_json: bool) -> None:
    """Start nothing from a queue until it is resumed; running jobs go on."""
    reach(session).pause(queue)
    warn_unserved(session, queue, [count.queue for count in session.store.counts()])
    _say(session, {"paused": queue}, f"queue {queue}: paused", as_json)


@control.command()
@click.argument("queue")
@_json
@pass_session
def resume(session: Session, queue: str, as_json: bool) -> None:
    """End a pause."""
    known = session.store.paused()
    if reach(session).resume(queue):
        _say(session, {"resumed": queue}, f"queue {queue}: resumed", as_json)
        return
    hint = did_you_mean(queue, known)
    session.err.print(f"Error: queue {clean(queue)!r} is not paused{hint}", soft_wrap=True)
    session.leave(NOT_DONE)


# -- told to workers -----------------------------------------------------------------------------


@control.command()
@click.argument("n", type=Whole(min=1), default=1)
@reach_options
@pass_session
def pool_grow(session: Session, n: int, timeout: float, destination: list[str] | None, as_json: bool) -> None:
    """Run N (1) more jobs at once, in each worker named by -d."""
    finish(session, reach(session).pool_grow(n, destination, timeout), destination, as_json)


@control.command()
@click.argument("n", type=Whole(min=1), default=1)
@reach_options
@pass_session
def pool_shrink(session: Session, n: int, timeout: float, destination: list[str] | None, as_json: bool) -> None:
    """Run N (1) fewer jobs at once; what runs is finished."""
    finish(session, reach(session).pool_shrink(n, destination, timeout), destination, as_json)


@control.command()
@click.argument("queue")
@reach_options
@pass_session
def add_consumer(session: Session, queue: str, timeout: float, destination: list[str] | None, as_json: bool) -> None:
    """Serve a queue too, until the worker ends."""
    finish(session, reach(session).add_consumer(queue, destination, timeout), destination, as_json)


@control.command()
@click.argument("queue")
@reach_options
@pass_session
def cancel_consumer(
    session: Session, queue: str, timeout: float, destination: list[str] | None, as_json: bool
) -> None:
    """Serve a queue no longer, until the worker ends."""
    finish(session, reach(session).cancel_consumer(queue, destination, timeout), destination, as_json)


@control.command()
@reach_options
@pass_session
def shutdown(session: Session, timeout: float, destination: list[str] | None, as_json: bool) -> None:
    """Have workers finish what runs, and leave."""
    finish(session, reach(session).shutdown(destination, timeout), destination, as_json)


# -- words ---------------------------------------------------------------------------------------


def _check_task(session: Session, name: str, scope: Scope | None) -> None:
    """A limit may be set before its task is known; but one for a slip of the pen would limit nothing, for ever."""
    if scope == "queue":
        warn_unserved(session, name, [count.queue for count in session.store.counts()])
        return
    known = {task for worker in session.store.workers() for task in worker.tasks}
    if known and name not in known:
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            raise click.UsageError(f"no worker has registered task {clean(name)!r}; did you mean {clean(near[0])!r}?")
        session.note(f"No worker has registered task {clean(name)!r}{did_you_mean(name, known)}")


def _show_limit(session: Session, limit: Limit, as_json: bool) -> None:
    rate = "no rate limit" if limit.rate is None else format_rate(limit.rate, limit.per)
    most = "" if limit.concurrency is None else f", {plural(limit.concurrency, 'job')} at once"
    per = ", for each key" if limit.scope == "key" else ""
    data = {
        "scope": limit.scope, "name": limit.name, "rate": limit.rate, "per": limit.per,
        "concurrency": limit.concurrency,
    }  # fmt: skip
    _say(session, data, f"{limit.name}: {rate}{most}{per}", as_json)


def _say(session: Session, data: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        session.json(data)
    else:
        session.print(clean(text))


def _seconds(value: float | None) -> str:
    return "as the code says" if value is None else f"{value:g} s" if value else "no limit"
