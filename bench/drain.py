"""Drain: how many waiting no-op jobs one executor runs a second, from the first start to the last."""

from __future__ import annotations

from bench import kit
from bench.sides import KINDS, jobs

SECONDS = 300


def measure(run: kit.Run) -> dict[str, float]:
    n = run.size(jobs(run.side_name, 100_000, 10_000))
    side, marks = run.open(n)
    side.send_many(0, n)
    worker = run.worker(side)
    marks.wait(n, SECONDS)
    cpu = sum(sum(process.cpu_times()[:2]) for process in worker.tree())
    return {
        "rate": kit.rate(marks.starts(n)),
        "cpu_us": cpu / n * 1e6,
        "duplicates": marks.duplicates(n),
    }


PROGRAM = kit.Program(
    name="drain",
    title="Drain: no-op jobs, one executor, jobs/s from first to last start",
    text="No-op jobs are enqueued, then a worker with one executor starts. duly: 100,000 jobs, SQLite with "
    "synchronous=FULL; the peers: 10,000, fewer for the slowest. CPU is of the whole worker, its start included.",
    columns=(
        kit.Column("rate", "jobs/s", "more"),
        kit.Column("cpu_us", "CPU µs/job", "less"),
        kit.Column("duplicates", "duplicates"),
    ),
    sides=tuple(KINDS),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
