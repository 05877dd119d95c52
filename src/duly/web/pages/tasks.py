"""Tasks: how long they take, how often they fail, how late they start; over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from duly.cli.status import standings
from duly.clock import MICROS
from duly.messages import BUCKETS, Rollup
from duly.percentiles import Histogram, histograms
from duly.web.history import FAILURES, RECENT, History, Past, TaskRow, by_task
from duly.web.language import term
from duly.web.pages.now import chart
from duly.web.show import percent, span
from duly.web.site import needed, query, render, site_of

RANGES = {"1h": 1, "6h": 6, "1d": 24, "1w": 168}
"""Hours that one may look back."""

DEFAULT = "1d"

_ORDERS = {
    "runs": lambda row: -row.runs,
    "failing": lambda row: -(row.failed / row.runs if row.runs else 0),
    "slowest": lambda row: -(row.runtime.percentile(95) or 0),
    "late": lambda row: -(row.lateness.percentile(95) or 0),
    "name": lambda row: row.task,
}


def tasks(request: Request) -> Response:
    """All of them."""
    hours, order = _hours(request), query(request, "order", "runs")
    if order not in _ORDERS:
        raise HTTPException(400, f"order {order!r}: expected one of {', '.join(_ORDERS)}")
    past = _past(site_of(request).history, hours)
    rows = sorted(by_task(past.rows), key=_ORDERS[order])
    seen = {row.task for row in rows}
    store = site_of(request).store
    workers = standings(store.workers(), (), store.now())
    idle = sorted({task for worker in workers if worker.alive for task in worker.info.tasks} - seen)
    return render(
        request, "tasks.html", rows=rows, idle=idle, missing=past.missing, **_ranges(request), orders=_ORDERS,
        order=order,
    )  # fmt: skip


def task(request: Request) -> Response:
    """One of them, over time."""
    hours, name = _hours(request), needed(request, "name")
    past = _past(site_of(request).history, hours)
    mine = [row for row in past.rows if row.task == name]
    [row] = by_task(mine) or [TaskRow(name, 0, 0, 0, Histogram(), Histogram())]
    charts = _charts(mine, hours, site_of(request).store.now())
    return render(
        request, "task.html", row=row, missing=past.missing, **_ranges(request), **charts,
        outcomes=_outcomes(mine), runtime_bars=bars(row.runtime), lateness_bars=bars(row.lateness),
        failed_query=f"state:failed {term('task', name)}", jobs_query=term("task", name), share=percent,
    )  # fmt: skip


def _ranges(request: Request) -> dict[str, Any]:
    """What is needed to choose another range."""
    return {"ranges": RANGES, "hours": _hours(request), "ranges_name": query(request, "range", DEFAULT)}


def _hours(request: Request) -> int:
    text = query(request, "range", DEFAULT)
    if text not in RANGES:
        raise HTTPException(400, f"range {text!r}: expected one of {', '.join(RANGES)}")
    return RANGES[text]


def _past(history: History, hours: int) -> Past:
    return Past(history.recent(), 0) if hours == 1 else history.over(hours)


def _outcomes(rows: Sequence[Rollup]) -> list[tuple[str, int]]:
    found: Counter[str] = Counter()
    for row in rows:
        if row.measure in ("runtime", "count"):
            found[row.outcome] += row.n
    return found.most_common()


def _charts(rows: Sequence[Rollup], hours: int, now: int) -> dict[str, Any]:
    """By minute for an hour, by hour for more."""
    wide = 1 if hours == 1 else 60  # minutes
    last = now // (60 * MICROS) // wide
    steps = range(last - (RECENT if hours == 1 else hours) + 1, last + 1)
    runtime = histograms(rows, "runtime", lambda row: row.minute // wide)
    lateness = histograms(rows, "lateness", lambda row: row.minute // wide)
    ended: Counter[tuple[int, bool]] = Counter()
    for row in rows:
        if row.measure in ("runtime", "count"):
            ended[row.minute // wide, row.outcome in FAILURES] += row.n
    x = [step * wide * 60 for step in steps]

    def line(found: dict[int, Histogram], share: float) -> list[float | None]:
        values = [found[step].percentile(share) if step in found else None for step in steps]
        return [None if value is None else min(value / MICROS, 86_400.0) for value in values]

    days = hours > 24

    def percentiles(found: dict[int, Histogram]) -> str:
        lines = [
            {"label": "99 %", "values": line(found, 99), "color": "bad"},
            {"label": "95 %", "values": line(found, 95), "color": "warn"},
            {"label": "half", "values": line(found, 50), "color": "accent"},
        ]
        return chart(x, lines, unit="s", log=True, days=days)

    counts = [
        {"label": "runs", "values": [ended[s, False] + ended[s, True] for s in steps], "color": "good", "fill": True},
        {"label": "failed", "values": [ended[s, True] for s in steps], "color": "bad", "fill": True},
    ]
    return {
        "runs_chart": chart(x, counts, days=days),
        "runtime_chart": percentiles(runtime),
        "lateness_chart": percentiles(lateness),
        "per": "minute" if wide == 1 else "hour",
    }


def bars(histogram: Histogram, target: float | None = None, group: int = 3) -> list[tuple[str, float, int, bool]]:
    """A histogram's buckets, ``group`` to a bar, from the first one with values to the last: up to, height, how
    many, and whether that is within the target."""
    if not histogram.n:
        return []
    grouped: Counter[int] = Counter()
    for bucket, n in histogram.counts.items():
        grouped[bucket // group] += n
    most = max(grouped.values())
    found = []
    for index in range(min(grouped), max(grouped) + 1):
        top = index * group + group - 1
        bound = BUCKETS[top] if top < len(BUCKETS) else float("inf")
        good = target is None or bound <= target
        found.append((span(bound), grouped[index] / most, grouped[index], good))
    return found
