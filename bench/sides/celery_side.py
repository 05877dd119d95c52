"""Celery on Redis, with the settings that were best for it: the solo pool (no hand-over between processes),
prefetch 200, no events, gossip, mingle or heartbeat, no result for jobs that have none."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group

from bench.kit import Marks

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
EXECUTORS_FOR_DUE = 2  # prefork keeps its timer free while a job runs
REDIS = os.environ["BENCH_REDIS"]

app = Celery("bench", broker=REDIS, backend=REDIS)
app.conf.update(
    worker_prefetch_multiplier=200,
    worker_send_task_events=False,
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task(ignore_result=True)
def mark(i: int) -> None:
    MARKS.start(i)


@app.task
def square(i: int) -> int:
    MARKS.start(i)
    return i * i


@app.task
def hand_on(i: int) -> int:
    if not MARKS.began():
        MARKS.start(MARKS.n - 1)
    return i


@app.task(ignore_result=True)
def mark_chain(i: int) -> None:
    MARKS.start(i)


@app.task(ignore_result=True)
def mark_chord(numbers: list[int]) -> None:
    MARKS.start(numbers[0])


@app.task(ignore_result=True)
def hold(i: int, seconds: float) -> None:
    MARKS.start(i)
    time.sleep(seconds)


def worker(executors: int) -> list[str]:
    pool = ["-P", "solo"] if executors == 1 else ["-P", "prefork", "-c", str(executors)]
    quiet = ["-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [sys.executable, "-m", "celery", "-A", "bench.sides.celery_side:app", "worker", *pool, *quiet]


def send(i: int) -> object:
    return mark.delay(i)


def send_many(first: int, n: int) -> None:
    for start in range(first, first + n, 500):
        group(mark.s(i) for i in range(start, min(start + 500, first + n))).apply_async()


def send_due(i: int, when: float) -> None:
    mark.apply_async((i,), eta=datetime.fromtimestamp(when, UTC))


def send_far(n: int) -> None:
    for i in range(n):
        mark.apply_async((i,), countdown=86_400)


def send_squares(n: int) -> Sequence[Any]:
    return [square.delay(i) for i in range(n)]


def read(handles: Sequence[Any]) -> list[int]:
    return [handle.get(timeout=60) for handle in handles]


def send_chains(first: int, n: int) -> None:
    for i in range(first, first + n):
        chain(hand_on.s(i), hand_on.s(), mark_chain.s()).apply_async()


def send_chords(first: int, n: int, members: int) -> None:
    for i in range(first, first + n):
        chord([hand_on.s(i) for _ in range(members)])(mark_chord.s())


def send_hold(i: int, seconds: float) -> None:
    hold.delay(i, seconds)
