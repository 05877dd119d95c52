"""Drain: how many waiting no-op jobs one executor runs a second, from the first start to the last."""

from __future__ import annotations

from bench import kit

SIZES = {"duly": 100_000, "celery-redis": 10_000, "huey-redis": 10_000, "huey-sqlite": 10_000}


def measure(run: kit.Run) -> dict[str, float]:
    n = run.size(SIZES[run.side_name])
    side, marks = run.open(n)
    side.send_many(0, n)
    worker = run.worker(side)
    marks.wait(n, 300)
    cpu = sum(sum(process.cpu_times()[:2]) for process in worker.tree())
    return {
        "rate": kit.rate(marks.starts(n)),
        "cpu_us": cpu / n * 1e6,
        "duplicates": marks.duplicates(n),
    }


PROGRAM = kit.Program(
    name="drain",
    title="Drain: no-op jobs, one executor, jobs/s from first to last start",
    text="No-op jobs are enqueued, then a worker with one executor starts. duly: SQLite with synchronous=FULL, "
    "100,000 jobs; the peers: 10,000 jobs. CPU is of the whole worker, its start included.",
    columns=(
        kit.Column("rate", "jobs/s", "more"),
        kit.Column("cpu_us", "CPU µs/job", "less"),
        kit.Column("duplicates", "duplicates"),
    ),
    sides=tuple(SIZES),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
