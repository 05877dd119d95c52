"""How many executors are wanted, on a clock that is driven. With a real worker: tests/cli/test_cli_background.py."""

from __future__ import annotations

from duly.testing.clock import ManualClock
from duly.worker.autoscale import KEEP, LOOK, Autoscale


class Scaled:
    """An autoscale, and the worker it would have."""

    def __init__(self, most: int, least: int) -> None:
        self.clock = ManualClock()
        self.scale = Autoscale(most, least, self.clock)
        self.size = least

    def after(self, seconds: float, running: int, waiting: bool) -> int:
        self.clock.advance(seconds)
        self.size = self.scale.wanted(self.size, running, lambda: waiting)
        return self.size


def test_one_more_when_a_due_job_waits_at_two_looks_in_a_row() -> None:
    worker = Scaled(3, 1)
    assert worker.after(LOOK, 1, True) == 1
    assert worker.after(LOOK / 4, 1, True) == 1  # too soon for a look
    assert worker.after(LOOK, 1, True) == 2
    assert worker.after(LOOK, 2, True) == 2
    assert worker.after(LOOK, 2, False) == 2
    assert worker.after(LOOK, 2, True) == 2
    assert worker.after(LOOK, 2, True) == 3
    for _ in range(5):
        assert worker.after(LOOK, 3, True) == 3  # the most


def test_one_less_when_one_had_nothing_to_do_for_long() -> None:
    worker = Scaled(3, 1)
    worker.size = 3
    assert worker.after(KEEP - 1, 2, False) == 3
    assert worker.after(LOOK, 3, False) == 3  # all were needed once more
    assert worker.after(KEEP - 1, 2, False) == 3
    assert worker.after(1, 2, False) == 2
    assert worker.after(LOOK, 0, False) == 2  # one at a time
    assert worker.after(KEEP, 0, False) == 1
    assert worker.after(KEEP, 0, False) == 1  # the least
