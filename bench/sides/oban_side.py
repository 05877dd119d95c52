"""Oban for Python on PostgreSQL: 100 jobs at once, LISTEN/NOTIFY, jobs that are due looked for each 0.1 s (its
default is one second). It keeps no results. ``python -m`` runs its worker."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oban import Oban
from oban import worker as oban_worker
from oban.schema import install

from bench.kit import Marks
from bench.sides.loop import run, serve

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 1
THREAD_SAFE = False  # one event loop
POSTGRES = os.environ["BENCH_POSTGRES"]


@oban_worker(queue="bench")
class Mark:
    async def process(self, job: Any) -> None:
        MARKS.start(job.args["i"])


def worker(executors: int) -> list[str]:
    assert executors == 1, "one process is one executor"
    return [sys.executable, "-m", "bench.sides.oban_side"]


def prepare() -> None:
    global _pool, _client
    _pool = run(Oban.create_pool(POSTGRES))
    run(install(_pool))
    _client = Oban(pool=_pool)


def finish() -> None:
    run(_pool.close())


def send(i: int) -> object:
    return run(_client.enqueue(_mark(i)))


def send_many(first: int, n: int) -> None:
    for start in range(first, first + n, 500):
        run(_client.enqueue_many(_mark(i) for i in range(start, min(start + 500, first + n))))


def send_due(i: int, when: float) -> None:
    run(_client.enqueue(_mark(i, scheduled_at=datetime.fromtimestamp(when, UTC))))


def send_far(n: int) -> None:
    far = datetime.now(UTC) + timedelta(days=1)
    for start in range(0, n, 500):
        run(_client.enqueue_many(_mark(i, scheduled_at=far) for i in range(start, min(start + 500, n))))


def send_squares(n: int) -> Sequence[Any]:
    raise NotImplementedError("Oban keeps no results")


def read(handles: Sequence[Any]) -> list[int]:
    raise NotImplementedError("Oban keeps no results")


def send_hold(i: int, seconds: float) -> None:
    raise NotImplementedError("not measured")


def _mark(i: int, **options: Any) -> Any:
    return Mark.new({"i": i}, **options)  # type: ignore[attr-defined]


async def _work() -> None:
    pool = await Oban.create_pool(POSTGRES)
    async with Oban(pool=pool, queues={"bench": 100}, stager={"interval": 0.1}):
        await asyncio.Event().wait()


_pool: Any
_client: Oban

if __name__ == "__main__":
    serve(_work())
