"""Percentiles from buckets, beside the exact ones."""

from __future__ import annotations

import math
from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from duly.job import Kind
from duly.messages import BUCKETS, Rollup
from duly.percentiles import Histogram, counts, histograms

values = st.lists(st.integers(0, BUCKETS[-1]) | st.sampled_from(BUCKETS), min_size=1, max_size=60)


def filled(of: list[int]) -> Histogram:
    histogram = Histogram()
    for value in of:
        histogram.add(bisect_left(BUCKETS, value), 1, value)
    return histogram


@given(values, st.floats(0, 100))
def test_a_percentile_is_the_upper_bound_of_the_exact_ones_bucket(of: list[int], percent: float) -> None:
    exact = sorted(of)[max(1, math.ceil(percent / 100 * len(of))) - 1]
    found = filled(of).percentile(percent)
    assert found == BUCKETS[bisect_left(BUCKETS, exact)]
    assert found is not None
    assert exact <= found
    assert found <= max(BUCKETS[0], exact * 1.52)  # bounds are whole numbers, so a little over 1.5


@given(values, values)
def test_histograms_add_up(some: list[int], others: list[int]) -> None:
    both, added = filled(some + others), filled(some)
    for value in others:
        added.add(bisect_left(BUCKETS, value), 1, value)
    assert both == added
    assert both.mean == sum(some + others) / len(some + others)


def test_nothing_has_no_percentile() -> None:
    assert Histogram().percentile(50) is None
    assert Histogram().mean is None


def test_above_the_last_bucket_there_is_no_bound() -> None:
    histogram = filled([1, 2, BUCKETS[-1] + 1])
    assert histogram.percentile(99) == math.inf
    assert histogram.percentile(50) == BUCKETS[0]


def test_rollups_are_split_by_queue_and_counted_once() -> None:
    def row(queue: str, outcome: Kind, measure: str, n: int) -> Rollup:
        return Rollup(0, queue, "t", outcome.name.lower(), measure, 3, n, n * 300)

    rows = [
        row("a", Kind.SUCCEEDED, "runtime", 5), row("a", Kind.SUCCEEDED, "lateness", 5),
        row("b", Kind.FAILED, "runtime", 2), row("b", Kind.FAILED, "lateness", 2), row("b", Kind.LOST, "count", 1),
    ]  # fmt: skip
    assert counts(rows, lambda row: row.queue) == {"a": 5, "b": 3}
    assert {queue: found.n for queue, found in histograms(rows, "lateness", lambda row: row.queue).items()} == {
        "a": 5,
        "b": 2,
    }
