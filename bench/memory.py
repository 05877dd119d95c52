"""Memory: what a million stored future jobs cost a worker, against none."""

from __future__ import annotations

import time

from bench import kit
from bench.sides import jobs

# Celery receives every future job into its worker: a million would take ten minutes to send and 4 GB.
FUTURE, FEWER = 1_000_000, 20_000


def measure(run: kit.Run) -> dict[str, float]:
    stored = run.size(jobs(run.side_name, FUTURE, FEWER))
    side, marks = run.open(1)
    with kit.Spawned(side.worker(1), run.folder, "without") as worker:
        run.warm_up(side, marks)
        before = settled(worker)
    side.send_far(stored)
    marks.clear()
    worker = run.worker(side)
    run.warm_up(side, marks)
    after = settled(worker)
    return {
        "rss_none": before[0],
        "rss": after[0],
        "more": after[0] - before[0],
        "more_pss": after[1] - before[1],
        "jobs": stored,
        "bytes": max(0.0, (after[0] - before[0]) * 1e6 / stored),
    }


def settled(worker: kit.Spawned, still: float = 3.0) -> tuple[float, float]:
    """RSS and PSS in MB once RSS has not grown by a megabyte for some seconds."""
    memory, since = worker.memory(), time.monotonic()
    while time.monotonic() - since < still:
        time.sleep(0.25)
        now = worker.memory()
        if now[0] > memory[0] + 1:
            since = time.monotonic()
            memory = now
        elif now[0] < memory[0]:
            memory = now
    return memory


PROGRAM = kit.Program(
    name="memory",
    title="Memory of the whole worker with future jobs stored, against none, MB",
    text="RSS and PSS summed over the worker's processes, once they stand still. One executor. duly: 1,000,000 "
    "jobs due in a day; the peers: 20,000.",
    columns=(
        kit.Column("rss_none", "RSS, none", None, 1),
        kit.Column("rss", "RSS, with", None, 1),
        kit.Column("more", "RSS more", None, 1),
        kit.Column("more_pss", "PSS more", None, 1),
        kit.Column("jobs", "jobs"),
        kit.Column("bytes", "bytes/job"),
    ),
    sides=("duly", "duly-redis", "duly-postgres", "celery-redis", "huey-redis"),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
