"""``schedule``: recurring work, looked at and changed. ``beat``: ticks in a process of their own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from duly import scheduler, signals
from duly.cli import times
from duly.cli.background import Background, background_options, level
from duly.cli.call import json_option
from duly.cli.celery_flags import celery_flags
from duly.cli.data import call_parts, raw
from duly.cli.reach import Family
from duly.cli.root import Verb, Whole
from duly.cli.session import Session, pass_session
from duly.cli.text import clean, plural
from duly.clock import MICROS, from_micros
from duly.errors import ConfigError
from duly.job import CatchUp, Filter, Overlap, Schedule
from duly.secrecy import visible
from duly.why import argument

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.schedules import Rule

_json = click.option("--json", "as_json", is_flag=True, help="JSON, one object a line.")
_names = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.group(cls=Family)
def schedule() -> None:
    """Look at recurring work and change it."""


# -- looking -------------------------------------------------------------------------------------


@schedule.command("list")
@_json
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List schedules: what runs when."""
    from rich.text import Text

    from duly.cli.table import Column, lay_out

    found = session.store.schedules()
    if as_json:
        for one in found:
            session.json(schedule_data(one))
        return
    if not found:
        session.note("No schedules: beat_schedule and @app.periodic declare them, duly schedule add stores one.")
        return
    now = session.store.now()
    columns = [
        Column("NAME", least=12), Column("RUNS", least=16, rank=1), Column("TASK", least=12, rank=2, from_left=True),
        Column("NEXT"),
        Column("FROM", rank=3),
    ]  # fmt: skip
    for one in found:
        cells = (one.name, words_of(one), one.task, _next_words(session, one, now), one.owner or "by hand")
        for column, cell in zip(columns, cells, strict=True):
            column.cells.append(Text(clean(cell), "dim" if one.paused else ""))
    session.print(*lay_out(columns, session.width))


@schedule.command("next")
@click.argument("name")
@click.option("-n", "count", type=Whole(1, 10_000), default=10, metavar="N", help="How many. [default: 10]")
@click.option("--after", metavar="TIME", help="Those after this time instead of now.")
@_json
@pass_session
def next_(session: Session, name: str, count: int, after: str | None, as_json: bool) -> None:
    """Show when a schedule comes round next, on the clocks of its zone, with their UTC offset."""
    one = scheduler.find(session.store, name)
    now = session.store.now()
    instants = scheduler.coming(one, now if after is None else session.instant(after, "--after"), count)
    zone = _zone(session, one)
    if as_json:
        for instant in instants:
            session.json({"nominal": instant, "local": from_micros(instant, zone).isoformat()})
        return
    before: timedelta | None = None
    for instant in instants:
        moment = from_micros(instant, zone)
        offset = moment.utcoffset()
        if before is not None and offset != before:
            session.print(f"-- the clocks change: from here UTC{moment:%z} ({moment.tzname()})")
        before = offset
        utc = from_micros(instant, UTC)
        session.print(
            f"{moment:%a %Y-%m-%d %H:%M:%S} {_offset(f'{moment:%z}')}  {utc:%Y-%m-%dT%H:%M:%SZ}  "
            f"{times.relative(instant, now)}"
        )
    if len(instants) < count:
        session.note(f"{clean(name)} has no occurrences after that.")
    if one.paused:
        session.note(
            f"{clean(name)} is paused: none of these is made before `duly schedule resume {argument(clean(name))}`."
        )


@schedule.command()
@click.argument("name")
@_json
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show everything about a schedule."""
    one = scheduler.find(session.store, name)
    if as_json:
        session.json(schedule_data(one))
        return
    args, kwargs = (b"" if part is None else bytes(part) for part in call_parts(visible(one)))
    facts = [
        ("schedule", one.name), ("runs", words_of(one)), ("rule", one.rule.decode("utf-8", "replace")),
        ("task", one.task), ("arguments", f"{args.decode()} {kwargs.decode()}"),
        ("queue", f"{one.queue}, priority {one.priority}"),
        ("catch up", one.catch_up + (f", within {times.span(one.deadline)}" if one.deadline else "")),
        ("overlap", one.overlap), ("jitter", times.span(one.jitter) if one.jitter else ""),
        ("expires", f"{times.span(one.expires_after)} after its due" if one.expires_after else ""),
        ("from", f"the code of app {one.owner}" if one.owner is not None else "stored by hand"),
        ("next", _next_words(session, one, session.store.now())),
    ]  # fmt: skip
    session.print(*(f"{label:<10} {clean(value)}" for label, value in facts if value))


@schedule.command()
@click.argument("name")
@click.option("-n", "count", type=Whole(1, 10_000), default=20, metavar="N", help="How many. [default: 20]")
@_json
@pass_session
def history(session: Session, name: str, count: int, as_json: bool) -> None:
    """Show the occurrences made and what became of their jobs, newest first."""
    made = session.store.occurrences(name, count)
    if not made:
        scheduler.find(session.store, name)  # or it is no schedule at all
    now = session.store.now()
    jobs = {job.id: job for job in session.store.jobs(Filter(ids=tuple(o.job for o in made)), limit=count).jobs}
    for one in made:
        job = jobs.get(one.job)
        state = "gone" if job is None else job.state_name(now)
        late = None if job is None or job.started is None else job.started - job.due
        if as_json:
            session.json({"nominal": one.nominal, "job": one.job, "made": one.made, "state": state, "lateness": late})
            continue
        started = "" if late is None else f"  started {times.span(max(late, 0))} late"
        session.print(f"{times.full(one.nominal, session.zone)}  {clean(one.job)}  {state}{started}")


# -- changing ------------------------------------------------------------------------------------


@schedule.command()
@click.argument("name")
@click.argument("task")
@click.option("--cron", metavar="LINE", help='Common cron: "0 9 * * mon", @daily.')
@click.option("--crontab", metavar="LINE", help="The same fields with Celery's meaning: both days must match.")
@click.option("--every", metavar="SPAN", help="By the clock: 90 (seconds), 10m, 1h30m.")
@click.option("--rrule", metavar="RULE", help='A calendar\'s: "FREQ=MONTHLY;BYDAY=-1FR"; needs --start.')
@click.option("--start", metavar="TIME", help="When --rrule begins.")
@click.option("--solar", nargs=3, metavar="EVENT LAT LON", help="sunrise, sunset, dawn_civil, ... at a place.")
@click.option("-a", "--args", metavar="JSON", help="Positional arguments: a JSON array.")
@click.option("-k", "--kwargs", metavar="JSON", help="Keyword arguments: a JSON object.")
@click.option("-Q", "--queue", metavar="QUEUE", help="Instead of the task's own queue.")
@click.option("--priority", type=Whole(0, 9), metavar="0-9", help="9 runs first.")
@click.option("--expires", metavar="SPAN", help="Not to be started so long after its due.")
@click.option("--catch-up", type=click.Choice(get_args(CatchUp)), default="last", help="What was missed. [last]")
@click.option("--deadline", metavar="SPAN", help="Missed for longer than this: not made any more.")
@click.option("--overlap", type=click.Choice(get_args(Overlap)), default="allow", help="One still runs. [allow]")
@click.option("--jitter", metavar="SPAN", help="Due up to so much later, always the same for one occurrence.")
@_json
@pass_session
def add(session: Session, /, name: str, task: str, as_json: bool, **given: Any) -> None:
    """Store a schedule of TASK, or another one in its place. --tz is the zone of its rule.

    With -A the arguments are checked against the task; with only a store they are taken as they are.
    """
    session.may_create = True
    app = _app(session)
    args = msgspec.json.decode(json_option(given["args"], "--args", list) or b"[]")
    kwargs = msgspec.json.decode(json_option(given["kwargs"], "--kwargs", dict) or b"{}")
    options: dict[str, Any] = {key: given[key] for key in ("queue", "priority", "catch_up", "overlap")}
    for key in ("expires", "deadline", "jitter"):
        if given[key] is not None:
            options[key] = session.span(given[key], f"--{key}") / MICROS
    if session.app_spec is not None:
        args, kwargs = app.find(task).codec.decode_args(msgspec.json.encode([args, kwargs]))
    from duly.periodic import make_schedule

    scheduler.put(session.store, make_schedule(app, name, task, _rule(session, given), args, kwargs, options))
    one = scheduler.find(session.store, name)
    if as_json:
        session.json(schedule_data(one))
    else:
        session.print(f"{clean(name)}: {words_of(one)}, next {_next_words(session, one, session.store.now())}")


@schedule.command()
@_names
@pass_session
def pause(session: Session, names: Sequence[str]) -> None:
    """Make no more occurrences, until resumed; those not due yet are withdrawn."""
    for name in names:
        scheduler.pause(session.store, name)
        session.print(f"{clean(name)}: paused")


@schedule.command()
@_names
@pass_session
def resume(session: Session, names: Sequence[str]) -> None:
    """End a pause. What was not made meanwhile is not made up for."""
    for name in names:
        scheduler.resume(session.store, name)
        one = scheduler.find(session.store, name)
        session.print(f"{clean(name)}: next {_next_words(session, one, session.store.now())}")


@schedule.command()
@_names
@pass_session
def remove(session: Session, names: Sequence[str]) -> None:
    """Take schedules away that were stored by hand; occurrences that have not started are withdrawn."""
    for name in names:
        scheduler.remove(session.store, name)
        session.print(f"{clean(name)}: removed")


@schedule.command()
@click.argument("name")
@_json
@pass_session
def run(session: Session, name: str, as_json: bool) -> None:
    """Run it once, now, beside its rule; prints the job's id."""
    id = scheduler.run_now(session.store, name)
    if as_json:
        session.json({"id": id})
    else:
        session.print(id)


# -- beat ----------------------------------------------------------------------------------------


@click.command(cls=Verb)
@click.option("-l", "--loglevel", default="INFO", callback=level, metavar="LEVEL", help="DEBUG to CRITICAL. [INFO]")
@background_options
@celery_flags("beat")
@pass_session
def beat(session: Session, /, loglevel: str, **given: Any) -> None:
    """Make the jobs of schedules in a process of its own, until TERM or Ctrl-C.

    Workers do this too; with both running each occurrence is still made once. With -A the app's schedules are
    declared first.
    """
    from duly.worker import logs, systemd

    session.may_create = True
    background = Background(session, **given)
    with background.begin():
        logs.configure(loglevel, given["logfile"], "beat")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if session.app_spec is not None:
            scheduler.declare(session.store, session.app.name, session.app.declared_schedules())
            signals.beat_init.send(session.app)
        session.note(f"Ticking for {plural(len(session.store.schedules()), 'schedule')}. Ctrl-C to leave.")
        background.ready()
        systemd.notify("READY=1")
        scheduler.run(session.store, stop, lambda: systemd.notify("WATCHDOG=1"))


# -- in words ------------------------------------------------------------------------------------


def words_of(one: Schedule) -> str:
    """A schedule's rule in plain English."""
    try:
        return scheduler.rule_of(one.rule).describe()
    except ConfigError as exc:
        return f"unreadable: {exc}"


def schedule_data(one: Schedule) -> dict[str, Any]:
    """A schedule as a JSON object: exact instants and durations (µs), stored JSON untouched."""
    args, kwargs = call_parts(visible(one))
    fields = {name: getattr(one, name) for name in one.__struct_fields__}
    return fields | {
        "rule": raw(one.rule), "runs": words_of(one), "args": args, "kwargs": kwargs,
        "headers": raw(one.headers), "options": raw(one.options),
    }  # fmt: skip


def _next_words(session: Session, one: Schedule, now: int) -> str:
    if one.paused:
        return "paused"
    try:
        instants = scheduler.coming(one, now, 1)
    except ConfigError:
        return "never: its rule cannot be read here"
    if not instants:
        return "no more"
    return f"{times.short(instants[0], now, _zone(session, one))} {times.relative(instants[0], now)}"


def _zone(session: Session, one: Schedule) -> Any:
    """Where its times are shown: --tz, else the zone of its rule."""
    from duly.periodic import zone_of

    return session.zone if session.timezone is not None else zone_of(one, session.zone)


def _offset(digits: str) -> str:
    return f"{digits[:3]}:{digits[3:]}"


def _app(session: Session) -> Duly:
    """The app, or one that knows no tasks and so takes every name."""
    from duly.app import Duly

    if session.app_spec is not None:
        return session.app
    app = Duly("duly", timezone=session.zone.key)
    app.lend(session.store, app.clock)  # its URL has no password, and may not lead there again
    return app


def _rule(session: Session, given: dict[str, Any]) -> Rule:
    """The rule that the options name."""
    from duly import schedules

    kinds = [kind for kind in ("cron", "crontab", "every", "rrule", "solar") if given[kind] is not None]
    if len(kinds) != 1:
        raise click.UsageError("give one of --cron, --crontab, --every, --rrule and --solar")
    (kind,) = kinds
    value, tz = given[kind], session.zone.key
    if (kind == "rrule") != (given["start"] is not None):
        raise click.UsageError("--rrule and --start belong together")
    if kind == "cron":
        return schedules.cron(value, tz=tz)
    if kind == "crontab":
        fields = value.split()
        if len(fields) != 5:
            raise click.BadParameter(f"{value!r}: expected minute hour day month weekday", param_hint="'--crontab'")
        minute, hour, day, month, weekday = fields
        return schedules.crontab(minute, hour, weekday, day, month, tz=tz)
    if kind == "every":
        return schedules.every(timedelta(microseconds=session.span(value, "--every")))
    if kind == "rrule":
        return schedules.rrule(value, from_micros(session.instant(given["start"], "--start"), session.zone), tz=tz)
    event, lat, lon = value
    try:
        return schedules.solar(event, float(lat), float(lon))
    except ValueError:
        raise click.BadParameter(f"{lat!r} {lon!r}: expected degrees", param_hint="'--solar'") from None
