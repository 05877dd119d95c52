"""The future: a timeline to zoom and walk through, the same as a table, and as a calendar."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from duly.cli import times
from duly.clock import MICROS
from duly.web.drawing import address, draw
from duly.web.ics import calendar
from duly.web.show import Shown
from duly.web.site import base_of, link, query, render, site_of, zone_of
from duly.web.timeline import BINS, SPANS, Timeline, timeline

LISTED = 60  # rows of the table
DEFAULT = "1h"
CALENDAR = 60 * 86_400  # seconds ahead that the calendar shows
_BEHIND = 0.04  # of the window lies behind now
_LEAST, _MOST = 10, 3 * 366 * 86_400  # seconds


def future(request: Request) -> Response:
    """The page."""
    now = site_of(request).store.now()
    start, end = _window(request, now)
    it = _timeline(request, start, end)
    shown = Shown(now=now, zone=zone_of(request), base=base_of(request))
    width = end - start
    return render(
        request, "future.html", now=now, it=it, drawing=draw(it, shown), spans=SPANS, listed=it.items[:LISTED],
        hidden=max(0, len(it.items) - LISTED), address=lambda item: address(item, shown),
        span_name=_span_name(width), ics=link(request, "/future.ics"), **_steps(request, start, width, now),
    )  # fmt: skip


def ics(request: Request) -> Response:
    """The next CALENDAR seconds, as far as jobs are listed one by one."""
    site = site_of(request)
    now = site.store.now()
    it = _timeline(request, now, now + CALENDAR * MICROS)
    items = [item for item in it.items if item.kind not in ("running", "withheld")]
    name = f"duly {site.app.name}" if site.app is not None else "duly"
    return Response(calendar(items, now, name), media_type="text/calendar; charset=utf-8")


def _timeline(request: Request, start: int, end: int) -> Timeline:
    site = site_of(request)
    slots = {row.name: row.slots for row in site.watch.latest().queues}
    return timeline(site.store, site.history.expected(), slots, start, end, zone_of(request))


def _window(request: Request, now: int) -> tuple[int, int]:
    """From the address: from and to in seconds since 1970, or a span that begins about now."""
    begin, until = query(request, "from"), query(request, "to")
    if not begin:
        width = _span(query(request, "span", DEFAULT)) * MICROS
        start = now - int(width * _BEHIND)
        return start, start + width
    start = _second(begin)
    end = _second(until) if until else start + _span(query(request, "span", DEFAULT))
    if not _LEAST <= end - start <= _MOST:
        middle = (start + end) // 2
        half = min(max(abs(end - start), _LEAST), _MOST) // 2
        start, end = max(middle - half, 0), middle + half
    return start * MICROS, end * MICROS


def _second(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) * MICROS > times.MAX_INSTANT:
        raise HTTPException(400, f"{text!r}: expected seconds since 1970, up to the year 9999")
    return int(text)


def _span(text: str) -> int:
    if text not in SPANS:
        raise HTTPException(400, f"span {text!r}: expected one of {', '.join(SPANS)}")
    return SPANS[text]


def _span_name(width: int) -> str:
    return next((name for name, seconds in SPANS.items() if seconds * MICROS == width), "")


def _steps(request: Request, start: int, width: int, now: int) -> dict[str, Any]:
    """The addresses that zoom in and out and walk to both sides."""
    seconds, begin = max(width // MICROS, _LEAST), start // MICROS

    def window(first: int, length: int) -> str:
        first = max(first, 0)
        return link(request, "/future", **{"from": first, "to": min(first + length, times.MAX_INSTANT // MICROS)})

    smaller = max((span for span in SPANS.values() if span < seconds), default=_LEAST)
    larger = min((span for span in SPANS.values() if span > seconds), default=seconds)
    anchor = now // MICROS if start <= now <= start + width else begin + seconds // 2
    at = (anchor - begin) / seconds  # where the anchor lies stays where it is
    return {
        "closer": window(int(anchor - smaller * at), smaller),
        "further": window(int(anchor - larger * at), larger),
        "earlier": window(begin - seconds // 2, seconds),
        "later": window(begin + seconds // 2, seconds),
        "column": times.span(width // BINS),
    }
