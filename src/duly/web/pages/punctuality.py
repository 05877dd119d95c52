"""Punctuality: how many jobs started on time, by queue and day, against a target."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from duly.cli import times
from duly.clock import from_micros
from duly.messages import BUCKETS
from duly.percentiles import Histogram
from duly.web.history import HOUR
from duly.web.pages.tasks import bars
from duly.web.show import percent
from duly.web.site import query, render, site_of, zone_of

TARGET, GOAL, DAYS = "1s", "99.9", 7
_MOST_DAYS = 30


@dataclass
class Row:
    """A queue's punctuality."""

    queue: str
    days: dict[date, Histogram] = field(default_factory=dict)
    whole: Histogram = field(default_factory=Histogram)


def punctuality(request: Request) -> Response:
    """The table and a histogram for each queue."""
    target, goal, days = _wanted(request)
    zone = zone_of(request)
    site = site_of(request)
    hours, missing = site.history.lateness(days * 24)
    rows: dict[str, Row] = {}
    for hour, queues in hours.items():
        day = from_micros(hour * HOUR, zone).date()
        for queue, histogram in queues.items():
            row = rows.setdefault(queue, Row(queue))
            _add(row.days.setdefault(day, Histogram()), histogram)
            _add(row.whole, histogram)
    shown_days = sorted({day for row in rows.values() for day in row.days})
    return render(
        request, "punctuality.html", rows=sorted(rows.values(), key=lambda row: row.queue), days=shown_days,
        missing=missing, target=target, goal=goal, n_days=days, target_text=times.span(target), bars=bars,
        on_time=lambda histogram: on_time(histogram, target), share=lambda part: percent(part, 2),
    )  # fmt: skip


def on_time(histogram: Histogram | None, target: float) -> float | None:
    """The share of starts no later than the target; a bucket counts as on time if all of it is."""
    if histogram is None or not histogram.n:
        return None
    good = sum(n for bucket, n in histogram.counts.items() if bucket < len(BUCKETS) and BUCKETS[bucket] <= target)
    return good / histogram.n


def rounded_target(micros: int) -> int:
    """A target as the buckets can tell it: the nearest bound, so that nothing is counted that cannot be known."""
    return min(BUCKETS, key=lambda bound: abs(bound - micros))


def _wanted(request: Request) -> tuple[int, float, int]:
    try:
        target = rounded_target(times.parse_span(query(request, "target") or TARGET))
    except times.BadTime as exc:
        raise HTTPException(400, str(exc)) from None
    try:
        goal = float(query(request, "goal") or GOAL)
        days = int(query(request, "days") or DAYS)
    except ValueError:
        raise HTTPException(400, "goal and days are numbers: ?target=1s&goal=99.9&days=7") from None
    if not 0 < goal <= 100 or not 1 <= days <= _MOST_DAYS:
        raise HTTPException(400, f"goal: above 0 up to 100 (%); days: 1 to {_MOST_DAYS}")
    return target, goal / 100, days


def _add(into: Histogram, more: Histogram) -> None:
    for bucket, n in more.counts.items():
        into.add(bucket, n, 0)
    into.total += more.total
