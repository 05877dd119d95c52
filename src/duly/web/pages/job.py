"""One job: everything about it, and what can be done to it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from duly import secrecy
from duly import why as explaining
from duly.cli.text import decode
from duly.errors import DecodeError, DulyError, DuplicateKey, TaskNotRegistered
from duly.ids import new_id
from duly.job import Change, Filter, Flag, Job, JobView
from duly.keepsake import readable
from duly.web import payload
from duly.web.actions import SAID, VERBS, apply, change_of, described, record
from duly.web.graph import draw, neighbours
from duly.web.language import lateness_of, runtime_of, term
from duly.web.live import part, stream
from duly.web.pages.jobs import due_of
from duly.web.pages.now import progress_of
from duly.web.show import Shown
from duly.web.site import Form, Site, base_of, changing, go, link, needed, render, site_of, viewer_of, zone_of


def find(site: Site, id: str) -> JobView:
    """Raises HTTPException when there is none."""
    jobs = site.store.jobs(Filter(ids=(id,)), limit=1).jobs
    if not jobs:
        raise HTTPException(404, f"no job {id!r} in this store: it never was here, or was forgotten or pruned")
    return jobs[0]


def job(request: Request) -> Response:
    """The page of one job."""
    it = find(site_of(request), needed(request, "id"))
    return render(request, "job.html", **_context(request, it))


def live(request: Request) -> Response:
    """Its page's changing part, whenever something about it has changed."""
    site, id = site_of(request), needed(request, "id")

    def look(seen: object) -> tuple[object, str] | None:
        it = find(site, id)
        mark = hash(
            (it.state, it.attempt, it.due, it.progress, it.args, it.queue, it.cancelling, it.lane, it.started)
        )
        moving = not it.state.final  # how long it has waited or run is shown, so it changes by itself
        if mark == seen and not moving:
            return None
        return mark, part(request, "job_live.html", **_context(request, it))

    return stream(look)


def _context(request: Request, it: JobView) -> dict[str, Any]:
    site = site_of(request)
    now = site.store.now()
    return {
        "now": now,
        "it": it,
        "live": link(request, "/job/live", id=it.id),
        "state_name": it.state_name(now),
        "attempts": list(reversed(site.store.attempts(it.id))),
        "effects": [(key, payload.pretty(value)) for key, value in site.store.effects(it.id)],
        "graph": draw(neighbours(site.store, it), it.id, Shown(now, zone_of(request), base_of(request))),
        "why": _why(site, it, zone_of(request)),
        "lateness": lateness_of(it, now),
        "runtime": runtime_of(it, now),
        "expected": site.history.expected().get(it.task),
        "progress": progress_of(it.progress),
        "error_of": payload.error_of,
        "args": payload.pretty(secrecy.visible(it)),
        "hides": bool(secrecy.sensitive(it.options)),
        "result": payload.pretty(it.result),
        "headers": payload.pretty(readable(it.headers)),
        "options": payload.pretty(it.options),
        "call": _call(it),
        "decode": lambda raw: decode(raw) if raw is not None else "",
        "alike": _alike(it),
        "same_task": term("task", it.task),
        "flags": [flag.name.lower().replace("_", " ") for flag in Flag if it.flags & flag and flag.name],
        "verbs": [verb for verb in VERBS.values() if verb.fits(it) and verb.name != "move"],
    }


def _why(site: Site, it: JobView, zone: Any) -> str:
    try:
        return explaining.why(site.store, it.id, zone)
    except DulyError as exc:
        return str(exc)


def _alike(it: JobView) -> str | None:
    """The query for failures like this one."""
    return f"state:failed fingerprint:{payload.fingerprint(it)}" if it.error is not None and it.state.final else None


def _call(it: JobView) -> str:
    """The call that makes such a job, as one would type it in Python."""
    found = payload.parsed(it)
    if found is None:
        return ""
    args, kwargs = found
    options = f", queue={it.queue!r}" + (f", priority={it.priority}" if it.priority else "")
    return f"app.send_task({it.task!r}, args={args!r}, kwargs={kwargs!r}{options})"


# -- changing it -----------------------------------------------------------------------------------


@changing
def act(request: Request, form: Form) -> Response:
    """Cancel, kill, run again, run now, delete."""
    site, id, name = site_of(request), form.needed("id"), form.needed("verb")
    verb = VERBS.get(name)
    if verb is None or name == "move":
        raise HTTPException(400, f"verb {name!r}: expected one of {', '.join(VERBS)}")
    [answer] = apply(site.store, verb, [id], Change())
    done = answer.verdict not in ("too late", "unknown", "key taken")
    record(site.store, viewer_of(request).name, name, f"job {id}", answer.verdict, done=int(done))
    if answer.verdict == "forgotten":  # type: ignore[comparison-overlap]
        return go(request, "/jobs", said=f"Job {id}: {SAID['forgotten']}")
    return go(request, "/job", said=SAID.get(answer.verdict, answer.verdict), id=id)


@changing
def move(request: Request, form: Form) -> Response:
    """Another due, queue, priority or arguments for a waiting job."""
    site, id = site_of(request), form.needed("id")
    it = find(site, id)
    try:
        change = _wanted(request, form, it)
    except (ValueError, DulyError) as exc:
        return render(request, "job.html", 400, **_context(request, it), wrong=str(exc), typed=form.get("args"))
    [answer] = site.store.move(Filter(ids=(id,)), change)
    moved = answer.verdict == "moved"
    record(site.store, viewer_of(request).name, "move", f"job {id}", described(change), done=int(moved))
    return go(request, "/job", said=SAID[answer.verdict], id=id)


def _wanted(request: Request, form: Form, it: JobView) -> Change:
    """Raises ValueError, DecodeError."""
    args = edited(site_of(request), form.get("args"), it)
    if args is not None and not (form.get("due") or form.get("queue") or form.get("priority")):
        return Change(args=args)
    change = change_of(due_of(request, form.get("due")), form.get("queue"), form.get("priority"))
    return msgspec.structs.replace(change, args=args)


@changing
def again(request: Request, form: Form) -> Response:
    """A new job of the same task, with these arguments, now or at a time."""
    site = site_of(request)
    it = find(site, form.needed("id"))
    try:
        due = due_of(request, form.get("due"))
        args = edited(site, form.get("args"), it) or it.args
    except (ValueError, DulyError) as exc:
        return render(request, "job.html", 400, **_context(request, it), wrong=str(exc), typed=form.get("args"))
    made = Job(
        id=new_id(), task=it.task, due=due if due is not None else site.store.now(), args=args, queue=it.queue,
        priority=it.priority, headers=it.headers, options=it.options, flags=it.flags, limit_key=it.limit_key,
    )  # fmt: skip
    try:
        site.store.enqueue([made])
    except DuplicateKey as exc:
        raise HTTPException(409, str(exc)) from None
    record(site.store, viewer_of(request).name, "run again with edits", f"job {it.id}", f"as job {made.id}")
    return go(request, "/job", said="A new job, with these arguments.", id=made.id)


def edited(site: Site, typed: str, it: JobView) -> bytes | None:
    """Arguments from a form as they are stored; None if they are what they were.

    Checked against the task's signature where its app is at hand. Raises ValueError, DecodeError.
    """
    if not typed.strip():
        return None
    args = payload.restored(typed.encode(), it)
    if payload.is_same_call(args, it.args):
        return None
    if site.app is not None:
        try:
            task = site.app.find(it.task)
        except TaskNotRegistered:
            return args
        try:
            task.codec.decode_args(args)
        except DecodeError as exc:
            raise ValueError(f"these arguments do not fit task {it.task}: {exc}") from None
    return args
