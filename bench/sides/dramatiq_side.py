"""dramatiq on Redis: default middleware, prefetch 200, no logging, no results for jobs that have none."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("dramatiq_queue_prefetch", "200")

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.kit import Marks

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 1

broker = RedisBroker(url=os.environ["BENCH_REDIS"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BENCH_REDIS"])))
dramatiq.set_broker(broker)


@dramatiq.actor
def mark(i: int) -> None:
    MARKS.start(i)


@dramatiq.actor(store_results=True)
def square(i: int) -> int:
    MARKS.start(i)
    return i * i


@dramatiq.actor
def hold(i: int, seconds: float) -> None:
    MARKS.start(i)
    time.sleep(seconds)


def worker(executors: int) -> list[str]:
    quiet = ["--threads", "1" if executors == 1 else "8", "--skip-logging"]
    return [sys.executable, "-m", "dramatiq", "bench.sides.dramatiq_side", "--processes", str(executors), *quiet]


def send(i: int) -> object:
    return mark.send(i)


def send_many(first: int, n: int) -> None:
    for i in range(first, first + n):
        mark.send(i)


def send_due(i: int, when: float) -> None:
    mark.send_with_options(args=(i,), delay=round((when - time.time()) * 1000))


def send_far(n: int) -> None:
    for i in range(n):
        mark.send_with_options(args=(i,), delay=86_400_000)


def send_squares(n: int) -> Sequence[Any]:
    return [square.send(i) for i in range(n)]


def read(handles: Sequence[Any]) -> list[int]:
    return [handle.get_result(block=True, timeout=60_000) for handle in handles]


def send_hold(i: int, seconds: float) -> None:
    hold.send(i, seconds)
