"""Lateness: how late jobs start that are due over ten seconds, with a million other future jobs stored."""

from __future__ import annotations

import time

from bench import kit
from bench.sides import KINDS, jobs

JOBS = 1_000
OVER = 10.0  # seconds
# What a peer can hold: Celery keeps every future job in the worker's memory, huey looks through all of
# them each second. They are measured with none, which is the best case for them.
BACKLOG = 1_000_000


def measure(run: kit.Run) -> dict[str, float]:
    n, backlog = run.size(JOBS), int(jobs(run.side_name, BACKLOG, 0) * run.scale)
    side, marks = run.open(n)
    side.send_far(backlog)
    run.worker(side, side.EXECUTORS_FOR_DUE)
    run.scheduler(side)
    run.warm_up(side, marks)
    first = time.time() + 5
    whens = [first + OVER * i / n for i in range(n)]
    for i, when in enumerate(whens):
        side.send_due(i, when)
    assert time.time() < first, "enqueueing took so long that the first jobs were due already"
    marks.wait(n, OVER + 30)
    late = [start / 1e6 - when * 1e3 for start, when in zip(marks.starts(n), whens, strict=True)]
    return {
        "p50": kit.percentile(late, 50),
        "p99": kit.percentile(late, 99),
        "max": max(late),
        "early": sum(value < 0 for value in late),
        "duplicates": marks.duplicates(n),
        "missing": marks.missing(n),
        "backlog": backlog,
    }


PROGRAM = kit.Program(
    name="lateness",
    title="Lateness of 1,000 jobs due over 10 s, ms",
    text="Start minus due. duly has 1,000,000 other jobs in its store, due in a day, and one executor; the peers "
    "have no other jobs, Celery two executors. Early counts jobs that started before they were due.",
    columns=(
        kit.Column("p50", "p50", "less", 2),
        kit.Column("p99", "p99", "less", 2),
        kit.Column("max", "max", "less", 2),
        kit.Column("early", "early"),
        kit.Column("duplicates", "duplicates"),
        kit.Column("missing", "missing"),
        kit.Column("backlog", "other jobs"),
    ),
    sides=tuple(KINDS),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
