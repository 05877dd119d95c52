"""Procrastinate on PostgreSQL: 20 jobs at once, LISTEN/NOTIFY, a poll each 0.5 s, jobs that succeeded deleted. It
keeps no results. ``python -m`` runs its worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import procrastinate

from bench.kit import Marks
from bench.sides.loop import run, serve

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 1
THREAD_SAFE = False  # one event loop

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_POSTGRES"]))


@app.task(name="mark", queue="bench")
async def mark(i: int) -> None:
    MARKS.start(i)


def worker(executors: int) -> list[str]:
    assert executors == 1, "one process is one executor"
    return [sys.executable, "-m", "bench.sides.procrastinate_side"]


def prepare() -> None:
    run(app.open_async())
    run(app.schema_manager.apply_schema_async())


def finish() -> None:
    run(app.close_async())


def send(i: int) -> object:
    return run(mark.defer_async(i=i))


def send_many(first: int, n: int) -> None:
    for start in range(first, first + n, 500):
        run(mark.batch_defer_async(*({"i": i} for i in range(start, min(start + 500, first + n)))))


def send_due(i: int, when: float) -> None:
    run(mark.configure(schedule_at=datetime.fromtimestamp(when, UTC)).defer_async(i=i))


def send_far(n: int) -> None:
    far = mark.configure(schedule_at=datetime.now(UTC) + timedelta(days=1))
    for start in range(0, n, 500):
        run(far.batch_defer_async(*({"i": i} for i in range(start, min(start + 500, n)))))


def send_squares(n: int) -> Sequence[Any]:
    raise NotImplementedError("Procrastinate keeps no results")


def read(handles: Sequence[Any]) -> list[int]:
    raise NotImplementedError("Procrastinate keeps no results")


def send_hold(i: int, seconds: float) -> None:
    raise NotImplementedError("not measured")


async def _work() -> None:
    async with app.open_async():
        await app.run_worker_async(
            queues=["bench"],
            concurrency=20,
            fetch_job_polling_interval=0.5,
            delete_jobs="successful",
            install_signal_handlers=False,
        )


if __name__ == "__main__":
    serve(_work())
