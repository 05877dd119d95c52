"""Canvases: how many of their jobs one executor runs a second, from the first step to the last."""

from __future__ import annotations

from typing import Any

from bench import kit
from bench.sides import jobs

SECONDS = 1_800
MEMBERS = 100


def measure(run: kit.Run) -> dict[str, float]:
    chains, chords, large = (run.size(jobs(run.side_name, n, n // 10)) for n in (10_000, 1_000, 100_000))
    side: Any
    side, marks = run.open(chains + chords + 1)
    figures = {}
    figures["chains"] = 3 * chains / _drain(run, side, marks, lambda: side.send_chains(0, chains), 0, chains)
    sent = chains
    in_chords = chords * (MEMBERS + 1)
    figures["chords"] = in_chords / _drain(
        run, side, marks, lambda: side.send_chords(sent, chords, MEMBERS), sent, chords
    )
    sent += chords
    figures["large"] = (large + 1) / _drain(run, side, marks, lambda: side.send_chords(sent, 1, large), sent, 1)
    figures["doubled"] = marks.duplicates(chains + chords + 1)
    return figures


def _drain(run: kit.Run, side: Any, marks: kit.Marks, send: Any, first: int, n: int) -> float:
    """Seconds from the first step of what is sent to the last end of a canvas; ``n`` canvases from mark ``first``."""
    send()
    began = marks.n - 1  # the slot that the first step marks
    with run.worker(side):
        marks.wait_for(began, 120)
        kit.wait_until(
            lambda: all(marks.starts(first + n)[first:]), SECONDS, lambda: "not every canvas came to its end"
        )
    ends = marks.starts(first + n)[first:]
    seconds = (max(ends) - marks.starts(marks.n)[began]) / 1e9
    marks.forget(began)
    return seconds


PROGRAM = kit.Program(
    name="canvas",
    title="Canvases: jobs/s, one executor, from the first step to the last",
    text="10,000 chains of three, 1,000 chords of 100 and one chord of 100,000 are called, then a worker with one "
    "executor starts; Celery has a tenth of each. All steps hand on a number. duly: as it comes; Celery: solo pool, "
    "prefetch 200, results in the same Redis, as its chords need them.",
    columns=(
        kit.Column("chains", "chains of 3, jobs/s", "more"),
        kit.Column("chords", "chords of 100, jobs/s", "more"),
        kit.Column("large", "chord of 100,000, jobs/s", "more"),
        kit.Column("doubled", "doubled"),
    ),
    sides=("duly", "duly-redis", "celery-redis"),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
