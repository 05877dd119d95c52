"""Recovery: how soon a job runs again after kill -9 of its executor, of its whole worker, or of its host."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from bench import kit

LONG = 600.0  # seconds: the job never ends by itself
LEASE = 10  # seconds, the default


def measure(run: kit.Run) -> dict[str, float]:
    side, marks = run.open(1)
    starts = run.folder / "starts"
    figures = {}
    with kit.Spawned(side.worker(1), run.folder, "worker") as worker:
        run.warm_up(side, marks)
        side.send_hold(0, LONG)
        executor = started(starts, 1)
        killed = time.time_ns()
        os.kill(executor, signal.SIGKILL)
        started(starts, 2)
        figures["executor"] = instant(starts, 2) - killed / 1e9
        os.kill(worker.pid, signal.SIGKILL)
        worker.process.wait()
    restarted = time.time_ns()
    with kit.Spawned(side.worker(1), run.folder, "successor"):
        started(starts, 3)
        figures["supervisor"] = instant(starts, 3) - restarted / 1e9
    figures["host"] = dead_host(run, side)
    return figures


def dead_host(run: kit.Run, side: kit.Side) -> float:
    """Seconds from the last sign of life of a worker on another host until its job runs here.

    The other host is played through the store itself: a registered worker with a foreign name reserves
    the job and is never heard of again.
    """
    from bench.sides.duly_side import app, hold
    from duly.clock import MICROS
    from duly.job import Filter, WorkerInfo

    starts = run.folder / "starts"
    starts.unlink()
    app.cancel(Filter(states=("running", "queued", "retrying")))
    hold.apply_async((0, LONG), queue="away")
    foreign = WorkerInfo(name="worker", host="elsewhere.example", pid=1, queues=("away",))
    worker = app.store.register(foreign, LEASE * MICROS)
    alive = time.time_ns()
    leases = app.store.exchange(worker, 0, [], 1, ["away"]).leases
    assert len(leases) == 1, "the foreign worker got no job"
    with kit.Spawned([*side.worker(1), "-Q", "away"], run.folder, "survivor"):
        started(starts, 1)
    return instant(starts, 1) - alive / 1e9


def started(starts: Path, times: int) -> int:
    """Wait until the job has started so often; gives the pid it runs in."""
    kit.wait_until(
        lambda: starts.exists() and starts.read_text().count("\n") >= times,
        LEASE + 30,
        lambda: f"the job did not start {times} times",
        every=0.002,
    )
    return int(starts.read_text().splitlines()[times - 1].split()[1])


def instant(starts: Path, times: int) -> float:
    """When it started for the nth time, seconds since 1970."""
    return int(starts.read_text().splitlines()[times - 1].split()[0]) / 1e9


PROGRAM = kit.Program(
    name="recovery",
    title="Recovery: seconds until the job runs again",
    text="kill -9 of the executor that runs it (from the kill); kill -9 of the supervisor, then a new worker on the "
    "same host (from its start); a worker on another host that falls silent (from its last sign of life; lease "
    "10 s).",
    columns=(
        kit.Column("executor", "executor", None, 3),
        kit.Column("supervisor", "supervisor", None, 3),
        kit.Column("host", "host", None, 2),
    ),
    sides=("duly",),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
