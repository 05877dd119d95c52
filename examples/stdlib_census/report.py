"""What the census shows: progress bars (plain lines where there is no terminal), and the report at the end."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from duly.job import Attempt

WIDTH = 80
BAR = 24  # characters
HISTOGRAM = 40
LINES_APART = 3.0  # seconds
EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # ms, of the histogram
console = Console(width=min(WIDTH, Console().width), highlight=False)


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    value: Any  # what the task returned; None if it did not succeed
    state: str
    attempts: Sequence[Attempt]  # its history, oldest first


@dataclass(frozen=True)
class Findings:
    """All that the report is made from."""

    files: Sequence[Outcome]
    expected: Sequence[Mapping[str, Any]]  # of a serial run, in the same order
    appointments: Sequence[tuple[int, Outcome]]  # due in microseconds UTC; the value is ns since 1970
    effects: Mapping[str, int]  # job id -> how many effects are recorded for it
    killed: int  # when the worker was killed, microseconds UTC
    seconds: float  # that the workers took for all

    def recoveries(self) -> list[float]:
        """For each job that died with its worker, the seconds from the kill until it started again."""
        outcomes = [*self.files, *(outcome for _, outcome in self.appointments)]
        again = [
            after.started
            for outcome in outcomes
            for before, after in itertools.pairwise(outcome.attempts)
            if before.outcome == "lost"
        ]
        return [(started - self.killed) / 1e6 for started in again if started is not None]


class Bars:
    """Progress of some things by name."""

    def __init__(self, totals: Mapping[str, int], progress: Progress | None) -> None:
        self._totals = totals
        self._progress = progress
        self._bars = (
            {name: progress.add_task(name, total=total) for name, total in totals.items()} if progress else {}
        )
        self._next_line = time.monotonic() + LINES_APART

    def update(self, done: Mapping[str, int]) -> None:
        if self._progress:
            for name, count in done.items():
                self._progress.update(self._bars[name], completed=count)
        elif time.monotonic() >= self._next_line:
            print(
                "  " + ", ".join(f"{count:,} of {self._totals[name]:,} {name}" for name, count in done.items()),
                flush=True,
            )
            self._next_line = time.monotonic() + LINES_APART

    def note(self, text: str) -> None:
        if self._progress:
            self._progress.console.print(f"  {text}")
        else:
            print(f"  {text}", flush=True)


@contextlib.contextmanager
def bars(totals: Mapping[str, int]) -> Iterator[Bars]:
    if not console.is_terminal:
        yield Bars(totals, None)
        return
    columns = (TextColumn("  {task.description:26}"), BarColumn(BAR), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield Bars(totals, progress)


def print_report(found: Findings) -> int:
    """Print it; the exit status: 0 if everything that was promised holds."""
    kept = [(due, outcome.value) for due, outcome in found.appointments if outcome.value is not None]
    late = sorted(value / 1e6 - due / 1e3 for due, value in kept)  # ms
    print_files(found)
    print_appointments(late)
    checks = {
        "every file has its result": all(outcome.value is not None for outcome in found.files),
        "every result is that of the serial run": [o.value for o in found.files] == list(found.expected),
        "every job has exactly one effect": all(count == 1 for count in found.effects.values()),
        "every appointment was kept": len(kept) == len(found.appointments),
        "none was kept early": bool(late) and late[0] >= 0,
        "what the dead worker held ran again": bool(found.recoveries()),
    }
    print()
    for text, holds in checks.items():
        print(f"  {'yes' if holds else ' NO'}  {text}")
    sys.stdout.flush()
    return 0 if all(checks.values()) else 1


def print_files(found: Findings) -> None:
    values = [outcome.value for outcome in found.files if outcome.value]
    parsed = [value for value in values if "problem" not in value]
    longest = max((value["longest"] for value in parsed if value["longest"]), key=lambda item: item[1], default=None)
    attempts = sum(len(outcome.attempts) for outcome in found.files)
    recoveries = found.recoveries() or [0.0]
    counts = list(found.effects.values()) or [0]
    print("\nThe files")
    line("files", f"{len(found.files):,} in {found.seconds:.1f} s, {len(values):,} with a result")
    line("do not parse", f"{len(values) - len(parsed):,}, which is their result")
    line("tokens", f"{sum(value['tokens'] for value in parsed):,}")
    if longest:
        line("longest function", f"{longest[0]}, {longest[1]:,} lines")
    line("effects per job", f"{min(counts)} at least, {max(counts)} at most (recorded in the store)")
    line("attempts", f"{attempts:,}: {attempts - len(found.files):,} more than files, because of the kill")
    line(
        "time to recover",
        f"{max(recoveries):.2f} s from SIGKILL until the {len(recoveries)} job(s) it held ran again",
    )


def print_appointments(late: Sequence[float]) -> None:
    """``late``: milliseconds, sorted."""
    print("\nThe appointments (both workers were busy with files)")
    if not late:
        line("kept", "none")
        return
    p50, p99 = (late[math.ceil(share * len(late)) - 1] for share in (0.5, 0.99))
    line("kept", f"{len(late)}")
    line("lateness", f"p50 {p50:.1f} ms   p99 {p99:.1f} ms   max {late[-1]:.1f} ms")
    print_histogram(late)


def print_histogram(late: Sequence[float]) -> None:
    bounds = (float("-inf"), 0, *EDGES, float("inf"))
    rows = []
    for low, high in itertools.pairwise(bounds):
        name = "early" if high == 0 else f"over {low:g} ms" if high == bounds[-1] else f"below {high:g} ms"
        rows.append((name, sum(low <= value < high for value in late)))
    rows = [row for row in rows if row[1]]
    most = max(count for _, count in rows)
    for name, count in rows:
        print(f"    {name:>16} {count:>5} {'#' * max(1, round(HISTOGRAM * count / most))}")


def line(name: str, text: str) -> None:
    print(f"  {name:18}{text}")
