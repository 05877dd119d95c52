"""A 60 s job beside 1,000 short ones, one worker with two executors: do the short ones wait for it?"""

from __future__ import annotations

import itertools

from bench import kit

SHORT = 1_000
LONG = 60.0  # seconds


def measure(run: kit.Run) -> dict[str, float]:
    n = run.size(SHORT)
    side, marks = run.open(n)
    run.worker(side, 2)
    run.warm_up(side, marks)
    long = n  # its mark
    side.send_many(0, n // 2)
    side.send_hold(long, LONG)
    side.send_many(n // 2, n - n // 2)
    marks.wait_for(long, 60)
    marks.wait(n, LONG + 60)
    starts = sorted(marks.starts(n))
    return {
        "seconds": (starts[-1] - starts[0]) / 1e9,
        "gap": max(after - before for before, after in itertools.pairwise(starts)) / 1e6,
        "behind": (max(starts[-1], marks.starts(n + 1)[long]) - marks.starts(n + 1)[long]) / 1e9,
        "duplicates": marks.duplicates(n + 1),
    }


PROGRAM = kit.Program(
    name="beside",
    title="1,000 short jobs beside one of 60 s, two executors",
    text="The long job is enqueued in the middle of the short ones. Seconds from the first to the last short "
    "start; the longest gap between two starts; how long after the long one's start the last short one started.",
    columns=(
        kit.Column("seconds", "all started in s", "less", 2),
        kit.Column("gap", "longest gap ms", "less", 1),
        kit.Column("behind", "last after long s", None, 2),
        kit.Column("duplicates", "duplicates"),
    ),
    sides=("duly", "celery-redis"),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
