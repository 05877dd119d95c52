"""Schedules: what recurs, when it comes next, what became of the last ones; changing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from duly import scheduler, secrecy
from duly import schedules as rules
from duly.cli import times
from duly.clock import MICROS, from_micros
from duly.errors import ConfigError, DecodeError, DulyError
from duly.job import Filter, JobView, Occurrence, Schedule
from duly.periodic import make_schedule
from duly.periodic import zone_of as rule_zone
from duly.schedules import Rule
from duly.web import payload
from duly.web.actions import record
from duly.web.show import Shown, zone_named
from duly.web.site import Form, Site, base_of, changing, go, needed, query, render, site_of, viewer_of
from duly.web.timeline import ClockChange, clock_changes

NEXT = 5  # occurrences that are shown ahead
LAST = 12  # and back
KINDS = ("cron", "crontab", "every", "rrule", "solar")
_AHEAD = 366 * 86_400 * MICROS  # how far a change of the clocks is looked for


@dataclass(frozen=True)
class Row:
    """A schedule as it is listed."""

    it: Schedule
    words: str
    wrong: bool  # its rule cannot be read here
    zone: ZoneInfo
    coming: list[int]
    last: list[tuple[Occurrence, JobView | None]]  # newest first


def schedules(request: Request) -> Response:
    """All of them."""
    site = site_of(request)
    found = site.store.schedules()
    rows = [_row(site, one, 2, LAST) for one in found]
    return render(request, "schedules.html", rows=rows)


def schedule(request: Request) -> Response:
    """One of them."""
    site = site_of(request)
    it = scheduler.find(site.store, needed(request, "name"))
    row = _row(site, it, NEXT, 60)
    now = site.store.now()
    return render(
        request, "schedule.html", now=now, row=row, args=payload.call_text(it), changes=_changes(row, now),
        spec=msgspec.json.decode(it.rule, type=dict[str, Any]), there=Shown(now, row.zone, base_of(request)),
    )  # fmt: skip


def _row(site: Site, it: Schedule, ahead: int, back: int) -> Row:
    occurrences = site.store.occurrences(it.name, back)
    jobs = site.store.jobs(Filter(ids=tuple(one.job for one in occurrences)), limit=back).jobs if occurrences else []
    by_id = {job.id: job for job in jobs}
    last = [(one, by_id.get(one.job)) for one in occurrences]
    try:
        rule = scheduler.rule_of(it.rule)
        coming = scheduler.coming(it, site.store.now(), ahead)
        return Row(it, rule.describe(), False, rule_zone(it, site.zone), coming, last)
    except ConfigError as exc:
        return Row(it, f"unreadable: {exc}", True, site.zone, [], last)


def _changes(row: Row, now: int) -> list[ClockChange]:
    """The next changes of the clocks that its rule reads."""
    return clock_changes(now, now + _AHEAD, row.zone)[:2]


# -- adding and editing ----------------------------------------------------------------------------


def edit(request: Request) -> Response:
    """The form: empty, or with what is stored by hand under this name."""
    name = query(request, "name")
    fields = _fields_of(scheduler.find(site_of(request).store, name)) if name else dict(_EMPTY)
    return _form(request, fields, "")


def _form(request: Request, fields: dict[str, str], wrong: str, status: int = 200) -> Response:
    site = site_of(request)
    picture = site.watch.latest()
    names = {task for worker in picture.workers for task in worker.info.tasks} | set(
        site.app.tasks if site.app else ()
    )
    return render(request, "schedule_edit.html", status, f=fields, wrong=wrong, tasks=sorted(names), kinds=KINDS)


_EMPTY = {
    "name": "", "task": "", "kind": "cron", "value": "", "start": "", "tz": "", "args": "[]", "kwargs": "{}",
    "queue": "", "catch_up": "last", "overlap": "allow", "old": "",
}  # fmt: skip


def _fields_of(it: Schedule) -> dict[str, str]:
    """What the form shows of a stored schedule."""
    spec = msgspec.json.decode(it.rule, type=dict[str, Any])
    kind = str(spec.get("kind"))
    value, start = _written(kind, spec)
    args, kwargs = msgspec.json.decode(secrecy.visible(it), type=tuple[msgspec.Raw, msgspec.Raw])
    return {
        **_EMPTY, "name": it.name, "task": it.task, "kind": kind, "value": value, "start": start,
        "tz": str(spec.get("tz", "")), "args": bytes(args).decode(), "kwargs": bytes(kwargs).decode(),
        "queue": it.queue, "catch_up": it.catch_up, "overlap": it.overlap, "old": it.name,
    }  # fmt: skip


def _written(kind: str, spec: dict[str, Any]) -> tuple[str, str]:
    """A stored rule as one types it, and when an rrule begins."""
    if kind == "cron":
        return str(spec["line"]), ""
    if kind == "crontab":
        return " ".join(str(spec.get(name, "*")) for name in _CRONTAB), ""
    if kind == "every":
        return times.span(int(spec["micros"])), ""
    if kind == "rrule":
        return str(spec["rule"]), str(spec["start"])
    return f"{spec['event']} {spec['lat']} {spec['lon']}", ""


_CRONTAB = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def rule_from(kind: str, value: str, start: str, tz: str, now: int) -> Rule:
    """The rule that the form says. Raises ConfigError, ValueError."""
    zone = zone_named(tz)
    if zone is None:
        raise ValueError(f"there is no time zone {tz!r}; like Europe/Berlin or UTC")
    if not value.strip():
        raise ValueError("when? The field of the rule is empty")
    if kind == "cron":
        return rules.cron(value, tz=tz)
    if kind == "crontab":
        fields = value.split()
        if len(fields) != 5:
            raise ValueError(f"{value!r}: expected minute hour day month weekday")
        minute, hour, day, month, weekday = fields
        return rules.crontab(minute, hour, weekday, day, month, tz=tz)
    if kind == "every":
        return rules.every(timedelta(microseconds=times.parse_span(value)))
    if kind == "rrule":
        return rules.rrule(value, from_micros(times.parse_instant(start, now, zone), zone), tz=tz)
    if kind == "solar":
        event, lat, lon = (*value.split(), "", "")[:3]
        try:
            return rules.solar(event, float(lat), float(lon))
        except ValueError:
            raise ValueError(
                f"{value!r}: expected an event, latitude and longitude, like: sunset 48.86 2.35"
            ) from None
    raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")


def preview(request: Request) -> Response:
    """What a rule that is being typed means."""
    site = site_of(request)
    now = site.store.now()
    tz = query(request, "tz") or site.zone.key
    try:
        rule = rule_from(query(request, "kind"), query(request, "value"), query(request, "start"), tz, now)
    except (ValueError, DulyError) as exc:
        return render(request, "schedule_preview.html", wrong=str(exc), words="", coming=[], at=site.zone)
    zone = ZoneInfo(rule.tz or tz)
    coming = rule.between(now, now + 20 * _AHEAD, NEXT)
    return render(request, "schedule_preview.html", wrong="", words=rule.describe(), coming=coming, at=zone)


@changing
def save(request: Request, form: Form) -> Response:
    """Store it."""
    site = site_of(request)
    fields = {name: form.get(name, usual) for name, usual in _EMPTY.items()}
    try:
        scheduler.put(site.store, _made(site, fields))
    except (ValueError, TypeError, DulyError) as exc:
        return _form(request, fields, str(exc), 400)
    record(site.store, viewer_of(request).name, "store schedule", f"schedule {fields['name']}", fields["value"])
    return go(request, "/schedule", said="Stored. Workers follow it from now on.", name=fields["name"])


def _made(site: Site, fields: dict[str, str]) -> Schedule:
    """Raises ValueError, TypeError, ConfigError and their kin for what cannot be."""
    from duly.app import Duly

    now = site.store.now()
    tz = fields["tz"] or site.zone.key
    rule = rule_from(fields["kind"], fields["value"], fields["start"], tz, now)
    data = f"[{fields['args'] or '[]'},{fields['kwargs'] or '{}'}]".encode()
    stored = site.store.schedules([fields["name"]])
    data = payload.restored(data, stored[0]) if stored else payload.restored(data, _NOTHING)
    app = site.app
    if app is None:
        app = Duly("duly", timezone=site.zone.key)
        app.lend(site.store, app.clock)  # its URL has no password, and may not lead there again
    if site.app is not None:
        try:
            args, kwargs = app.find(fields["task"]).codec.decode_args(data)
        except DecodeError as exc:
            raise ValueError(f"these arguments do not fit task {fields['task']}: {exc}") from None
    else:
        args, kwargs = msgspec.json.decode(data, type=tuple[list[Any], dict[str, Any]])
    options = {"catch_up": fields["catch_up"], "overlap": fields["overlap"]}
    if fields["queue"]:
        options["queue"] = fields["queue"]
    return make_schedule(app, fields["name"], fields["task"], rule, args, kwargs, options)


class _Nothing(msgspec.Struct, frozen=True):
    """No stored arguments."""

    args: bytes = b"[[],{}]"
    options: bytes | None = None


_NOTHING = _Nothing()


# -- pausing, running, removing --------------------------------------------------------------------


@changing
def act(request: Request, form: Form) -> Response:
    """Pause, resume, run once or remove, of one schedule or several."""
    site, verb, names = site_of(request), form.needed("verb"), form.all("name")
    said = ""
    for name in names:
        said = _act(site, verb, name)
        record(site.store, viewer_of(request).name, f"{verb} schedule", f"schedule {name}", said)
    if len(names) == 1 and verb != "remove":
        return go(request, "/schedule", said=said, name=names[0])
    return go(request, "/schedules", said=said if len(names) == 1 else f"{verb}: {len(names)} schedules.")


def _act(site: Site, verb: str, name: str) -> str:
    if verb == "pause":
        scheduler.pause(site.store, name)
        return "Paused: it makes no more occurrences until it is resumed."
    if verb == "resume":
        scheduler.resume(site.store, name)
        return "It goes on with the next occurrence."
    if verb == "run":
        return f"Job {scheduler.run_now(site.store, name)} runs it once, now."
    if verb == "remove":
        scheduler.remove(site.store, name)
        return f"Schedule {name} is removed."
    raise ConfigError(f"verb {verb!r}: expected pause, resume, run or remove")
