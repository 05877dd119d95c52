"""pgqueuer on PostgreSQL: asyncpg, uvloop, batches of 100, durable tables (its default). It keeps no results.
``python -m`` runs its worker."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager

from bench.kit import Marks
from bench.sides.loop import run, serve

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 1
THREAD_SAFE = False  # one event loop
POSTGRES = os.environ["BENCH_POSTGRES"]
BATCH = 100


def worker(executors: int) -> list[str]:
    assert executors == 1, "one process is one executor"
    return [sys.executable, "-m", "bench.sides.pgqueuer_side"]


def prepare() -> None:
    global _queries
    _queries = run(_install())


def send(i: int) -> object:
    return run(_queries.enqueue("mark", str(i).encode()))


def send_many(first: int, n: int) -> None:
    for start in range(first, first + n, 500):
        many = [str(i).encode() for i in range(start, min(start + 500, first + n))]
        run(_queries.enqueue(["mark"] * len(many), list(many), [0] * len(many)))


def send_due(i: int, when: float) -> None:
    run(_queries.enqueue("mark", str(i).encode(), 0, timedelta(seconds=when - time.time())))


def send_far(n: int) -> None:
    day = timedelta(days=1)
    for start in range(0, n, 500):
        many = [str(i).encode() for i in range(start, min(start + 500, n))]
        run(_queries.enqueue(["mark"] * len(many), list(many), [0] * len(many), [day] * len(many)))


def send_squares(n: int) -> Sequence[Any]:
    raise NotImplementedError("pgqueuer keeps no results")


def read(handles: Sequence[Any]) -> list[int]:
    raise NotImplementedError("pgqueuer keeps no results")


def send_hold(i: int, seconds: float) -> None:
    raise NotImplementedError("not measured")


async def _install() -> Queries:
    queries = Queries(AsyncpgDriver(await asyncpg.connect(POSTGRES)))
    await queries.install()
    return queries


async def _work() -> None:
    manager = QueueManager(Queries(AsyncpgDriver(await asyncpg.connect(POSTGRES))))

    @manager.entrypoint("mark")
    async def mark(job: Job) -> None:
        MARKS.start(int(job.payload or b"0"))

    await manager.run(batch_size=BATCH)


_queries: Queries

if __name__ == "__main__":
    serve(_work())
