"""What a benchmark prints and saves: percentiles, tables with ratios, the machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Column:
    """One figure of a program."""

    key: str
    title: str
    better: str | None = None  # "more" or "less": ratios are shown for it
    places: int = 0  # digits after the point


Values = dict[str, dict[str, list[float]]]
"""side -> figure -> one value per repetition"""


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)]


def rate(starts: Sequence[int]) -> float:
    """Jobs a second from the first start to the last."""
    return (len(starts) - 1) / ((max(starts) - min(starts)) / 1e9)


def print_table(columns: Sequence[Column], values: Values) -> None:
    rows = [["", *(column.title for column in columns)]]
    for side, figures in values.items():
        cells = [cell(column, figures.get(column.key), values, side) for column in columns]
        rows.append([side, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  " + row[0].ljust(widths[0]) + "".join(f"   {c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))
        )
    sys.stdout.flush()


def cell(column: Column, figures: list[float] | None, values: Values, side: str) -> str:
    """``median (min-max)``, and for another side than duly by how much duly is better."""
    if not figures:
        return "-"
    middle = statistics.median(figures)
    text = f"{middle:,.{column.places}f}"
    if len(figures) > 1:
        text += f" ({min(figures):,.{column.places}f}-{max(figures):,.{column.places}f})"
    rival = beside(side, values)
    ours = values.get(rival, {}).get(column.key)
    if column.better and not side.startswith("duly") and ours and middle and statistics.median(ours):
        ratio = statistics.median(ours) / middle
        text += f"  {rival} x{ratio if column.better == 'more' else 1 / ratio:.2f}"
    return text


def beside(side: str, values: Values) -> str:
    """The side of duly that another library is compared with: on the same server, else on SQLite."""
    same = f"duly-{side.partition('-')[2]}"
    return same if same in values else "duly"


def progress(text: str) -> None:
    """A line that the next one replaces; nothing when nobody is looking."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save(program: str, text: str, values: Values, reps: int, scale: float, placement: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    document = {
        "program": program,
        "text": text,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "placement": placement,
        "reps": reps,
        "scale": scale,
        "values": values,
    }
    (RESULTS / f"{program}.json").write_text(json.dumps(document, indent=1) + "\n")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    versions = {}
    for library in (
        "celery",
        "dramatiq",
        "duly",
        "hiredis",
        "huey",
        "kombu",
        "msgspec",
        "oban",
        "pgqueuer",
        "procrastinate",
        "psycopg",
        "redis",
        "rq",
        "taskiq",
    ):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": versions,
    }
