"""Jobs: the list by a filter, and what is done to a selection or to all that match."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from duly.cli import times
from duly.job import STATE_NAMES, Change
from duly.messages import Action
from duly.store.contract import Order
from duly.web import bulk, payload
from duly.web.actions import VERBS, change_of, described
from duly.web.language import NAMES, BadQuery, Query, lateness_of, parse, runtime_of, suggestions
from duly.web.search import search
from duly.web.site import (
    Form,
    Site,
    changing,
    go,
    is_partial,
    link,
    query,
    render,
    site_of,
    viewer_of,
    zone_of,
)  # fmt: skip

PAGE = 50
BULK_VERBS = ("cancel", "retry", "now", "move", "forget")
_ORDERS: dict[str, Order] = {"due": "due", "newest": "newest"}


def asked(request: Request, text: str | None = None) -> Query:
    """The query of a request. Raises BadQuery."""
    given = query(request, "q") if text is None else text
    return parse(given, site_of(request).store.now(), zone_of(request), _ORDERS.get(query(request, "order")))


def jobs(request: Request) -> Response:
    """A page of the jobs that match, or, for a script, the rows that follow."""
    try:
        wanted = asked(request)
    except BadQuery as exc:
        return render(request, "jobs.html", 400, **_about(request), wrong=str(exc), found=None)
    found = search(site_of(request).store, wanted, query(request, "after") or None, PAGE)
    context = {**_about(request), "wrong": "", "found": found, "order": wanted.order}
    if found.after is not None:
        looked = found.looked + _whole(query(request, "looked"))
        more = {"q": wanted.text, "order": query(request, "order") or None, "after": found.after, "looked": looked}
        context |= {"more": link(request, "/jobs", **more), "looked": looked}
    rows_only = is_partial(request) and "after" in request.query_params
    return render(request, "jobs_rows.html" if rows_only else "jobs.html", **context)


def _about(request: Request) -> dict[str, Any]:
    now = site_of(request).store.now()
    return {
        "now": now,
        "q": query(request, "q"),
        "order": query(request, "order"),
        "more": None,
        "looked": 0,
        "names": NAMES,
        "verbs": [VERBS[name] for name in BULK_VERBS],
        "call_text": payload.call_text,
        "error_of": payload.error_of,
        "lateness": lambda job: lateness_of(job, now),
        "runtime": lambda job: runtime_of(job, now),
    }


def suggest(request: Request) -> Response:
    """Options for the filter's list of suggestions."""
    found = suggestions(query(request, "q"), _values(site_of(request)))
    return render(request, "suggestions.html", options=found)


def _values(site: Site) -> dict[str, Iterable[str]]:
    """What is known to be there."""
    picture = site.watch.latest()
    tasks = {task for worker in picture.workers for task in worker.info.tasks} | set(
        site.app.tasks if site.app else ()
    )
    tasks |= {row.task for row in site.history.recent()}
    return {
        "state": (*STATE_NAMES, "waiting", "ended", "live"),
        "task": sorted(tasks),
        "queue": [row.name for row in picture.queues],
        "worker": [row.label for row in picture.workers],
        "due": ("<1m", "<1h", "<1d", ">1d", "<now", "today..+1d"),
        "created": ("<1m", "<1h", "<1d"),
        "finished": ("<1m", "<1h", "<1d"),
        "started": ("<1m", "<1h", "<1d"),
        "late": (">1s", ">1m"),
        "runtime": (">1s", ">1m"),
        "attempt": (">1",),
        "lost": (">0",),
    }


# -- on many ---------------------------------------------------------------------------------------


def preview(request: Request) -> Response:
    """What an action on a selection would do; with the button that does it."""
    return _preview(request, request.query_params.getlist("id"))


def preview_all(request: Request) -> Response:
    """The same for all that match, whatever is selected."""
    return _preview(request, [])


def _preview(request: Request, ids: list[str]) -> Response:
    try:
        order = _order(request, query(request, "verb"), ids, query(request, "q"))
    except BadQuery as exc:
        raise HTTPException(400, str(exc)) from None
    return render(
        request, "bulk.html", verb=order.verb, q=query(request, "q"), ids=ids, until=order.until, wrong="",
        it=bulk.preview(site_of(request).store, order), call_text=payload.call_text,
    )  # fmt: skip


@changing
def start(request: Request, form: Form) -> Response:
    """Do it, in the background; on to the page that says how far it is."""
    site = site_of(request)
    try:
        order = _order(request, form.needed("verb"), form.all("id"), form.get("q"), form)
    except (BadQuery, ValueError) as exc:
        raise HTTPException(400, str(exc)) from None
    now = site.store.now()
    what = f"jobs {order.query.text or '(all)'}" if order.query is not None else f"{len(order.ids):,} selected jobs"
    action = Action(
        at=now, who=viewer_of(request).name, verb=order.verb.name, what=what, detail=described(order.change),
        total=len(order.ids) or _whole(form.get("expected")), state="running", updated=now,
    )  # fmt: skip
    return go(request, "/audit/action", id=site.bulk.start(order, action))


def _order(request: Request, verb: str, ids: list[str], text: str, form: Form | None = None) -> bulk.Order:
    if verb not in BULK_VERBS:
        raise HTTPException(400, f"verb {verb!r}: expected one of {', '.join(BULK_VERBS)}")
    now = site_of(request).store.now()
    change = Change()
    if form is not None and verb == "move":
        change = change_of(due_of(request, form.get("due")), form.get("queue"), form.get("priority"))
    until = _whole(form.get("until")) or now if form is not None else now
    wanted = None if ids else parse(text, now, zone_of(request), _ORDERS.get(query(request, "order")))
    return bulk.Order(VERBS[verb], change, wanted, ids, until)


def _whole(text: str) -> int:
    """A number that a page of ours has given along; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def due_of(request: Request, text: str) -> int | None:
    """The instant a form names. Raises ValueError."""
    if not text.strip():
        return None
    return times.parse_instant(text, site_of(request).store.now(), zone_of(request))
