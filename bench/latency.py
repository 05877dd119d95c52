"""Idle latency: from just before the enqueueing call to the first line of the task, in an idle worker."""

from __future__ import annotations

import time

from bench import kit
from bench.sides import KINDS

SAMPLES = 300
APART = 0.02  # seconds


def measure(run: kit.Run) -> dict[str, float]:
    n = run.size(SAMPLES)
    side, marks = run.open(n)
    run.worker(side)
    run.warm_up(side, marks)
    sent = []
    for i in range(n):
        time.sleep(APART)
        sent.append(time.time_ns())
        side.send(i)
    marks.wait(n, 60)
    waits = [(start - begin) / 1e6 for start, begin in zip(marks.starts(n), sent, strict=True)]
    return {
        "p50": kit.percentile(waits, 50),
        "p99": kit.percentile(waits, 99),
        "max": max(waits),
        "duplicates": marks.duplicates(n),
    }


PROGRAM = kit.Program(
    name="latency",
    title="Idle latency: call to task start, ms",
    text="300 jobs, 20 ms apart, to an idle worker with one executor, after a few to warm up.",
    columns=(
        kit.Column("p50", "p50", "less", 2),
        kit.Column("p99", "p99", "less", 2),
        kit.Column("max", "max", "less", 2),
        kit.Column("duplicates", "duplicates"),
    ),
    sides=tuple(KINDS),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
