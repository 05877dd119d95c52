"""``worker``: options to a supervisor, and what a person sees at its start and its end."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from duly.celery_names import not_needed
from duly.cli.root import Verb, Whole
from duly.cli.session import NO_APP, Session, pass_session
from duly.cli.text import clean, did_you_mean

if TYPE_CHECKING:
    from duly.worker.options import ReadyInfo

POOLS = ("process", "thread", "async")
CELERY_POOLS = {"prefork": "process", "processes": "process", "threads": "thread", "solo": "process"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
TASKS_SHOWN = 30
MIN_LEASE = 1_000_000  # µs


def _span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A length of time in seconds, more than none."""
    if value is None:
        return None
    micros = ctx.ensure_object(Session).span(value, str(param.opts[0]))
    least = MIN_LEASE if param.name == "lease" else 1
    if micros < least:
        raise click.BadParameter(f"{value!r} is too short: at least {'1s' if least > 1 else '1us'}", ctx, param)
    return micros / 1e6


def _level(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value.upper() not in LEVELS:
        hint = did_you_mean(value.upper(), LEVELS) or "."
        raise click.BadParameter(f"no level {value!r}{hint} Known: {', '.join(LEVELS)}", ctx, param)
    return value.upper()


def _pool(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    known = (*POOLS, *CELERY_POOLS)
    if value is not None and value not in known:
        hint = f"{not_needed(value)}." if not_needed(value) else did_you_mean(value, known) or "."
        raise click.BadParameter(f"no pool {value!r}{hint} Known: {', '.join(POOLS)}", ctx, param)
    return value


@click.command(cls=Verb)
@click.option("-Q", "--queues", multiple=True, metavar="QUEUES", help="Queues to serve, with weights: a=4,b.")
@click.option("--reserve", multiple=True, metavar="QUEUES", help="Keep slots for a queue: notify=1.")
@click.option("-c", "--concurrency", type=Whole(1), metavar="N", help="Jobs at once. [default: CPUs]")
@click.option("-P", "--pool", callback=_pool, metavar="POOL", help="process, thread or async. [default: process]")
@click.option("-n", "--hostname", "--name", "name", metavar="NAME", help="The worker's name on this host.")
@click.option("-l", "--loglevel", default="WARNING", callback=_level, metavar="LEVEL", help="DEBUG to CRITICAL.")
@click.option("-f", "--logfile", metavar="FILE", help="Log there instead of to standard error.")
@click.option("--time-limit", callback=_span, metavar="SPAN", help="Kill tasks that run longer, e.g. 90, 10m.")
@click.option("--soft-time-limit", callback=_span, metavar="SPAN", help="Ask tasks that run longer to stop.")
@click.option("--max-tasks-per-child", type=Whole(1), metavar="N", help="Replace an executor after N jobs.")
@click.option("--max-memory-per-child", type=Whole(1), metavar="KIB", help="Replace one that uses more.")
@click.option("--lease", callback=_span, metavar="SPAN", help="Others take its jobs after this long in silence.")
@click.option("--reload", is_flag=True, help="Restart executors when source files change (development).")
@pass_session
def worker(
    session: Session,
    /,
    queues: tuple[str, ...],
    reserve: tuple[str, ...],
    pool: str | None,
    name: str | None,
    **settings: Any,
) -> None:
    """Run a worker until TERM or Ctrl-C; a second one gives back what runs and leaves at once.

    What is not said here comes from the app's settings.
    """
    from duly.call import check_limits
    from duly.worker import supervisor
    from duly.worker.options import WorkerOptions

    if session.app_spec is None:
        raise click.UsageError(NO_APP)
    try:
        check_limits(settings["soft_time_limit"], settings["time_limit"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if pool in CELERY_POOLS:
        session.note(f"Pool {pool!r} is {CELERY_POOLS[pool]!r} here{', one job at once' if pool == 'solo' else ''}.")
        settings["concurrency"] = settings["concurrency"] or (1 if pool == "solo" else None)
    options = WorkerOptions(
        app=session.app_spec,
        store=session.store_url,
        queues=_numbered(queues, "weight", "--queues"),
        reserve=_numbered(reserve, "number of slots", "--reserve"),
        name=_bare_name(name),
        pool=CELERY_POOLS.get(pool, pool) if pool else None,
        workdir=os.getcwd(),
        **settings,
    )
    session.leave(supervisor.run(options, on_ready=_greeter(session)))


def _numbered(given: tuple[str, ...], what: str, option: str) -> dict[str, int] | None:
    """Queues with a number each, or None if none is named."""
    from duly.turns import numbered

    try:
        return numbered(",".join(given), what) or None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def _bare_name(name: str | None) -> str | None:
    """Celery's ``w1@%h`` names the host too; here the host is known."""
    return name.partition("@")[0] or None if name else None


def _greeter(session: Session) -> Callable[[ReadyInfo], None]:
    def greet(ready: ReadyInfo) -> None:
        if not session.quiet:
            session.print(*banner(ready))

    return greet


def _weighted(queues: tuple[str, ...], weights: dict[str, int]) -> list[str]:
    """Weights are shown if they differ."""
    differ = len(set(weights.values())) > 1
    return [f"{queue}={weights[queue]}" if differ else queue for queue in queues]


def banner(ready: ReadyInfo) -> list[str]:
    """Who is there, in the habit of Celery's banner."""
    facts = [
        ("app", ready.app),
        ("store", ready.store),
        ("", ready.durability),
        ("queues", ", ".join(_weighted(ready.queues, ready.weights))),
        ("pool", f"{ready.pool}, {ready.concurrency} at once"),
        ("lease", f"{ready.lease:g} s"),
    ]
    if ready.reserve:
        kept = ", ".join(f"{number} for {queue}" for queue, number in ready.reserve.items())
        facts.insert(-1, ("kept", kept))
    lines = ["", f"duly {ready.version}  {clean(ready.name)}@{clean(ready.host)}  pid {ready.pid}", ""]
    for label, value in facts:
        lines += textwrap.wrap(
            clean(value), 78, initial_indent=f"  {label:<8}", subsequent_indent=" " * 10, break_on_hyphens=False,
            break_long_words=False,
        ) or [f"  {label}"]  # fmt: skip
    lines += ["", "  tasks"]
    lines += [f"    . {clean(task)}" for task in ready.tasks[:TASKS_SHOWN]]
    if len(ready.tasks) > TASKS_SHOWN:
        lines.append(f"    ... and {len(ready.tasks) - TASKS_SHOWN:,} more: duly tasks")
    if not ready.tasks:
        lines.append("    (none: did the module that defines them get imported?)")
    return [*lines, "", "Ready. Ctrl-C to finish what runs and leave.", ""]
