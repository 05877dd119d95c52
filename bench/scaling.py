"""Scaling: the same drain with one executor and with two. The second adds what the server leaves it."""

from __future__ import annotations

import psutil

from bench import kit
from bench.drain import SECONDS

JOBS = 100_000


def measure(run: kit.Run) -> dict[str, float]:
    n = run.size(JOBS)
    side, marks = run.open(n)
    rates, costs = [], []
    for executors in (1, 2):
        marks.clear()
        side.send_many(0, n)
        before = _server_cpu()
        with kit.Spawned(side.worker(executors), run.folder, f"worker{executors}"):
            marks.wait(n, SECONDS)
        rates.append(kit.rate(marks.starts(n)))
        costs.append((_server_cpu() - before) / n * 1e6)
    return {"one": rates[0], "two": rates[1], "times": rates[1] / rates[0], "server_us": costs[1]}


def _server_cpu() -> float:
    """CPU seconds of the server so far: while no worker runs, it is all that this process has started."""
    return sum(sum(process.cpu_times()[:4]) for process in psutil.Process().children(recursive=True))


PROGRAM = kit.Program(
    name="scaling",
    title="Scaling: drain of no-op jobs, jobs/s with one executor and with two",
    text="As drain, 100,000 jobs each time, in one worker with one executor and then in one with two.",
    columns=(
        kit.Column("one", "one", "more"),
        kit.Column("two", "two", "more"),
        kit.Column("times", "times", None, 2),
        kit.Column("server_us", "server CPU µs/job", "less", 1),
    ),
    sides=("duly", "duly-redis", "duly-postgres"),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
