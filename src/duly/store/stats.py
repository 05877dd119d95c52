"""Statistics: outcomes added up into per-minute histograms, to be written with the settle itself.

Whatever a screen or a metric shows about the past reads these rows; nothing ever counts jobs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from duly.clock import MICROS
from duly.job import Kind, Outcome
from duly.messages import BUCKETS, Rollup

_NAMES = {kind: kind.name.lower() for kind in Kind}
_MINUTE = 60 * MICROS

Key = tuple[int, str, str, str, str, int]  # a Rollup without its sums


def rollup(outcomes: Iterable[Outcome]) -> list[Rollup]:
    """The rows to add for these outcomes, one per minute, queue, task, outcome, measure and bucket.

    Lateness is start - due, runtime is finish - start; both 0 if a clock set back makes them negative. Attempts
    that never started count nothing.
    """
    sums: dict[Key, list[int]] = {}
    for outcome in outcomes:
        if not outcome.started:
            continue
        for key, value in measures(outcome):
            entry = sums.get(key)
            if entry is None:
                sums[key] = [1, value]
            else:
                entry[0] += 1
                entry[1] += value
    return [Rollup(*key, n, total) for key, (n, total) in sums.items()]


def measures(outcome: Outcome) -> tuple[tuple[Key, int], tuple[Key, int]]:
    """Where the lateness and the runtime of an attempt that started count, and how many µs each is."""
    started, finished, lease = outcome.started, outcome.finished, outcome.lease
    minute, name = finished // _MINUTE, _NAMES[outcome.kind]
    lateness, runtime = max(started - lease.due, 0), max(finished - started, 0)
    return (
        ((minute, lease.queue, lease.task, name, "lateness", bisect_left(BUCKETS, lateness)), lateness),
        ((minute, lease.queue, lease.task, name, "runtime", bisect_left(BUCKETS, runtime)), runtime),
    )


def lost(queue: str, task: str, kind: Kind, now: int) -> Rollup:
    """One attempt that ended without anybody to time it; measure "count", bucket 0."""
    return Rollup(now // _MINUTE, queue, task, _NAMES[kind], "count", 0, 1, 0)
