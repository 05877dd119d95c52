"""``status --watch``: what goes on, refreshed each second until q or Ctrl-C.

What is read (:func:`read`), what of it is shown (:func:`frame`, which knows the size of the screen and nothing of
terminals), and the terminal (:func:`watch`). Without a terminal: a line a second.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from rich.text import Text

from duly import percentiles
from duly.cli import status, times
from duly.cli.look import look
from duly.cli.render import Look, error_line
from duly.cli.session import Session
from duly.cli.table import Column, lay_out
from duly.cli.text import clean, plural
from duly.clock import MICROS, from_micros
from duly.errors import StoreError
from duly.job import Filter, JobView, QueueCount
from duly.messages import Rollup
from duly.store.contract import Store

EVERY = 1.0  # seconds
MINUTES = 5  # over which rates and lateness are taken, the running minute included
FAILURES_READ = 20
_MINUTE = 60 * MICROS


@dataclass
class Seen:
    """What was read at one moment."""

    now: int
    since: int  # where the statistics begin
    workers: list[status.Standing] = field(default_factory=list)
    queues: list[QueueCount] = field(default_factory=list)
    paused: dict[str, int] = field(default_factory=dict)
    rollups: list[Rollup] = field(default_factory=list)
    failures: list[JobView] = field(default_factory=list)

    def per_minute(self, n: int) -> float:
        return n * _MINUTE / max(self.now - self.since, MICROS)


def read(store: Store) -> Seen:
    """Everything that is shown. Raises StoreError."""
    now = store.now()
    since = (now // _MINUTE - MINUTES + 1) * _MINUTE
    running = store.jobs(Filter(states=("running",)), limit=status.RUNNING_READ).jobs
    return Seen(
        now=now,
        since=since,
        workers=status.standings(store.workers(), running, now),
        queues=store.counts(),
        paused=store.paused(),
        rollups=store.rollups(since, now),
        failures=store.jobs(Filter(states=("failed", "uncertain")), limit=FAILURES_READ).jobs,
    )


# -- the picture -----------------------------------------------------------------------------------


def frame(seen: Seen, look: Look, height: int) -> list[Text]:
    """The screen's lines, ``height`` of them at most."""
    sections = [queue_lines(seen, look), status.worker_lines(seen.workers, look), failure_lines(seen.failures, look)]
    lines = [Text(summary(seen, look.zone), style="bold")]
    for section in fitted([section for section in sections if section], height - 1):
        lines += [Text(), *section]
    return lines[:height]


def summary(seen: Seen, zone: tzinfo) -> str:
    """One line: the time, who works, how much waits, how much is done."""
    done = sum(percentiles.counts(seen.rollups, lambda row: row.queue).values())
    ready = sum(queue.ready for queue in seen.queues)
    running = sum(queue.running for queue in seen.queues)
    alive = sum(one.alive for one in seen.workers)
    return (
        f"{from_micros(seen.now, zone):%H:%M:%S}  {plural(alive, 'worker')}, {running:,} running, "
        f"{status.capped(ready)} ready, {rate(seen.per_minute(done))}/min"
    )


def fitted(sections: list[list[Text]], room: int) -> list[list[Text]]:
    """The sections, each with an empty line before it, cut to ``room`` lines, the longest first; what was cut is
    told."""
    sizes = [len(section) for section in sections]
    while sum(sizes) + len(sizes) > room and max(sizes, default=0) > 2:
        longest = max(range(len(sizes)), key=sizes.__getitem__)
        sizes[longest] -= 1
    cut = []
    for section, size in zip(sections, sizes, strict=True):
        hidden = len(section) - size
        cut.append(section if not hidden else [*section[: size - 1], Text(f"... {hidden + 1:,} more lines", "dim")])
    return cut


def queue_lines(seen: Seen, look: Look) -> list[Text]:
    """A table of every queue that has jobs, had some lately, is served or is paused."""
    live = {count.queue: count for count in seen.queues}
    done = percentiles.counts(seen.rollups, lambda row: row.queue)
    failed = percentiles.counts((row for row in seen.rollups if row.outcome == "failed"), lambda row: row.queue)
    late = percentiles.histograms(seen.rollups, "lateness", lambda row: row.queue)
    served = {queue for one in seen.workers if one.alive for queue in one.info.queues}
    names = sorted(live.keys() | done.keys() | served | seen.paused.keys())
    if not names:
        return [Text("No queues: nothing is stored, nothing is served.")]
    columns = [
        Column("QUEUE", least=10), Column("READY", right=True), Column("SCHED", right=True),
        Column("RUN", right=True), Column("OLDEST", right=True), Column("/MIN", right=True),
        Column("FAILED/MIN", right=True, rank=2),
        Column("LATE P50", right=True), Column("P99", right=True), Column("", least=6, rank=1),
    ]  # fmt: skip
    for name in names:
        count = live.get(name) or QueueCount(queue=name, ready=0, scheduled=0, running=0, oldest=None)
        histogram = late.get(name) or percentiles.Histogram()
        unserved = Text("" if name in served else "unserved", "dim")
        cells = [
            Text(clean(name)), Text(status.capped(count.ready)), Text(status.capped(count.scheduled)),
            Text(status.capped(count.running)),
            Text("" if count.oldest is None else times.span(max(0, seen.now - count.oldest))),
            Text(rate(seen.per_minute(done.get(name, 0)))),
            Text(rate(seen.per_minute(failed.get(name, 0))), "red" if name in failed else ""),
            Text(bound(histogram.percentile(50))), Text(bound(histogram.percentile(99))),
            Text("paused", "bold yellow") if name in seen.paused else unserved,
        ]  # fmt: skip
        for column, cell in zip(columns, cells, strict=True):
            column.cells.append(cell)
    return lay_out(columns, look.width)


def failure_lines(failures: Sequence[JobView], look: Look) -> list[Text]:
    """The latest jobs that failed or ended uncertain."""
    if not failures:
        return []
    columns = [
        Column("FAILED"), Column("TASK", least=12, wish=20, from_left=True), Column("ERROR", least=16, wish=40),
        Column("QUEUE", least=7, rank=2), Column("ID", least=18, rank=1),
    ]  # fmt: skip
    for job in failures:
        ago = "" if job.finished is None else times.relative(job.finished, look.now)
        error = error_line(job.error) or "its worker died; it may run at most once"
        for column, cell in zip(columns, (ago, job.task, error, job.queue, job.id), strict=True):
            column.cells.append(Text(clean(cell)))
    return lay_out(columns, look.width)


def rate(per_minute: float) -> str:
    """A rate for people: whole numbers, one digit after the point below ten."""
    return f"{per_minute:,.0f}" if per_minute >= 10 or not per_minute else f"{per_minute:.1f}"


def bound(micros: float | None) -> str:
    """A percentile: it is at most this."""
    if micros is None:
        return ""
    return "> 24h" if micros == math.inf else times.span(int(micros))


# -- the terminal ----------------------------------------------------------------------------------


def watch(session: Session) -> None:
    """Until q or Ctrl-C. Raises StoreError if the store cannot be read even once."""
    first = read(session.store)
    with contextlib.suppress(KeyboardInterrupt):
        if session.out.is_terminal:
            _on_screen(session, first)
        else:
            _line_by_line(session, first)


def _on_screen(session: Session, seen: Seen) -> None:
    from rich.console import Group
    from rich.live import Live

    trouble = ""
    with _keys() as pressed, Live(console=session.out, screen=True, auto_refresh=False) as live:
        while True:
            height = session.out.size.height
            lines = frame(seen, look_at(session, seen), height - 1)
            foot = Text(trouble or "q or Ctrl-C ends", style="bold red" if trouble else "dim")
            padding = [Text() for _ in range(height - 1 - len(lines))]
            for line in (*lines, foot):
                line.no_wrap, line.overflow = True, "ellipsis"
            live.update(Group(*lines, *padding, foot), refresh=True)
            if pressed(EVERY):
                return
            try:
                seen, trouble = read(session.store), ""
            except StoreError as exc:
                trouble = clean(str(exc))


def _line_by_line(session: Session, seen: Seen) -> None:
    while True:
        session.print(summary(seen, session.zone))
        session.out.file.flush()
        time.sleep(EVERY)
        try:
            seen = read(session.store)
        except StoreError as exc:
            session.note(str(exc))


def look_at(session: Session, seen: Seen) -> Look:
    """How to show it, as of the moment it was read."""
    shown = look(session)
    return Look(zone=shown.zone, now=seen.now, width=session.out.size.width, symbols=shown.symbols)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits so many seconds and says whether q was pressed meanwhile."""
    if not sys.stdin.isatty():

        def sleep(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        yield sleep
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def pressed(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([fd], [], [], left)[0]:
                typed = os.read(fd, 64)
                if not typed or b"q" in typed.lower():
                    return True
        return False

    try:
        tty.setcbreak(fd)
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
