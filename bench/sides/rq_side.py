"""RQ on Redis: SimpleWorker, which does not fork for each job, its best case; results kept only where asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue

from bench.kit import Marks

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 1
REDIS = os.environ["BENCH_REDIS"]

queue = Queue("bench", connection=Redis.from_url(REDIS))


def mark(i: int) -> None:
    MARKS.start(i)


def square(i: int) -> int:
    MARKS.start(i)
    return i * i


def hold(i: int, seconds: float) -> None:
    MARKS.start(i)
    time.sleep(seconds)


def worker(executors: int) -> list[str]:
    rq = str(Path(sys.executable).with_name("rq"))
    kind = ["worker"] if executors == 1 else ["worker-pool", "-n", str(executors)]
    scheduler = ["--with-scheduler"] if executors == 1 else []
    return [rq, *kind, "-q", "-w", "rq.worker.SimpleWorker", *scheduler, "-u", REDIS, "bench"]


def send(i: int) -> object:
    return queue.enqueue(mark, i, result_ttl=0)


def send_many(first: int, n: int) -> None:
    for start in range(first, first + n, 500):
        queue.enqueue_many(
            [Queue.prepare_data(mark, (i,), result_ttl=0) for i in range(start, min(start + 500, first + n))]
        )


def send_due(i: int, when: float) -> None:
    queue.enqueue_at(datetime.fromtimestamp(when, UTC), mark, i, result_ttl=0)


def send_far(n: int) -> None:
    for i in range(n):
        queue.enqueue_in(timedelta(days=1), mark, i, result_ttl=0)


def send_squares(n: int) -> Sequence[Any]:
    return [queue.enqueue(square, i) for i in range(n)]


def read(handles: Sequence[Any]) -> list[int]:
    return [handle.return_value(refresh=True) for handle in handles]


def send_hold(i: int, seconds: float) -> None:
    queue.enqueue(hold, i, seconds)
