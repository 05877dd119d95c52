"""Results: the same drain with a result stored for every job, then read back by the caller."""

from __future__ import annotations

import time

from bench import kit
from bench.sides import KINDS, NO_RESULTS, jobs


def measure(run: kit.Run) -> dict[str, float]:
    n = run.size(jobs(run.side_name, 50_000, 5_000))
    side, marks = run.open(n)
    handles = side.send_squares(n)
    run.worker(side)
    marks.wait(n, 300)
    begin = time.perf_counter()
    results = side.read(handles)
    seconds = time.perf_counter() - begin
    return {
        "rate": kit.rate(marks.starts(n)),
        "read": n / seconds,
        "wrong": sum(result != i * i for i, result in enumerate(results)),
    }


PROGRAM = kit.Program(
    name="roundtrip",
    title="Results: drain with results stored (jobs/s), then read back (results/s)",
    text="As drain, with tasks that return a number. The caller reads each result with get(), in order, "
    "when all jobs have started.",
    columns=(
        kit.Column("rate", "jobs/s", "more"),
        kit.Column("read", "read/s", "more"),
        kit.Column("wrong", "wrong"),
    ),
    sides=tuple(side for side in KINDS if side not in NO_RESULTS),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
