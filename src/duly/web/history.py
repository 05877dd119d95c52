"""The store's statistics, kept so that no page reads the same minutes twice.

The last hour is kept by minute, the days before it by hour. An hour that is over does not change any more, so it
is read once. A long range is added up a piece at a time: whoever asks gives the seconds it may take, and is told
how many hours are still missing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from duly.clock import MICROS
from duly.messages import Rollup
from duly.percentiles import Histogram, histograms
from duly.store.contract import Store

MINUTE = 60 * MICROS
HOUR = 60 * MINUTE
RECENT = 60  # minutes that are kept one by one
SLACK = 3  # minutes for outcomes to arrive: what is older does not change
FRESH = 1.5  # seconds before the last minutes are read again
KEPT = 24 * 8  # hours kept with all their rows; of older ones only the lateness of each queue stays


@dataclass(frozen=True)
class Past:
    """The statistics of some hours."""

    rows: list[Rollup]  # of past hours added up: their minute is the hour's first
    missing: int  # hours that are not added up yet


@dataclass(frozen=True)
class TaskRow:
    """What one task did."""

    task: str
    runs: int
    failed: int  # failed, lost or uncertain
    retried: int
    runtime: Histogram
    lateness: Histogram


class History:
    """The past of one store. Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._minutes: dict[int, list[Rollup]] = {}
        self._through = 0  # the last minute that was read
        self._read_at = -FRESH  # monotonic
        self._hours: OrderedDict[int, list[Rollup]] = OrderedDict()
        self._late: dict[int, dict[str, Histogram]] = {}
        self._expected: tuple[float, dict[str, float]] = (-60.0, {})

    def recent(self) -> list[Rollup]:
        """The rows of the last RECENT minutes, the current one included."""
        with self._lock:
            now = self._store.now()
            current = now // MINUTE
            if time.monotonic() - self._read_at >= FRESH:
                self._read(max(current - RECENT, min(self._through, current) - SLACK), current)
            return [row for minute in sorted(self._minutes) for row in self._minutes[minute]]

    def _read(self, first: int, last: int) -> None:
        rows = self._store.rollups(first * MINUTE, (last + 1) * MINUTE)
        for minute in range(first, last + 1):
            self._minutes[minute] = []
        for row in rows:
            self._minutes.setdefault(row.minute, []).append(row)
        for minute in [minute for minute in self._minutes if not last - RECENT <= minute <= last]:
            del self._minutes[minute]
        self._through, self._read_at = last, time.monotonic()

    def over(self, hours: int, seconds: float = 0.5) -> Past:
        """The last ``hours`` (KEPT at most), adding up for ``seconds`` at most what is not known yet."""
        current = self._store.now() // HOUR
        closed, open_rows = self._split(current)
        missing = self._load(range(current - hours + 1, closed + 1), seconds)
        with self._lock:
            past = [row for hour in range(current - hours + 1, closed + 1) for row in self._hours.get(hour, ())]
        return Past(past + open_rows, missing)

    def lateness(self, hours: int, seconds: float = 0.5) -> tuple[dict[int, dict[str, Histogram]], int]:
        """Lateness by hour (since 1970) and queue, and how many hours are missing."""
        current = self._store.now() // HOUR
        closed, open_rows = self._split(current)
        missing = self._load(range(current - hours + 1, closed + 1), seconds)
        with self._lock:
            found = {hour: self._late[hour] for hour in range(current - hours + 1, closed + 1) if hour in self._late}
        for hour in range(closed + 1, current + 1):
            found[hour] = histograms(
                (row for row in open_rows if row.minute // 60 == hour), "lateness", lambda row: row.queue
            )
        return found, missing

    def _split(self, current: int) -> tuple[int, list[Rollup]]:
        """The last hour that does not change any more, and the rows of the minutes after it."""
        minute = self._store.now() // MINUTE
        closed = current - 1 if minute % 60 >= SLACK else current - 2
        if closed == current - 2:  # the hour before is not kept by minute as a whole
            rows = self._store.rollups((closed + 1) * HOUR, (current + 1) * HOUR)
        else:
            rows = [row for row in self.recent() if row.minute // 60 > closed]
        return closed, rows

    def _load(self, wanted: Iterable[int], seconds: float) -> int:
        """Add up hours, the newest first; gives how many of them are left."""
        end = time.monotonic() + seconds
        missing = [hour for hour in wanted if hour not in self._late]
        while missing and time.monotonic() < end:
            hour = missing.pop()
            rows = _merged(hour, self._store.rollups(hour * HOUR, (hour + 1) * HOUR))
            with self._lock:
                self._hours[hour] = rows
                self._late[hour] = histograms(rows, "lateness", lambda row: row.queue)
                for old in sorted(self._hours)[: max(0, len(self._hours) - KEPT)]:
                    del self._hours[old]
        return len(missing)

    def expected(self) -> dict[str, float]:
        """How long each task takes, in µs: the middle run of the last day."""
        at, known = self._expected
        if time.monotonic() - at >= 60.0:
            runs = histograms(self.over(24, 0.2).rows, "runtime", lambda row: row.task)
            known = {task: found for task, runtime in runs.items() if (found := runtime.percentile(50)) is not None}
            self._expected = (time.monotonic(), known)
        return known


def _merged(hour: int, rows: Iterable[Rollup]) -> list[Rollup]:
    """The rows of an hour's minutes, added up."""
    sums: dict[tuple[str, str, str, str, int], list[int]] = {}
    for row in rows:
        entry = sums.setdefault((row.queue, row.task, row.outcome, row.measure, row.bucket), [0, 0])
        entry[0] += row.n
        entry[1] += row.total
    return [Rollup(hour * 60, *key, n, total) for key, (n, total) in sums.items()]


FAILURES = ("failed", "lost", "uncertain")
"""Outcomes of an attempt that went wrong for good, or took its worker with it."""


def by_task(rows: Iterable[Rollup]) -> list[TaskRow]:
    """What each task did, the busiest first."""
    kept = list(rows)
    runs: dict[str, dict[str, int]] = {}
    for row in kept:
        if row.measure in ("runtime", "count"):  # each attempt has one row of these
            outcomes = runs.setdefault(row.task, {})
            outcomes[row.outcome] = outcomes.get(row.outcome, 0) + row.n
    runtime = histograms(kept, "runtime", lambda row: row.task)
    lateness = histograms(kept, "lateness", lambda row: row.task)
    found = [
        TaskRow(
            task=task,
            runs=sum(outcomes.values()),
            failed=sum(outcomes.get(name, 0) for name in FAILURES),
            retried=outcomes.get("retry", 0),
            runtime=runtime.get(task, Histogram()),
            lateness=lateness.get(task, Histogram()),
        )
        for task, outcomes in runs.items()
    ]
    return sorted(found, key=lambda row: (-row.runs, row.task))
