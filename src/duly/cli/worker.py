"""``worker``: options to a supervisor, and what a person sees at its start and its end."""

from __future__ import annotations

import os
import socket
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from duly.celery_names import not_needed
from duly.checks import CELERY_POOLS, POOLS
from duly.cli.background import Background, background_options, level
from duly.cli.celery_flags import celery_flags
from duly.cli.root import Verb, Whole
from duly.cli.session import NO_APP, Session, pass_session
from duly.cli.text import clean, did_you_mean
from duly.passwords import hidden
from duly.worker import filenames

if TYPE_CHECKING:
    from duly.worker.options import ReadyInfo

F = TypeVar("F", bound=Callable[..., Any])

TASKS_SHOWN = 30
MIN_LEASE = 1_000_000  # µs


def _span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A length of time in seconds, more than none."""
    if value is None:
        return None
    micros = ctx.ensure_object(Session).span(value, str(param.opts[0]))
    least = MIN_LEASE if param.name == "lease" else 1
    if micros < least:
        raise click.BadParameter(f"{value!r} is too short: at least {'1s' if least > 1 else '1µs'}", ctx, param)
    return micros / 1e6


def _pool(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    known = (*POOLS, *CELERY_POOLS, "solo")
    if value is not None and value not in known:
        hint = f"{not_needed(value)}." if not_needed(value) else did_you_mean(value, known) or "."
        raise click.BadParameter(f"no pool {value!r}{hint} Known: {', '.join(POOLS)}", ctx, param)
    return value


def _autoscale(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """MAX,MIN as Celery has it; MIN is 1 unless it is said."""
    if value is None:
        return None
    most, _, least = value.partition(",")
    try:
        bounds = int(most), int(least or 1)
    except ValueError:
        bounds = 0, 0
    if not 1 <= bounds[1] <= bounds[0]:
        raise click.BadParameter(f"{value!r}: expected MAX,MIN, like 10,3", ctx, param)
    return bounds


def worker_options(verb: F) -> F:
    """What says how a worker works; ``duly multi`` knows by them which options take a value."""
    for option in reversed((
        click.option("-Q", "--queues", multiple=True, metavar="QUEUES", help="Queues to serve, with weights: a=4,b."),
        click.option("-X", "--exclude-queues", "exclude", multiple=True, metavar="QUEUES", help="Not these queues."),
        click.option("--reserve", multiple=True, metavar="QUEUES", help="Keep slots for a queue: notify=1."),
        click.option("-c", "--concurrency", type=Whole(1), metavar="N", help="Jobs at once. [default: CPUs]"),
        click.option("--autoscale", callback=_autoscale, metavar="MAX,MIN", help="Jobs at once, as many as needed."),
        click.option("-P", "--pool", callback=_pool, metavar="POOL", help="process, thread or async. [process]"),
        click.option("-n", "--hostname", "--name", "name", metavar="NAME", help="The worker's name on this host."),
        click.option("-I", "--include", multiple=True, metavar="MODULES", help="More modules of tasks."),
        click.option("-l", "--loglevel", default="WARNING", callback=level, metavar="LEVEL", help="DEBUG to ERROR."),
        click.option("--logformat", type=click.Choice(["text", "json"]), default="text", help="Log as that."),
        click.option("--time-limit", callback=_span, metavar="SPAN", help="Kill tasks that run longer: 90, 10m."),
        click.option("--soft-time-limit", callback=_span, metavar="SPAN", help="Ask tasks that run longer to stop."),
        click.option("--max-tasks-per-child", type=Whole(1), metavar="N", help="Replace an executor after N jobs."),
        click.option("--max-memory-per-child", type=Whole(1), metavar="KIB", help="Replace one that uses more."),
        click.option("--lease", callback=_span, metavar="SPAN", help="Others take its jobs after such a silence."),
        click.option("--purge", is_flag=True, help="Cancel first what waits in its queues."),
        click.option("--reload", is_flag=True, help="Restart executors when source files change (development)."),
        background_options,
        celery_flags("worker"),
    )):  # fmt: skip
        verb = option(verb)
    return verb


@click.command(cls=Verb)
@worker_options
@click.argument("settings", nargs=-1, metavar="[-- NAME=VALUE]...")
@pass_session
def worker(
    session: Session,
    /,
    queues: tuple[str, ...],
    exclude: tuple[str, ...],
    reserve: tuple[str, ...],
    pool: str | None,
    name: str | None,
    include: tuple[str, ...],
    settings: tuple[str, ...],
    **given: Any,
) -> None:
    """Run a worker until TERM or Ctrl-C; a second one gives back what runs and leaves at once.

    What is not said here comes from the app's settings, which NAME=VALUE changes: -- worker.lease=30
    """
    from duly.call import check_limits
    from duly.worker import supervisor
    from duly.worker.options import WorkerOptions

    if session.app_spec is None:
        raise click.UsageError(NO_APP)
    try:
        check_limits(given["soft_time_limit"], given["time_limit"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if pool in CELERY_POOLS or pool == "solo":
        session.note(f"Pool {pool!r} is {_own(pool)!r} here{', one job at once' if pool == 'solo' else ''}.")
        given["concurrency"] = given["concurrency"] or (1 if pool == "solo" else None)
    if given["autoscale"] and given["concurrency"]:
        raise click.UsageError("give -c or --autoscale, not both")
    session.include += _names(include)
    session.settings += _checked(settings)
    name = _name(name)
    background = Background(
        session,
        logfile=_file(given["logfile"], name, "--logfile"),
        pidfile=_file(given.pop("pidfile"), name, "--pidfile"),
        **{key: given.pop(key) for key in ("detach", "uid", "gid", "umask")},
    )
    options = WorkerOptions(
        app=session.app_spec,
        store=session.store_url,
        queues=_numbered(queues, "weight", "--queues"),
        exclude=tuple(_names(exclude)),
        reserve=_numbered(reserve, "number of slots", "--reserve"),
        pool=_own(pool) if pool else None,
        workdir=os.getcwd(),
        overrides=session.overrides,
        name=name,
        **given,
    )
    with background.begin():
        status = supervisor.run(options, on_ready=_greeter(session, background))
    session.leave(status)


def _checked(settings: tuple[str, ...]) -> tuple[str, ...]:
    """What is wrong with NAME=VALUE is told before anything is started. Raises ConfigError."""
    from duly.config import Settings
    from duly.configuring import Configurable

    scratch = Configurable()
    scratch.conf = Settings()
    scratch.config_from_cmdline(settings)
    return settings


def _own(pool: str) -> str:
    """duly's name of a pool."""
    return "process" if pool == "solo" else CELERY_POOLS.get(pool, pool)


def _names(given: tuple[str, ...]) -> list[str]:
    return [name.strip() for one in given for name in one.split(",") if name.strip()]


def _name(given: str | None) -> str | None:
    """Celery's ``w1@%h`` names the host too; here the host is known."""
    try:
        return filenames.node_name(given, socket.gethostname()) or None if given else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--hostname'") from None


def _file(pattern: str | None, name: str | None, option: str) -> str | None:
    """The supervisor's own file of a pattern like ``%n%I.log``."""
    try:
        return filenames.expand(pattern, name or "worker", socket.gethostname()) if pattern else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def _numbered(given: tuple[str, ...], what: str, option: str) -> dict[str, int] | None:
    """Queues with a number each, or None if none is named."""
    from duly.turns import numbered

    try:
        return numbered(",".join(given), what) or None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def _greeter(session: Session, background: Background) -> Callable[[ReadyInfo], None]:
    def greet(ready: ReadyInfo) -> None:
        if not session.quiet:
            session.print(*banner(ready))
        background.ready()

    return greet


def _weighted(queues: tuple[str, ...], weights: dict[str, int]) -> list[str]:
    """Weights are shown if they differ."""
    differ = len(set(weights.values())) > 1
    return [f"{queue}={weights[queue]}" if differ else queue for queue in queues]


def banner(ready: ReadyInfo) -> list[str]:
    """Who is there, in the habit of Celery's banner."""
    facts = [
        ("app", ready.app),
        ("store", hidden(ready.store)),
        ("", ready.durability),
        *([("broker", hidden(ready.broker))] if ready.broker else []),
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
