"""The benchmarks' own arithmetic: a wrong percentile would be believed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import kit, tables


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1), (0, 1)])
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert kit.percentile(list(range(100, 0, -1)), percent) == expected


def test_percentile_of_few() -> None:
    assert kit.percentile([7.0], 99) == 7.0
    assert kit.percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_rate_is_from_the_first_start_to_the_last() -> None:
    assert kit.rate([3_000_000_000, 1_000_000_000, 2_000_000_000]) == 1.0


def test_marks_are_shared_and_count(tmp_path: Path) -> None:
    ours = kit.Marks.create(tmp_path / "marks", 3)
    theirs = kit.Marks(tmp_path / "marks")
    theirs.start(0)
    first = ours.starts(1)[0]
    theirs.start(0)
    theirs.start(2)
    assert ours.starts(1)[0] == first > 0
    assert (ours.missing(3), ours.duplicates(3)) == (1, 1)
    ours.clear()
    assert (theirs.missing(3), theirs.duplicates(3)) == (3, 0)


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(TimeoutError, match=r"nothing came within 0\.01 s"):
        kit.wait_until(lambda: False, 0.01, lambda: "nothing came", every=0.001)


def test_ratios_say_by_how_much_duly_is_better() -> None:
    values = {"duly": {"rate": [100.0], "p50": [2.0]}, "peer": {"rate": [10.0], "p50": [8.0]}}
    more, less = tables.Column("rate", "rate", "more"), kit.Column("p50", "p50", "less")
    assert tables.cell(more, [10.0], values, "peer") == "10  duly x10.00"
    assert tables.cell(less, [8.0], values, "peer") == "8  duly x4.00"
    assert tables.cell(more, [100.0, 90.0, 120.0], values, "duly") == "100 (90-120)"
