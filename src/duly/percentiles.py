"""From the store's histograms to percentiles and rates: pure functions over Rollup rows.

A percentile is the upper bound of the bucket that holds it (BUCKETS, each 1.5 times the last): the truth is at most
that, and more than two thirds of it. What lies above the last bucket has no bound: ``math.inf``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from duly.messages import BUCKETS, Rollup

K = TypeVar("K", bound=Hashable)


@dataclass
class Histogram:
    """How often values fell into which bucket."""

    counts: dict[int, int] = field(default_factory=dict)  # index into BUCKETS: how many
    n: int = 0
    total: int = 0  # µs, summed

    def add(self, bucket: int, n: int, total: int) -> None:
        self.counts[bucket] = self.counts.get(bucket, 0) + n
        self.n += n
        self.total += total

    @property
    def mean(self) -> float | None:
        """µs; None without values."""
        return self.total / self.n if self.n else None

    def percentile(self, percent: float) -> float | None:
        """The upper bound in µs of the bucket that holds the nearest-rank percentile; None without values."""
        if not self.n:
            return None
        rank = max(1, math.ceil(percent / 100 * self.n))
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return BUCKETS[bucket] if bucket < len(BUCKETS) else math.inf
        raise AssertionError("the buckets hold fewer values than n")


def histograms(rows: Iterable[Rollup], measure: str, by: Callable[[Rollup], K]) -> dict[K, Histogram]:
    """A histogram of one measure ("lateness" or "runtime") for each value of ``by``: a queue, a task, a minute."""
    found: dict[K, Histogram] = defaultdict(Histogram)
    for row in rows:
        if row.measure == measure:
            found[by(row)].add(row.bucket, row.n, row.total)
    return dict(found)


def counts(rows: Iterable[Rollup], by: Callable[[Rollup], K]) -> dict[K, int]:
    """How many attempts ended, timed or lost, for each value of ``by``."""
    found: dict[K, int] = defaultdict(int)
    for row in rows:
        if row.measure in ("runtime", "count"):  # each attempt has one row of these
            found[by(row)] += row.n
    return dict(found)
