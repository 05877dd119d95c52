"""taskiq on Redis streams (acknowledged): 100 jobs at once, prefetch 100; due jobs by its scheduler at one second,
its minimum. It has no bulk: 100 calls at once are the fastest way in."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taskiq import TaskiqScheduler
from taskiq_redis import ListRedisScheduleSource, RedisAsyncResultBackend, RedisStreamBroker

from bench.kit import Marks
from bench.sides.loop import run

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 1
THREAD_SAFE = False  # one event loop
REDIS = os.environ["BENCH_REDIS"]

results: Any = RedisAsyncResultBackend(REDIS, result_ex_time=600)
broker = RedisStreamBroker(REDIS).with_result_backend(results)
source = ListRedisScheduleSource(REDIS)
scheduler = TaskiqScheduler(broker, [source])


@broker.task
async def mark(i: int) -> None:
    MARKS.start(i)


@broker.task
async def square(i: int) -> int:
    MARKS.start(i)
    return i * i


@broker.task
async def hold(i: int, seconds: float) -> None:
    MARKS.start(i)
    await asyncio.sleep(seconds)


def worker(executors: int) -> list[str]:
    taskiq = str(Path(sys.executable).with_name("taskiq"))
    limits = ["--max-async-tasks", "100", "--max-prefetch", "100", "--log-level", "ERROR"]
    return [taskiq, "worker", "bench.sides.taskiq_side:broker", "--workers", str(executors), *limits]


def scheduler_command() -> list[str]:
    """The second process that due jobs need."""
    taskiq = str(Path(sys.executable).with_name("taskiq"))
    pace = ["--update-interval", "1", "--loop-interval", "1", "--log-level", "ERROR"]
    return [taskiq, "scheduler", "bench.sides.taskiq_side:scheduler", *pace]


def prepare() -> None:
    run(broker.startup())
    run(source.startup())


def send(i: int) -> object:
    return run(mark.kiq(i))


def send_many(first: int, n: int) -> None:
    for start in range(first, first + n, 100):
        run(_gather([mark.kiq(i) for i in range(start, min(start + 100, first + n))]))


def send_due(i: int, when: float) -> None:
    run(mark.schedule_by_time(source, datetime.fromtimestamp(when, UTC), i))


def send_far(n: int) -> None:
    far = datetime.now(UTC) + timedelta(days=1)
    for start in range(0, n, 100):
        run(_gather([mark.schedule_by_time(source, far, i) for i in range(start, min(start + 100, n))]))


def send_squares(n: int) -> Sequence[Any]:
    return [run(square.kiq(i)) for i in range(n)]


def read(handles: Sequence[Any]) -> list[int]:
    async def each() -> list[int]:
        return [(await handle.wait_result(check_interval=0.01, timeout=60)).return_value for handle in handles]

    return run(each())


def send_hold(i: int, seconds: float) -> None:
    run(hold.kiq(i, seconds))


async def _gather(calls: Sequence[Any]) -> None:
    await asyncio.gather(*calls)
