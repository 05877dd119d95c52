"""The JSON API, ``/api/v1``: what the pages show and do, for programs; described by ``/api/v1/openapi.json``.

Instants are integers, microseconds UTC; lengths of time are microseconds. Payloads are JSON as it is stored, with
what is sensitive hidden. Ids may be any text, so they are in the query and not in the path.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from duly import scheduler, secrecy
from duly import why as explaining
from duly.cli.data import attempt_data, call_parts, raw
from duly.errors import ConfigError
from duly.job import Change, Filter, JobView
from duly.messages import Action
from duly.web.actions import VERBS, apply, changed, described, record, verdicts
from duly.web.history import by_task
from duly.web.language import BadQuery, parse
from duly.web.search import search
from duly.web.site import must_may_change, query, site_of, viewer_of, zone_of
from duly.web.timeline import timeline

LIMIT = 500
"""Jobs on a page, and ids in an action, at most."""

Instant = Annotated[int, Meta(description="microseconds since 1970, UTC", ge=0, le=253_402_300_799_999_999)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class JobOut(msgspec.Struct, kw_only=True):
    """A job."""

    id: str
    task: str
    state: str
    queue: str
    priority: int
    due: int
    created: int
    started: int | None
    finished: int | None
    expires: int | None
    attempt: int
    retries: int
    lost: int
    key: str | None
    worker: str | None
    cancelling: bool
    args: Any
    kwargs: Any
    result: Any
    error: Any
    progress: Any


class JobDetail(JobOut, kw_only=True):
    """A job with its history."""

    why: str
    log: str | None
    attempts: list[Any]
    effects: dict[str, Any]


class Jobs(msgspec.Struct):
    """A page of jobs."""

    jobs: list[JobOut]
    after: str | None  # where to go on; null: that was all
    looked: int  # jobs that were looked at


class QueueOut(msgspec.Struct):
    """A queue now; counts stop at 10,000."""

    name: str
    ready: int
    scheduled: int
    running: int
    oldest_due: int | None
    completions_per_minute: float
    paused_since: int | None
    slots: int


class WorkerOut(msgspec.Struct):
    """A worker now."""

    name: str
    alive: bool
    pid: int
    pool: str
    slots: int
    busy: int
    queues: list[str]
    running: list[str]  # ids of jobs
    lease_expires: int
    started: int
    memory: int | None  # bytes; null: it is on another host


class Status(msgspec.Struct):
    """What goes on."""

    now: int
    queues: list[QueueOut]
    workers: list[WorkerOut]


class TaskOut(msgspec.Struct):
    """What a task did in the last day; percentiles are upper bounds in microseconds."""

    task: str
    runs: int
    failed: int
    retried: int
    runtime_p50: float | None
    runtime_p95: float | None
    runtime_p99: float | None
    lateness_p50: float | None
    lateness_p95: float | None


class ScheduleOut(msgspec.Struct):
    """A schedule."""

    name: str
    runs: str  # in words
    task: str
    queue: str
    paused: bool
    next: int | None
    owner: str | None
    rule: Any
    args: Any
    kwargs: Any


class ItemOut(msgspec.Struct):
    """Something that is due."""

    at: int
    queue: str
    task: str
    kind: str
    length: int  # microseconds it is expected to take; 0: not known
    job: str | None
    schedule: str | None


class Future(msgspec.Struct):
    """What is due in a window: one by one, and how many in all."""

    start: int
    end: int
    items: list[ItemOut]
    total: dict[str, float]  # by queue
    complete: bool  # every stored job of the window is among the items


class Scale(msgspec.Struct):
    """How much a queue asks for, for autoscalers (KEDA's metrics-api)."""

    due: int  # jobs that are due, or will be in ``within`` seconds, and those that run; stops at 30,000


class AuditOut(msgspec.Struct):
    """Lines of the audit trail, newest first."""

    actions: list[Action]


class Do(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Something to be done to jobs."""

    verb: Literal["cancel", "terminate", "retry", "now", "move", "forget"]
    ids: Annotated[list[Text], Meta(min_length=1, max_length=LIMIT)]
    due: Instant | None = None  # of *move*, as the two below
    queue: Text | None = None
    priority: Annotated[int, Meta(ge=0, le=9)] | None = None


class Done(msgspec.Struct):
    """What each job answered."""

    verdicts: dict[str, str]  # by id
    changed: int


class DoQueue(msgspec.Struct, forbid_unknown_fields=True):
    """Pause a queue, or end its pause."""

    queue: Text
    paused: bool


class DoSchedule(msgspec.Struct, forbid_unknown_fields=True):
    """Pause, resume or run a schedule once."""

    name: Text
    verb: Literal["pause", "resume", "run"]


class Said(msgspec.Struct):
    """That it was done."""

    ok: bool
    job: str | None = None  # the one that was made


class Wrong(msgspec.Struct):
    """What is wrong, in words."""

    error: str


# -- looking -----------------------------------------------------------------------------------------


def answer(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def status(request: Request) -> Response:
    """Queues and workers now."""
    picture = site_of(request).watch.latest()
    queues = [
        QueueOut(
            row.name, row.ready, row.scheduled, row.running, row.oldest, row.completions, row.paused, row.slots
        )
        for row in picture.queues
    ]  # fmt: skip
    workers = [
        WorkerOut(
            row.label, row.alive, row.info.pid, row.info.pool, row.info.slots, row.busy, list(row.info.queues),
            [job.id for job in row.running], row.info.expires, row.info.started, row.memory,
        )
        for row in picture.workers
    ]  # fmt: skip
    return answer(Status(picture.at, queues, workers))


def jobs(request: Request) -> Response:
    """Jobs by the filter language of the jobs page."""
    site = site_of(request)
    try:
        wanted = parse(query(request, "q"), site.store.now(), zone_of(request))
    except BadQuery as exc:
        raise HTTPException(400, str(exc)) from None
    limit = _number(request, "limit", 50, 1, LIMIT)
    found = search(site.store, wanted, query(request, "after") or None, limit)
    now = site.store.now()
    return answer(Jobs([_job(job, now) for job in found.jobs], found.after, found.looked))


def job(request: Request) -> Response:
    """One job, with its history, and why it has not run."""
    site, id = site_of(request), _id(request)
    found = site.store.jobs(Filter(ids=(id,)), limit=1).jobs
    if not found:
        raise HTTPException(404, f"no job {id!r} in this store")
    it = found[0]
    fields = msgspec.structs.asdict(_job(it, site.store.now()))
    detail = JobDetail(
        **fields,
        why=explaining.why(site.store, id, zone_of(request)),
        log=None if it.log is None else it.log.decode("utf-8", "backslashreplace"),
        attempts=[attempt_data(one) for one in site.store.attempts(id)],
        effects={key: raw(value) for key, value in site.store.effects(id)},
    )
    return answer(detail)


def _job(job: JobView, now: int) -> JobOut:
    args, kwargs = call_parts(secrecy.visible(job))
    return JobOut(
        id=job.id, task=job.task, state=job.state_name(now), queue=job.queue, priority=job.priority, due=job.due,
        created=job.created, started=job.started, finished=job.finished, expires=job.expires, attempt=job.attempt,
        retries=job.retries, lost=job.lost, key=job.key, worker=job.worker, cancelling=job.cancelling, args=args,
        kwargs=kwargs, result=raw(job.result), error=raw(job.error), progress=raw(job.progress),
    )  # fmt: skip


def tasks(request: Request) -> Response:
    """What tasks did in the last day."""
    past = site_of(request).history.over(24)
    return answer([
        TaskOut(
            row.task, row.runs, row.failed, row.retried, *(_bound(row.runtime.percentile(p)) for p in (50, 95, 99)),
            *(_bound(row.lateness.percentile(p)) for p in (50, 95)),
        )
        for row in by_task(past.rows)
    ])  # fmt: skip


def _bound(value: float | None) -> float | None:
    """JSON has no infinity: what lies above the last bucket is said to be it twice."""
    return None if value is None else min(value, 2e11)


def schedules(request: Request) -> Response:
    """What recurs."""
    found = []
    for one in site_of(request).store.schedules():
        args, kwargs = call_parts(secrecy.visible(one))
        found.append(
            ScheduleOut(
                one.name, _words(one.rule), one.task, one.queue, one.paused, one.next, one.owner, raw(one.rule), args,
                kwargs,
            )
        )  # fmt: skip
    return answer(found)


def _words(rule: bytes) -> str:
    try:
        return scheduler.rule_of(rule).describe()
    except ConfigError as exc:
        return f"unreadable: {exc}"


def future(request: Request) -> Response:
    """What is due in a window; the next hour unless told otherwise."""
    site = site_of(request)
    now = site.store.now()
    start = _number(request, "from", now, 0, 253_402_300_799_999_999)
    end = _number(request, "to", start + 3_600_000_000, 0, 253_402_300_799_999_999)
    if not 0 < end - start <= 3 * 366 * 86_400_000_000:
        raise HTTPException(400, f"from {start} to {end}: expected at most three years, the end after the start")
    slots = {row.name: row.slots for row in site.watch.latest().queues}
    it = timeline(site.store, site.history.expected(), slots, start, end, zone_of(request))
    items = [
        ItemOut(one.at, one.lane, one.task, one.kind, one.length, one.job, one.schedule) for one in it.items[:LIMIT]
    ]
    return answer(Future(start, end, items, {lane.name: lane.total for lane in it.lanes}, it.complete))


def scale(request: Request) -> Response:
    """How many jobs of a queue run, are due, or will be soon: for autoscalers, so that workers are there in time."""
    site, name = site_of(request), query(request, "queue", "default")
    within = _number(request, "within", 60, 0, 86_400)
    now = site.store.now()
    found = next((one for one in site.store.counts() if one.queue == name), None)
    soon = site.store.due_counts([now, now + within * 1_000_000 + 1]).get(name, [0])[0]
    return answer(Scale(soon + (found.ready + found.running if found else 0)))


def audit(request: Request) -> Response:
    """The audit trail, newest first."""
    before = _number(request, "before", 0, 0, 2**62) or None
    return answer(AuditOut(site_of(request).store.actions(before, _number(request, "limit", 100, 1, LIMIT))))


def _id(request: Request) -> str:
    id = query(request, "id")
    if not id:
        raise HTTPException(400, "the address needs ?id=")
    return id


def _number(request: Request, name: str, usual: int, least: int, most: int) -> int:
    text = query(request, name)
    if not text:
        return usual
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        raise HTTPException(400, f"{name}={text!r}: expected a whole number, {least} to {most}")
    return int(text)


# -- changing ------------------------------------------------------------------------------------------


def taking(kind: type, handler: Callable[[Request, Any], Response]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that changes something: JSON of ``kind`` in, for viewers who may."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        must_may_change(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "send JSON: Content-Type: application/json")
        try:
            body = decoder.decode(await request.body())
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise HTTPException(400, f"this is no {kind.__name__}: {exc}") from None
        return await run_in_threadpool(handler, request, body)

    return endpoint


def do(request: Request, body: Do) -> Response:
    """Cancel, run, move or delete jobs; each answers."""
    site = site_of(request)
    change = Change(due=body.due, queue=body.queue, priority=body.priority)
    if (body.verb == "move") != (change != Change()):
        raise HTTPException(400, "due, queue and priority are for the verb move, which needs one of them")
    answers = apply(site.store, VERBS[body.verb], list(dict.fromkeys(body.ids)), change)
    what = f"job {body.ids[0]}" if len(body.ids) == 1 else f"{len(body.ids)} jobs"
    detail = "; ".join(part for part in (described(change), verdicts(answers)) if part)
    record(site.store, viewer_of(request).name, body.verb, what, detail, len(answers), changed(answers))
    return answer(Done({one.id: one.verdict for one in answers}, changed(answers)))


def do_queue(request: Request, body: DoQueue) -> Response:
    """Pause a queue, or end its pause."""
    store = site_of(request).store
    if body.paused:
        store.pause(body.queue)
    else:
        store.resume(body.queue)
    record(store, viewer_of(request).name, "pause" if body.paused else "resume", f"queue {body.queue}")
    return answer(Said(True))


def do_schedule(request: Request, body: DoSchedule) -> Response:
    """Pause, resume or run a schedule once."""
    store = site_of(request).store
    if not store.schedules([body.name]):
        raise HTTPException(404, f"no schedule {body.name!r}")
    made = None
    if body.verb == "pause":
        scheduler.pause(store, body.name)
    elif body.verb == "resume":
        scheduler.resume(store, body.name)
    else:
        made = scheduler.run_now(store, body.name)
    record(store, viewer_of(request).name, f"{body.verb} schedule", f"schedule {body.name}", made or "")
    return answer(Said(True, made))
