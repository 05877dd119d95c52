"""Now: queues, workers, the last hour; live."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from duly.control import Control
from duly.web import payload
from duly.web.actions import record
from duly.web.language import term
from duly.web.live import part, stream
from duly.web.site import Form, changing, go, link, render, site_of, viewer_of
from duly.web.snapshot import Series, Snapshot


def now(request: Request) -> Response:
    """The first page."""
    return render(request, "now.html", **_context(request, site_of(request).watch.latest()))


def live(request: Request) -> Response:
    """A stream of the page's changing part: one event for each new picture."""
    watch = site_of(request).watch

    def look(seen: object) -> tuple[object, str] | None:
        picture = watch.latest()
        if picture.number == seen:
            return None
        return picture.number, part(request, "now_live.html", **_context(request, picture))

    return stream(look)


def _context(request: Request, picture: Snapshot) -> dict[str, Any]:
    return {
        "now": picture.at,
        "it": picture,
        "live": link(request, "/live"),
        "throughput": chart(
            picture.series.minutes,
            [
                {"label": "succeeded", "values": picture.series.succeeded, "color": "good", "fill": True},
                {"label": "failed or to be run again", "values": picture.series.failed, "color": "bad", "fill": True},
            ],
        ),
        "lateness": _lateness(picture.series),
        "error_of": payload.error_of,
        "progress_of": progress_of,
        "call_text": payload.call_text,
        "term": term,
    }


def chart(x: list[int], series: list[dict[str, Any]], **more: Any) -> str:
    """What ``duly.js`` draws."""
    return msgspec.json.encode({"x": x, "series": series, **more}).decode()


def _lateness(series: Series) -> str:
    lines = [
        {"label": "95 %", "values": series.late95, "color": "warn"},
        {"label": "half", "values": series.late50, "color": "accent"},
    ]
    return chart(series.minutes, lines, unit="s", log=True)


def progress_of(stored: bytes | None) -> dict[str, Any] | None:
    """A job's progress as it was reported."""
    if stored is None:
        return None
    try:
        found = msgspec.json.decode(stored, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
    return {"done": found.get("done", 0), "total": found.get("total"), "note": found.get("note")}


@changing
def pause(request: Request, form: Form) -> Response:
    """Start nothing from a queue, or go on."""
    store, queue = site_of(request).store, form.needed("queue")
    if form.get("paused") == "yes":
        store.resume(queue)
        record(store, viewer_of(request).name, "resume", f"queue {queue}")
        return go(request, "/", said=f"Queue {queue} goes on.")
    store.pause(queue)
    record(store, viewer_of(request).name, "pause", f"queue {queue}")
    return go(request, "/", said=f"Queue {queue} is paused: what runs goes on, nothing else starts.")


@changing
def shut_down(request: Request, form: Form) -> Response:
    """Ask a worker to finish what it runs and leave."""
    store, node = site_of(request).store, form.needed("worker")
    answers = Control(lambda: store).shutdown(node)
    record(store, viewer_of(request).name, "shut down", f"worker {node}", done=len(answers))
    said = f"{node} finishes what it runs and leaves." if answers else f"{node} did not answer."
    return go(request, "/", said=said)
