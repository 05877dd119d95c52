"""``/metrics`` for Prometheus: what the store knows, in its text format.

Gauges are the store's own numbers (which stop at COUNT_CAP). Counters and histograms are the minutes' statistics
added up since this process began to look: they only grow, and begin anew when the process does, which is what
Prometheus expects of a counter. One process asks for all workers, because the store has everything; if several
dashboards are scraped, take the maximum over them, not the sum.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from duly.clock import MICROS
from duly.messages import BUCKETS, Rollup
from duly.percentiles import Histogram
from duly.store.contract import Store
from duly.web.history import MINUTE
from duly.web.site import site_of
from duly.web.snapshot import Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BOUNDS = range(2, len(BUCKETS), 3)
"""Which of BUCKETS are bounds of the histograms: every third, 0.2 ms to a day, each 3.4 times the last."""

SETTLED = 10
"""Minutes after which a minute's statistics are taken for final. Outcomes of a worker that was cut off from its store
for longer are missing here, and nowhere else."""

_Key = tuple[str, str, str]  # queue, task, outcome


@dataclass
class Sums:
    """Statistics added up."""

    finished: dict[_Key, int] = field(default_factory=dict)
    runtime: dict[tuple[str, str], Histogram] = field(default_factory=dict)  # by queue and task
    lateness: dict[str, Histogram] = field(default_factory=dict)  # by queue

    def add(self, rows: Iterable[Rollup]) -> None:
        for row in rows:
            if row.measure in ("runtime", "count"):
                key = (row.queue, row.task, row.outcome)
                self.finished[key] = self.finished.get(key, 0) + row.n
            if row.measure == "runtime":
                self.runtime.setdefault((row.queue, row.task), Histogram()).add(row.bucket, row.n, row.total)
            elif row.measure == "lateness":
                self.lateness.setdefault(row.queue, Histogram()).add(row.bucket, row.n, row.total)

    def copy(self) -> Sums:
        return Sums(
            dict(self.finished),
            {key: _copy(histogram) for key, histogram in self.runtime.items()},
            {key: _copy(histogram) for key, histogram in self.lateness.items()},
        )


def _copy(histogram: Histogram) -> Histogram:
    return Histogram(dict(histogram.counts), histogram.n, histogram.total)


class Ledger:
    """The counters of one process. Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._closed = Sums()  # of the minutes that are final
        self._next = store.now() // MINUTE  # the first minute that is not

    def sums(self) -> Sums:
        """Everything since the minute in which this process began."""
        with self._lock:
            now = self._store.now() // MINUTE
            rows = self._store.rollups(self._next * MINUTE, (now + 1) * MINUTE)
            final = max(self._next, now - SETTLED)
            self._closed.add(row for row in rows if row.minute < final)
            self._next = final
            whole = self._closed.copy()
            whole.add(row for row in rows if row.minute >= final)
            return whole


def metrics(request: Request) -> Response:
    """The page that Prometheus reads."""
    site = site_of(request)
    picture = site.watch.latest()
    schedules = {one.name: one.next for one in site.store.schedules() if one.next is not None and not one.paused}
    text = "".join(lines(picture, site.ledger.sums(), schedules))
    return Response(text, media_type=CONTENT_TYPE)


def lines(picture: Snapshot, sums: Sums, schedules: Mapping[str, int]) -> Iterable[str]:
    """The text, family by family."""
    yield from _gauge(
        "duly_queue_jobs", "Jobs in a queue by state; stops at 10,000.",
        [({"queue": row.name, "state": state}, n) for row in picture.queues
         for state, n in (("ready", row.ready), ("scheduled", row.scheduled), ("running", row.running))],
    )  # fmt: skip
    yield from _gauge(
        "duly_queue_oldest_due_seconds", "For how long the job that waits longest has been due.",
        [({"queue": row.name}, 0 if row.oldest is None else max(picture.at - row.oldest, 0) / MICROS)
         for row in picture.queues],
    )  # fmt: skip
    yield from _gauge(
        "duly_queue_paused", "1 while a queue is paused.",
        [({"queue": row.name}, int(row.paused is not None)) for row in picture.queues],
    )  # fmt: skip
    yield from _gauge(
        "duly_worker_up", "1 for a live worker, 0 for one that has vanished.",
        [({"worker": row.label}, int(row.alive)) for row in picture.workers],
    )  # fmt: skip
    yield from _gauge(
        "duly_worker_slots", "Slots of a worker by state.",
        [({"worker": row.label, "state": state}, n) for row in picture.workers if row.alive
         for state, n in (("busy", row.busy), ("free", max(row.info.slots - row.busy, 0)))],
    )  # fmt: skip
    yield from _gauge(
        "duly_schedule_next_run_timestamp_seconds", "When a schedule comes round next.",
        [({"schedule": name}, at / MICROS) for name, at in sorted(schedules.items())],
    )  # fmt: skip
    yield from _family("duly_jobs_finished_total", "Attempts that ended, by outcome.", "counter")
    for (queue, task, outcome), n in sorted(sums.finished.items()):
        yield _sample("duly_jobs_finished_total", {"queue": queue, "task": task, "outcome": outcome}, n)
    yield from _histograms(
        "duly_job_duration_seconds", "How long attempts took.",
        [({"queue": queue, "task": task}, one) for (queue, task), one in sorted(sums.runtime.items())],
    )  # fmt: skip
    yield from _histograms(
        "duly_job_lateness_seconds", "How long after its due an attempt started.",
        [({"queue": queue}, one) for queue, one in sorted(sums.lateness.items())],
    )  # fmt: skip


Labels = Mapping[str, str]


def _family(name: str, text: str, kind: str) -> Iterable[str]:
    yield f"# HELP {name} {text}\n"
    yield f"# TYPE {name} {kind}\n"


def _gauge(name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Iterable[str]:
    yield from _family(name, text, "gauge")
    for labels, value in samples:
        yield _sample(name, labels, value)


def _histograms(name: str, text: str, found: Iterable[tuple[Labels, Histogram]]) -> Iterable[str]:
    yield from _family(name, text, "histogram")
    for labels, histogram in found:
        below, at = 0, 0
        for bound in BOUNDS:
            while at <= bound:
                below += histogram.counts.get(at, 0)
                at += 1
            yield _sample(f"{name}_bucket", {**labels, "le": f"{BUCKETS[bound] / MICROS:.6g}"}, below)
        yield _sample(f"{name}_bucket", {**labels, "le": "+Inf"}, histogram.n)
        yield _sample(f"{name}_sum", labels, histogram.total / MICROS)
        yield _sample(f"{name}_count", labels, histogram.n)


def _sample(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value:.15g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
