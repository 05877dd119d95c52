"""huey on SQLite or Redis: one worker thread that polls each 10 ms where it has to poll, the scheduler each
second (its minimum), and the library's own default for fsync (none: a loss of power may lose jobs)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huey import RedisHuey, SqliteHuey

from bench.kit import Marks

FOLDER = Path(os.environ["BENCH_FOLDER"])
MARKS = Marks(FOLDER / "marks")
EXECUTORS_FOR_DUE = 1

if os.environ["BENCH_SIDE"] == "huey-redis":
    huey = RedisHuey("bench", url=os.environ["BENCH_REDIS"])
else:
    huey = SqliteHuey("bench", filename=str(FOLDER / "huey.db"))


@huey.task()
def mark(i: int) -> None:
    MARKS.start(i)


@huey.task()
def square(i: int) -> int:
    MARKS.start(i)
    return i * i


@huey.task()
def hold(i: int, seconds: float) -> None:
    MARKS.start(i)
    time.sleep(seconds)


def worker(executors: int) -> list[str]:
    kind = "thread" if executors == 1 else "process"
    return [
        *(sys.executable, "-m", "huey.bin.huey_consumer", "bench.sides.huey_side.huey", "-q"),
        *("-k", kind, "-w", str(executors), "-d", "0.01", "-m", "0.02", "-s", "1"),
    ]


def send(i: int) -> object:
    return mark(i)


def send_many(first: int, n: int) -> None:
    for i in range(first, first + n):
        mark(i)


def send_due(i: int, when: float) -> None:
    mark.schedule(args=(i,), delay=when - time.time())


def send_far(n: int) -> None:
    for i in range(n):
        mark.schedule(args=(i,), delay=86_400)


def send_squares(n: int) -> Sequence[Any]:
    return [square(i) for i in range(n)]


def read(handles: Sequence[Any]) -> list[int]:
    return [handle.get(blocking=True, timeout=60, max_delay=0.05) for handle in handles]


def send_hold(i: int, seconds: float) -> None:
    hold(i, seconds)
