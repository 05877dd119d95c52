"""duly behind RabbitMQ: the worker of the other side of ``bench.gateway``; its client is Celery's."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from bench.kit import Marks
from duly import Duly

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")

app = Duly("bench", broker=os.environ["BENCH_BROKER"], task_default_queue="celery", task_ignore_result=True)


@app.task(name="mark")
def mark(i: int) -> None:
    MARKS.start(i)


@app.task(name="hold")
def hold(i: int, seconds: float) -> None:
    MARKS.start(i)
    time.sleep(seconds)


def worker(executors: int) -> list[str]:
    return [sys.executable, "-m", "duly", "-q", "-A", "bench.sides.gateway_duly:app", "worker", "-c", str(executors)]
