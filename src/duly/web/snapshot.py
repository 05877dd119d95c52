"""What goes on now: one picture for all who look, made only while somebody does.

A picture is a handful of bounded questions to the store. Whoever finds the last one older than EVERY makes the next;
everybody else is given the same. So a hundred open tabs cost what one costs, and no open tab costs nothing.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from duly.cli.status import Standing, standings
from duly.clock import MICROS
from duly.job import Filter, JobView, QueueCount, WorkerInfo
from duly.messages import Rollup
from duly.percentiles import histograms
from duly.store.contract import Store
from duly.web.history import MINUTE, RECENT, History

EVERY = 2.0
"""Seconds between two pictures."""

RUNNING_READ = 1_000  # running jobs looked at
NEWEST_READ = 200  # newest jobs from which the rate of arrivals is taken
NEWEST_EVERY = 6.0  # seconds between two looks at those
ARRIVALS = 60 * MICROS  # µs that the rate of arrivals looks back
RATE_MINUTES = 5  # minutes that the rate of completions looks back
LISTED = 6  # jobs in the short lists
_WAITING = ("scheduled", "queued", "retrying")


@dataclass(frozen=True)
class QueueRow:
    """A queue now."""

    name: str
    ready: int
    scheduled: int
    running: int
    oldest: int | None  # due of the longest-waiting ready job
    arrivals: float | None  # per minute; None: not known
    completions: float  # per minute
    paused: int | None  # since
    slots: int  # of live workers that serve it
    lateness: float | None  # p95 of the last RATE_MINUTES minutes, µs


@dataclass(frozen=True)
class WorkerRow:
    """A worker now."""

    info: WorkerInfo
    label: str  # name@host
    alive: bool
    gone: bool
    busy: int
    running: list[JobView]  # what it runs, longest first
    memory: int | None  # bytes of all its processes; None: it is on another host


@dataclass(frozen=True)
class Series:
    """The last hour by minute, oldest first."""

    minutes: list[int]  # seconds since 1970
    succeeded: list[int]
    failed: list[int]
    late50: list[float | None]  # seconds
    late95: list[float | None]


@dataclass(frozen=True)
class Snapshot:
    """One picture."""

    at: int
    number: int
    queues: list[QueueRow]
    workers: list[WorkerRow]
    series: Series
    coming: list[JobView]
    failed: list[JobView]

    @property
    def slots(self) -> int:
        return sum(row.info.slots for row in self.workers if row.alive)

    @property
    def busy(self) -> int:
        return sum(row.busy for row in self.workers if row.alive)

    @property
    def unserved(self) -> list[QueueRow]:
        """Queues with due jobs that no live worker serves."""
        return [row for row in self.queues if row.ready and not row.slots]


class Watch:
    """The latest picture, shared."""

    def __init__(self, store: Store, history: History) -> None:
        self._store = store
        self._history = history
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None
        self._made = 0.0  # monotonic
        self._arrivals: dict[str, float] | None = None
        self._arrivals_at = -NEWEST_EVERY

    def latest(self) -> Snapshot:
        """A picture no older than EVERY."""
        with self._lock:
            if self._latest is None or time.monotonic() - self._made >= EVERY * 0.9:
                number = self._latest.number + 1 if self._latest else 1
                self._latest = self._make(number)
                self._made = time.monotonic()
            return self._latest

    def _make(self, number: int) -> Snapshot:
        store = self._store
        now = store.now()
        running = store.jobs(Filter(states=("running",)), limit=RUNNING_READ).jobs
        workers = standings(store.workers(), running, now)
        recent = self._history.recent()
        coming = Filter(states=_WAITING, due_from=now)
        return Snapshot(
            at=now,
            number=number,
            queues=_queues(store.counts(), workers, recent, store.paused(), self._arriving(now), now),
            workers=[_worker(one, now) for one in workers],
            series=_series(recent, now),
            coming=store.jobs(coming, order="due", limit=LISTED).jobs,
            failed=store.jobs(Filter(states=("failed", "uncertain")), limit=LISTED).jobs,
        )

    def _arriving(self, now: int) -> dict[str, float] | None:
        """Jobs stored per minute by queue, from the newest ones; looked at now and then, for they may be large."""
        if time.monotonic() - self._arrivals_at >= NEWEST_EVERY:
            self._arrivals_at = time.monotonic()
            self._arrivals = arrivals(self._store.jobs(Filter(), limit=NEWEST_READ).jobs, now)
        return self._arrivals


def arrivals(newest: Sequence[JobView], now: int) -> dict[str, float]:
    """Per minute, by queue. When more came in ARRIVALS than were read, the time these took counts."""
    lately = [job for job in newest if job.created > now - ARRIVALS]
    span = ARRIVALS
    if lately and len(lately) == len(newest) == NEWEST_READ:
        span = max(now - min(job.created for job in lately), 1_000)
    return {queue: n * MINUTE / span for queue, n in Counter(job.queue for job in lately).items()}


def _queues(
    counts: Sequence[QueueCount],
    workers: Sequence[Standing],
    recent: Sequence[Rollup],
    paused: dict[str, int],
    arriving: dict[str, float] | None,
    now: int,
) -> list[QueueRow]:
    lately = [row for row in recent if row.minute >= now // MINUTE - RATE_MINUTES]
    ended: dict[str, int] = defaultdict(int)
    for row in lately:
        if row.measure in ("runtime", "count"):
            ended[row.queue] += row.n
    late = histograms(lately, "lateness", lambda row: row.queue)
    slots: dict[str, int] = defaultdict(int)
    for worker in workers:
        if worker.alive:
            for queue in set(worker.info.queues):
                slots[queue] += worker.info.slots
    live = {one.queue: one for one in counts}
    empty = QueueCount(queue="", ready=0, scheduled=0, running=0, oldest=None)
    minutes = RATE_MINUTES + (now % MINUTE) / MINUTE
    return [
        QueueRow(
            name=name,
            ready=live.get(name, empty).ready,
            scheduled=live.get(name, empty).scheduled,
            running=live.get(name, empty).running,
            oldest=live.get(name, empty).oldest,
            arrivals=None if arriving is None else arriving.get(name, 0.0),
            completions=ended[name] / minutes,
            paused=paused.get(name),
            slots=slots[name],
            lateness=late[name].percentile(95) if name in late else None,
        )
        for name in sorted({*live, *ended, *slots, *paused})
    ]


def _worker(one: Standing, now: int) -> WorkerRow:
    info = one.info
    longest = sorted(one.running, key=lambda job: job.started or now)
    if info.pool == "process":  # an executor holds a batch, and runs the first of it
        seen: set[int | None] = set()
        longest = [job for job in longest if job.slot not in seen and not seen.add(job.slot)]  # type: ignore[func-returns-value]
    return WorkerRow(
        info=info,
        label=f"{info.name}@{info.host}",
        alive=one.alive,
        gone=one.gone,
        busy=one.busy,
        running=longest,
        memory=_memory(info) if one.alive and info.host == socket.gethostname() else None,
    )


def _memory(info: WorkerInfo) -> int | None:
    """Resident bytes of a worker's processes on this host; what they share counts each time."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(info.pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total or None


def _series(recent: Iterable[Rollup], now: int) -> Series:
    kept = list(recent)
    last = now // MINUTE
    minutes = range(last - RECENT + 1, last + 1)
    done: Counter[tuple[int, bool]] = Counter()
    for row in kept:
        if row.measure in ("runtime", "count"):
            done[row.minute, row.outcome == "succeeded"] += row.n
    late = histograms(kept, "lateness", lambda row: row.minute)

    def at(minute: int, percent: float) -> float | None:
        found = late[minute].percentile(percent) if minute in late else None
        return None if found is None else min(found, 86_400 * MICROS) / MICROS

    return Series(
        minutes=[minute * 60 for minute in minutes],
        succeeded=[done[minute, True] for minute in minutes],
        failed=[done[minute, False] for minute in minutes],
        late50=[at(minute, 50) for minute in minutes],
        late95=[at(minute, 95) for minute in minutes],
    )
