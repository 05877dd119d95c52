"""Recurring work as an app says it: ``beat_schedule``, ``@app.periodic`` and ``app.schedules``.

All three give Schedules (``job.py``); when they are due is the scheduler's matter (``scheduler.py``). What is wrong
with an entry is said as ConfigError that names the schedule and the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, TypedDict, cast, get_args
from zoneinfo import ZoneInfo

from duly import scheduler
from duly.call import CallOptions, limit
from duly.clock import MICROS, from_micros
from duly.config import did_you_mean
from duly.errors import ConfigError, EncodeError, TaskNotRegistered
from duly.job import CatchUp, Job, Occurrence, Overlap, Schedule
from duly.result import AsyncResult
from duly.schedules import Rule, as_rule
from duly.schedules.zone import zone_key

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.task import Task


class PeriodicOptions(CallOptions, total=False):
    """What a schedule takes beside its rule and arguments: how it recurs, and options of each of its calls.

    Of CallOptions those that make one call (countdown, eta, key, on_conflict, task_id) are refused; ``expires`` is
    in seconds after an occurrence is due.
    """

    tz: str | tzinfo | None  # of a rule that has none of its own; the app's if None
    catch_up: CatchUp  # "last"
    deadline: float | timedelta | None  # seconds after which a missed occurrence is no longer made
    overlap: Overlap  # "allow"
    jitter: float | timedelta  # seconds


_OWN = ("tz", "catch_up", "deadline", "overlap", "jitter")
_REFUSED = ("countdown", "eta", "key", "on_conflict", "task_id")
_CALL = tuple(name for name in CallOptions.__annotations__ if name not in _REFUSED)
_ENTRY = ("task", "schedule", "args", "kwargs", "options", "relative", *_OWN)  # of beat_schedule


class Periodic(TypedDict):
    """One ``@app.periodic``: what it stands on, and what it said."""

    target: Any  # a Task, or the function that is to become one
    name: str | None
    rule: object
    args: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    options: PeriodicOptions


class Schedules:
    """``app.schedules``: the recurring work in the app's store, whoever put it there.

    Names of schedules are unique in a store. Methods that take one raise ConfigError when there is none.
    """

    def __init__(self, app: Duly) -> None:
        self._app = app

    def add(
        self,
        name: str,
        task: str | Task[..., Any],
        rule: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Schedule:
        """Store a schedule, in place of an earlier one of this name; workers follow it from now on.

        ``rule``: crontab(), cron(), rrule(), solar(), or a period as seconds or a timedelta. ``options``: those of
        PeriodicOptions. Raises ConfigError, also for a name that an app's code declares.
        """
        made = make_schedule(self._app, name, task, rule, args, kwargs, options)
        scheduler.put(self._app.store, made)
        return self.get(name)

    def get(self, name: str) -> Schedule:
        """The schedule of that name."""
        return scheduler.find(self._app.store, name)

    def list(self) -> list[Schedule]:
        """Every schedule in the store, by name."""
        return self._app.store.schedules()

    def pause(self, name: str) -> None:
        """Make no more occurrences, until resumed; those not due yet are withdrawn."""
        scheduler.pause(self._app.store, name)

    def resume(self, name: str) -> None:
        """End a pause. What it would have made meanwhile is not made up for."""
        scheduler.resume(self._app.store, name)

    def remove(self, name: str) -> None:
        """Take it away, with the occurrences that have not started. One that an app's code declares stays."""
        scheduler.remove(self._app.store, name)

    def run_now(self, name: str) -> AsyncResult[Any]:
        """Run it once, now, beside its rule."""
        return self._app.AsyncResult(scheduler.run_now(self._app.store, name))

    def next(self, name: str, n: int = 1, after: datetime | None = None) -> Sequence[datetime]:
        """The next ``n`` occurrences by its rule, on the clocks of its zone; after now, or an aware ``after``."""
        schedule = self.get(name)
        instant = self._app.now() if after is None else int(after.timestamp()) * MICROS + after.microsecond
        zone = zone_of(schedule, self._app.zone)
        return [from_micros(found, zone) for found in scheduler.coming(schedule, instant, n)]

    def history(self, name: str, limit: int = 100) -> Sequence[Occurrence]:
        """What it made, newest first, for as long as the jobs are kept."""
        self.get(name)
        return self._app.store.occurrences(name, limit)


def zone_of(schedule: Schedule, default: ZoneInfo) -> ZoneInfo:
    """The zone whose clocks a schedule's rule reads; ``default`` for a rule of elapsed time."""
    name = scheduler.rule_of(schedule.rule).tz
    return default if name is None else ZoneInfo(name)


# -- what an app's code declares -------------------------------------------------------------------


def declared(app: Duly, decorated: Sequence[Periodic]) -> list[Schedule]:
    """The schedules of ``beat_schedule`` and of ``@app.periodic``. Raises ConfigError."""
    found: dict[str, Schedule] = {}
    made = [_from_entry(app, name, entry) for name, entry in app.conf.beat_schedule.items()]
    made += [_from_decorator(app, periodic) for periodic in decorated]
    for schedule in made:
        if schedule.name in found:
            raise ConfigError(
                f"two schedules of app {app.name} are named {schedule.name!r}; "
                'give one of them another name, as in @app.periodic(..., name="...")'
            )
        found[schedule.name] = schedule
    return list(found.values())


def _from_entry(app: Duly, name: str, entry: Mapping[str, Any]) -> Schedule:
    """One entry of ``beat_schedule``. Celery's key ``relative`` changes nothing: periods always go by the clock."""
    where = f"beat_schedule[{name!r}]"
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} = {entry!r}: expected a dict with the keys task and schedule")
    for key in entry:
        if key not in _ENTRY:
            raise ConfigError(f"{where} has no key {key!r}{did_you_mean(key, _ENTRY)}; known: {', '.join(_ENTRY)}")
    for key in ("task", "schedule"):
        if key not in entry:
            raise ConfigError(f"{where} needs the key {key!r}")
    options = {**(entry.get("options") or {}), **{key: entry[key] for key in _OWN if key in entry}}
    return make_schedule(
        app, name, entry["task"], entry["schedule"], entry.get("args") or (), entry.get("kwargs"), options
    )


def _from_decorator(app: Duly, periodic: Periodic) -> Schedule:
    target = periodic["target"]
    if isinstance(target, str):
        target = app.find(target)
    task = next((task for task in app.tasks.values() if task == target or task.fn is target), None)
    if task is None:
        raise ConfigError(f"@app.periodic on {target!r}, which is no task of app {app.name}; add @app.task to it")
    name = periodic["name"] or task.name
    return make_schedule(app, name, task, periodic["rule"], periodic["args"], periodic["kwargs"], periodic["options"])


# -- from words to a Schedule ----------------------------------------------------------------------


def make_schedule(
    app: Duly,
    name: str,
    task: str | Task[..., Any],
    rule: object,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> Schedule:
    """The Schedule of an entry; ``next`` is left open. Raises ConfigError."""
    if not isinstance(name, str) or not name:
        raise ConfigError(f"schedule {name!r}: a name is a text that is not empty")
    try:
        job = _sample(app, task, args, kwargs, options)
        return Schedule(
            name=name,
            rule=scheduler.stored_rule(bound_rule(rule, options.get("tz"), app.conf.timezone)),
            task=job.task,
            args=job.args,
            queue=job.queue,
            priority=job.priority,
            headers=job.headers,
            options=job.options,
            flags=job.flags,
            limit_key=job.limit_key,
            catch_up=_one_of("catch_up", options.get("catch_up", "last"), get_args(CatchUp)),
            deadline=_micros("deadline", options.get("deadline")),
            overlap=_one_of("overlap", options.get("overlap", "allow"), get_args(Overlap)),
            jitter=_micros("jitter", options.get("jitter") or None) or 0,
            expires_after=None if job.expires is None else job.expires - job.due,
        )
    except (TypeError, ValueError, EncodeError, ConfigError) as exc:
        raise ConfigError(f"schedule {name!r}: {exc}") from None


def bound_rule(rule: object, tz: str | tzinfo | None, default: str) -> Rule:
    """The rule, in ``tz`` or the default zone where it needs one and has none. Raises ConfigError."""
    made = as_rule(rule)
    wanted = zone_key(tz)
    bound = made.bind(wanted or default)
    if wanted is not None and bound.tz not in (None, wanted):
        raise ConfigError(f"tz={wanted!r}, but its rule has tz={bound.tz!r}; give one of them")
    return bound


def _sample(
    app: Duly,
    task: str | Task[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> Job:
    """A job such as the occurrences will be."""
    call: dict[str, Any] = {}
    for key, value in options.items():
        if key in _REFUSED:
            raise ConfigError(f"option {key!r} makes one call; a schedule has many (for one at a time: overlap)")
        if key in _CALL:
            call[key] = value
        elif key not in _OWN:
            raise ConfigError(f"no option {key!r}{did_you_mean(key, (*_CALL, *_OWN))}")
    if isinstance(call.get("expires"), datetime):
        raise ConfigError(f"expires={call['expires']!r}: expected seconds after an occurrence is due")
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise ConfigError(f"args={args!r}: expected a list or tuple; for one argument: (x,)")
    name = task if isinstance(task, str) else task.name
    if slip := app.slip(name):
        raise TaskNotRegistered(slip)
    return app.make_job(name, args, kwargs or {}, cast(CallOptions, call))


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> Any:
    if value not in allowed:
        raise ConfigError(f"{name}={value!r}{did_you_mean(value, allowed)}; expected {' or '.join(allowed)}")
    return value


def _micros(name: str, value: float | timedelta | None) -> int | None:
    seconds = limit(name, value)
    return None if seconds is None else round(seconds * MICROS)
