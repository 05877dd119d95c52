"""The future as a picture: what is due in a window of time, lane by lane. Pure but for the questions to the store.

Three things are ahead: jobs that wait in the store (appointments, retries, occurrences already made), jobs that
run, and occurrences of schedules that will be made. Where a lane has few of them each is an *item* with the length
the task usually takes; where there are many, the lane is a row of *densities*. Everything is bounded: a year of ten
million jobs costs two questions to the store, and a schedule of each second is extrapolated from its first
occurrences.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from duly.clock import MICROS, from_micros, to_micros
from duly.errors import ConfigError
from duly.job import COUNT_CAP, Filter, JobView, Schedule
from duly.scheduler import rule_of
from duly.store.contract import Store
from duly.web.payload import call_text

BINS = 96
"""Columns of a density."""

ITEMS = 300
"""Jobs that are read one by one; of a window with more, only densities are shown."""

COUNTED = 250_000
"""Jobs that are counted for the densities of one picture, shared by the columns of all queues: a count walks an
index, some millions of jobs a second. A column whose share is used up is as tall as any other of which that is so."""

LEAST_COUNTED = 200  # for a column, however many queues there are
LANE_ITEMS = 80  # a lane with more is shown as densities
PLANNED = 400  # occurrences of one schedule that are computed; the rest is extrapolated
PLAN_SECONDS = 0.4  # for computing all of them
_WAITING = ("scheduled", "queued", "retrying")

SPANS: dict[str, int] = {
    "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 6 * 3600, "1d": 86_400, "1w": 7 * 86_400,
    "1mo": 30 * 86_400, "3mo": 91 * 86_400, "1y": 365 * 86_400,
}  # fmt: skip
"""What the zoom chooses from; seconds."""


@dataclass(frozen=True)
class Item:
    """One thing that is ahead."""

    at: int  # due, µs UTC
    lane: str
    task: str
    kind: str  # waiting, retrying, overdue, running, occurrence, withheld (its schedule is paused)
    length: int  # µs it is expected to take; 0: not known
    text: str  # its arguments
    job: str | None = None
    schedule: str | None = None


@dataclass
class Lane:
    """A queue's row."""

    name: str
    items: list[Item] = field(default_factory=list)
    stored: list[int] = field(default_factory=lambda: [0] * BINS)  # jobs due in each column
    planned: list[float] = field(default_factory=lambda: [0.0] * BINS)  # occurrences yet to be made, about
    load: list[float] = field(default_factory=lambda: [0.0] * BINS)  # slots that all this takes, on average
    cap: int = COUNT_CAP  # where the numbers of ``stored`` stop
    slots: int = 0  # of live workers that serve the queue
    dense: bool = False  # shown as columns
    guessed: bool = False  # not everything that is due was read or computed one by one

    @property
    def total(self) -> float:
        return sum(self.stored) + sum(self.planned)

    @property
    def capped(self) -> bool:
        return any(n >= self.cap for n in self.stored)

    def over(self) -> list[int]:
        """Columns in which more is due than the workers have slots for."""
        return [i for i, slots in enumerate(self.load) if self.slots and slots > self.slots + 1e-9]


@dataclass(frozen=True)
class ClockChange:
    """The clocks are put forward or back."""

    at: int
    by: int  # µs; positive: forward, and that much of the wall's time does not exist

    @property
    def text(self) -> str:
        minutes = abs(self.by) // (60 * MICROS)
        how = f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
        return f"clocks go {'forward' if self.by > 0 else 'back'} {how}"


@dataclass(frozen=True)
class Timeline:
    """A window and what is in it."""

    start: int
    end: int
    now: int
    lanes: list[Lane]
    changes: list[ClockChange]
    complete: bool  # every job of the window is an item
    unplanned: list[str]  # schedules that could not be computed

    @property
    def items(self) -> list[Item]:
        """All items, the earliest first."""
        return sorted((item for lane in self.lanes for item in lane.items), key=lambda item: item.at)


def timeline(
    store: Store, expected: Mapping[str, float], slots: Mapping[str, int], start: int, end: int, zone: ZoneInfo
) -> Timeline:
    """What is ahead from ``start`` to ``end``. ``expected``: µs that each task takes; ``slots``: by queue."""
    now = store.now()
    edges = columns(start, end)
    lanes: dict[str, Lane] = {}

    def lane(name: str) -> Lane:
        if name not in lanes:
            lanes[name] = Lane(name, slots=slots.get(name, 0))
        return lanes[name]

    page = store.jobs(Filter(states=_WAITING, due_from=start, due_before=end), order="due", limit=ITEMS)
    for job in page.jobs:
        lane(job.queue).items.append(_item(job, now, expected))
    for job in store.jobs(Filter(states=("running",)), limit=ITEMS).jobs:
        if job.started is not None and job.started + _length(job.task, expected) >= start and job.started < end:
            lane(job.queue).items.append(_running(job, now, expected))
    complete = page.after is None
    if complete:
        for one in lanes.values():
            _count_items(one, edges)
    else:
        cap = min(max(COUNTED // BINS // max(len(slots), 1), LEAST_COUNTED), COUNT_CAP)
        for queue, counted in store.due_counts(edges, cap).items():
            lane(queue).stored, lane(queue).cap = counted, cap
    unplanned = _plan(store.schedules(), lane, edges, now, expected)
    for one in lanes.values():
        _settle(one, edges)
    shown = [one for one in lanes.values() if one.items or one.total]
    return Timeline(
        start, end, now, sorted(shown, key=lambda one: one.name), clock_changes(start, end, zone), complete, unplanned
    )


def columns(start: int, end: int) -> list[int]:
    """The edges of BINS columns of the same width."""
    return [start + (end - start) * i // BINS for i in range(BINS + 1)]


def _item(job: JobView, now: int, expected: Mapping[str, float]) -> Item:
    kind = "retrying" if job.attempt else "overdue" if job.due <= now else "waiting"
    return Item(job.due, job.queue, job.task, kind, _length(job.task, expected), call_text(job), job.id)


def _running(job: JobView, now: int, expected: Mapping[str, float]) -> Item:
    """It takes what it usually takes, or longer, if it has already."""
    started = job.started or now
    length = max(_length(job.task, expected), now - started)
    return Item(started, job.queue, job.task, "running", length, call_text(job), job.id)


def _length(task: str, expected: Mapping[str, float]) -> int:
    found = expected.get(task, 0.0)
    return int(min(found, 86_400 * MICROS))


def _count_items(lane: Lane, edges: Sequence[int]) -> None:
    for item in lane.items:
        if item.kind != "running" and edges[0] <= item.at < edges[-1]:
            lane.stored[bisect_right(edges, item.at) - 1] += 1


# -- what schedules will make ------------------------------------------------------------------------


def _plan(
    schedules: Iterable[Schedule],
    lane: Callable[[str], Lane],
    edges: Sequence[int],
    now: int,
    expected: Mapping[str, float],
) -> list[str]:
    """Put the occurrences that are yet to be made into their lanes; gives the schedules that cannot be computed."""
    end = time.monotonic() + PLAN_SECONDS
    unplanned = []
    for schedule in schedules:
        if time.monotonic() > end:
            unplanned.append(schedule.name)
            continue
        try:
            instants, more = planned(schedule, edges[0], edges[-1], now)
        except ConfigError:
            unplanned.append(schedule.name)
            continue
        if instants:
            _put(lane(schedule.queue), schedule, instants, more, edges, expected)
    return unplanned


def planned(schedule: Schedule, start: int, end: int, now: int) -> tuple[list[int], bool]:
    """Occurrences within a window that no job stands for yet, PLANNED at most, and whether there are more.

    Raises ConfigError for a rule that cannot be read.
    """
    rule = rule_of(schedule.rule)
    first = schedule.next if schedule.next is not None and not schedule.paused else rule.next_after(now)
    if first is None or first >= end:
        return [], False
    begin = max(first, start)
    instants = rule.between(begin - 1, end - 1, PLANNED + 1)
    return instants[:PLANNED], len(instants) > PLANNED


def _put(
    lane: Lane,
    schedule: Schedule,
    instants: list[int],
    more: bool,
    edges: Sequence[int],
    expected: Mapping[str, float],
) -> None:
    kind = "withheld" if schedule.paused else "occurrence"
    length = _length(schedule.task, expected)
    text = call_text(schedule)
    if not more:
        lane.items += [
            Item(at, lane.name, schedule.task, kind, length, text, schedule=schedule.name) for at in instants
        ]
    if schedule.paused:
        return
    for at in instants:
        lane.planned[bisect_right(edges, at) - 1] += 1
    if more:  # the rest of the window at the pace of what was computed
        lane.dense = lane.guessed = True
        pace = (len(instants) - 1) / max(instants[-1] - instants[0], 1)
        for i, (low, high) in enumerate(pairwise(edges)):
            lane.planned[i] += max(0, high - max(low, instants[-1])) * pace


# -- how much it is ----------------------------------------------------------------------------------


def _settle(lane: Lane, edges: Sequence[int]) -> None:
    """Whether a lane is shown as densities, and the load of its columns."""
    lane.items.sort(key=lambda item: item.at)
    if sum(lane.stored) > sum(1 for item in lane.items if item.job and item.kind != "running"):
        lane.guessed = True
    lane.dense = lane.guessed or len(lane.items) > LANE_ITEMS
    if not lane.guessed:
        for item in lane.items:
            if item.kind != "withheld" and item.length:
                _cover(lane.load, item.at, item.at + item.length, edges)
        return
    width = (edges[1] - edges[0]) or 1
    length = _usual_length(lane.items)
    for i, n in enumerate(map(sum, zip(lane.stored, lane.planned, strict=True))):
        _spread(lane.load, i, n * length, length, width)


def _usual_length(items: Iterable[Item]) -> float:
    """µs that a job of this lane takes, by those that were read."""
    lengths = [item.length for item in items if item.length]
    return sum(lengths) / len(lengths) if lengths else 0.0


def _spread(load: list[float], column: int, work: float, length: float, width: int) -> None:
    """Work that begins in a column takes slots there, and in as many after it as a job is long."""
    over = max(1, min(len(load) - column, round(length / width)))
    for i in range(column, column + over):
        load[i] += work / over / width


def _cover(load: list[float], low: int, high: int, edges: Sequence[int]) -> None:
    first = max(bisect_right(edges, low) - 1, 0)
    for i in range(first, len(load)):
        if edges[i] >= high:
            return
        load[i] += max(0, min(high, edges[i + 1]) - max(low, edges[i])) / ((edges[i + 1] - edges[i]) or 1)


# -- clocks --------------------------------------------------------------------------------------------


def clock_changes(start: int, end: int, zone: ZoneInfo) -> list[ClockChange]:
    """When the clocks of a zone are put forward or back within a window."""
    step = 86_400 * MICROS
    found = []
    at = start
    while at < end:
        until = min(at + step, end)
        before, after = _offset(at, zone), _offset(until, zone)
        if before != after:
            low, high = at, until
            while high - low > MICROS:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
            found.append(ClockChange(-(-low // MICROS) * MICROS if low % MICROS else high, after - before))
        at = until
    return found


def _offset(instant: int, zone: ZoneInfo) -> int:
    return (from_micros(instant, zone).utcoffset() or timedelta()) // timedelta(microseconds=1)


_STEPS = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600)  # seconds


def ticks(start: int, end: int, zone: ZoneInfo, most: int = 12) -> list[tuple[int, str]]:
    """Where to write times below a window, on the clocks of a zone, and what."""
    seconds = (end - start) / MICROS
    step = next((step for step in _STEPS if seconds / step <= most), None)
    if step is not None:
        return _clock_ticks(start, end, zone, step)
    days = next(days for days in (1, 2, 7, 14, 30, 61, 122, 366) if seconds / 86_400 / days <= most)
    return _day_ticks(start, end, zone, days)


def _clock_ticks(start: int, end: int, zone: ZoneInfo, step: int) -> list[tuple[int, str]]:
    offset = _offset(start, zone)
    width = step * MICROS
    at = -(-(start + offset) // width) * width - offset
    found, day = [], None
    while at < end:
        moment = from_micros(at, zone)
        text = f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
        if moment.date() != day:
            text, day = (
                f"{moment:%a} {moment.day} {moment:%b} {text}" if seconds_long(start, end) else text,
                moment.date(),
            )
        found.append((at, text))
        at += width
    return found


def seconds_long(start: int, end: int) -> bool:
    """Long enough a window for the date to matter."""
    return end - start > 6 * 3600 * MICROS


def _day_ticks(start: int, end: int, zone: ZoneInfo, days: int) -> list[tuple[int, str]]:
    moment = from_micros(start, zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    found: list[tuple[int, str]] = []
    year = moment.year
    while (at := to_micros(moment, zone)) < end:
        if at >= start:
            text = f"{moment:%a} {moment.day} {moment:%b}" if days < 7 else f"{moment.day} {moment:%b}"
            found.append((at, f"{text} {moment.year}" if moment.year != year else text))
            year = moment.year
        moment = moment + timedelta(days=days)
    return found
