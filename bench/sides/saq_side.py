"""SAQ on Redis: 100 jobs at once, uvloop, no result kept for jobs that have none. ``python -m`` runs its worker.

It has no bulk: 20 calls at once are the fastest way in.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saq import Queue, Worker

from bench.kit import Marks
from bench.sides.loop import run, serve

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 1
THREAD_SAFE = False  # one event loop

queue = Queue.from_url(os.environ["BENCH_REDIS"], name="bench")


async def mark(_: Any, *, i: int) -> None:
    MARKS.start(i)


async def square(_: Any, *, i: int) -> int:
    MARKS.start(i)
    return i * i


async def hold(_: Any, *, i: int, seconds: float) -> None:
    MARKS.start(i)
    await asyncio.sleep(seconds)


def worker(executors: int) -> list[str]:
    return [sys.executable, "-m", "bench.sides.saq_side", str(executors)]


def send(i: int) -> object:
    return run(queue.enqueue("mark", i=i, ttl=-1))


def send_many(first: int, n: int) -> None:
    run(_send_all([{"i": i, "ttl": -1} for i in range(first, first + n)]))


def send_due(i: int, when: float) -> None:
    run(queue.enqueue("mark", i=i, ttl=-1, scheduled=when))


def send_far(n: int) -> None:
    far = time.time() + 86_400
    run(_send_all([{"i": i, "ttl": -1, "scheduled": far} for i in range(n)]))


def send_squares(n: int) -> Sequence[Any]:
    return [run(queue.enqueue("square", i=i, ttl=600)) for i in range(n)]


def read(handles: Sequence[Any]) -> list[int]:
    async def each() -> list[int]:
        found = []
        for handle in handles:
            await handle.refresh(60)
            found.append(handle.result)
        return found

    return run(each())


def send_hold(i: int, seconds: float) -> None:
    run(queue.enqueue("hold", i=i, seconds=seconds, timeout=0))


async def _send_all(calls: Sequence[dict[str, Any]]) -> None:
    for many in itertools.batched(calls, 20) if sys.version_info >= (3, 12) else _batches(calls, 20):
        await asyncio.gather(*(queue.enqueue("mark", **call) for call in many))


def _batches(calls: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [calls[start : start + size] for start in range(0, len(calls), size)]


async def _work() -> None:
    await Worker(queue, [mark, square, hold], concurrency=100).start()


if __name__ == "__main__":
    serve(_work())
