"""Fairness: what a flood in one queue, or of one key, does to the latency of another queue of the same worker."""

from __future__ import annotations

import time

from bench import kit

SAMPLES = 200
APART = 0.02  # seconds
FLOOD = 100_000

PHASES = ("alone", "flood1", "flood2", "key", "priority", "slow")


def measure(run: kit.Run) -> dict[str, float]:
    _, marks = run.open(SAMPLES * len(PHASES))
    from bench.sides import duly_side as side  # reads where the store is

    n = run.size(FLOOD)
    figures: dict[str, float] = {}
    probe = Probe(marks)
    with worker(run, 1):
        figures |= probe.take("alone", queue="quiet")
    with worker(run, 1):
        side.flood(n, queue="busy")
        figures |= probe.take("flood1", queue="quiet")
    clear()
    with worker(run, 2):
        side.flood(n, queue="busy")
        figures |= probe.take("flood2", queue="quiet")
    clear()
    with worker(run, 1):
        side.flood_of_one_key(n, queue="busy")
        figures |= probe.take("key", queue="quiet")
    clear()
    with worker(run, 1):
        side.flood(n, queue="busy")
        figures |= probe.take("priority", queue="busy", priority=9)
    clear()
    with worker(run, 2, "--reserve", "quiet=1"):
        side.slow(1_000, 1.0, queue="busy")
        figures |= probe.take("slow", queue="quiet")
    return figures


class Probe:
    """Sends a job every APART seconds and measures how soon each starts."""

    def __init__(self, marks: kit.Marks) -> None:
        self._marks = marks
        self._next = 0

    def take(self, phase: str, queue: str, priority: int = 0) -> dict[str, float]:
        from bench.sides.duly_side import app, mark

        first, self._next = self._next, self._next + SAMPLES
        sent = []
        for i in range(first, self._next):
            time.sleep(APART)
            sent.append(time.time_ns())
            mark.apply_async((i,), queue=queue, priority=priority)
        kit.wait_until(
            lambda: all(self._marks.starts(self._next)[first:]), 120, lambda: f"{phase}: jobs never started"
        )
        starts = self._marks.starts(self._next)[first:]
        waits = [(start - begin) / 1e6 for start, begin in zip(starts, sent, strict=True)]
        return {
            f"{phase}_p50": kit.percentile(waits, 50),
            f"{phase}_p99": kit.percentile(waits, 99),
            f"{phase}_left": sum(count.ready for count in app.store.counts()),  # of the flood, at the end
        }


def worker(run: kit.Run, executors: int, *more: str) -> kit.Spawned:
    """A worker of both queues that is up."""
    from bench.sides import duly_side as side

    spawned = kit.Spawned([*side.worker(executors), "-Q", "busy,quiet", *more], run.folder, "worker")
    for queue in ("quiet", "busy"):
        result = side.square.apply_async((0,), queue=queue)
        result.get(timeout=60)
    return spawned


def clear() -> None:
    """Cancel what is left of a flood."""
    from bench.sides.duly_side import app
    from duly.job import Filter

    app.store.cancel(Filter(states=("queued", "scheduled", "retrying")))


PROGRAM = kit.Program(
    name="fairness",
    title="Fairness: latency of a quiet queue (call to task start, ms) beside a flood, one worker for both",
    text="200 jobs, 20 ms apart. alone: nothing else. flood: 100,000 jobs of 0.1 ms in another queue, one executor, "
    "then two. key: 100,000 jobs of one key with max_concurrency=1 in another queue. priority: the 200 in the "
    "flooded queue itself, with priority 9. slow: tasks of 1 s in the other queue, two executors, one of them "
    "reserved.",
    columns=tuple(
        kit.Column(f"{phase}_{figure}", f"{phase} {figure}", places=places)
        for phase in PHASES
        for figure, places in (("p50", 2), ("p99", 2), ("left", 0))
    ),
    sides=("duly",),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
