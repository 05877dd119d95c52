"""Celery on RabbitMQ: the client of both sides of ``bench.gateway``, and the worker of one, with the settings that
were best for it (``celery_side.py``)."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from celery import Celery

from bench.kit import Marks

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    worker_prefetch_multiplier=200,
    worker_send_task_events=False,
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_ignore_result=True,
)


@app.task(name="mark")
def mark(i: int) -> None:
    MARKS.start(i)


@app.task(name="hold")
def hold(i: int, seconds: float) -> None:
    MARKS.start(i)
    time.sleep(seconds)


def worker(executors: int) -> list[str]:
    pool = ["-P", "solo"] if executors == 1 else ["-P", "prefork", "-c", str(executors)]
    quiet = ["-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [sys.executable, "-m", "celery", "-A", "bench.sides.gateway_celery:app", "worker", *pool, *quiet]


def send_many(first: int, n: int) -> None:
    with app.producer_pool.acquire() as producer:
        for i in range(first, first + n):
            mark.apply_async((i,), producer=producer)


def send_due(i: int, when: float) -> None:
    mark.apply_async((i,), eta=datetime.fromtimestamp(when, UTC))


if __name__ == "__main__":  # FIRST N: a client in a process of its own
    send_many(int(sys.argv[1]), int(sys.argv[2]))
