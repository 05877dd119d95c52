"""duly on SQLite, as it comes: WAL, synchronous=FULL, every setting its default. ``DULY_STORE`` names the file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.kit import Marks
from duly import Duly, chain, chord

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")
STARTS = Path(os.environ["BENCH_FOLDER"]) / "starts"
EXECUTORS_FOR_DUE = 1

app = Duly("bench")


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
    """Marks its start and notes ``instant pid``, so that a second start shows, and then sleeps."""
    MARKS.start(i)
    with open(STARTS, "a") as file:
        file.write(f"{time.time_ns()} {os.getpid()}\n")
    time.sleep(seconds)


@app.task(ignore_result=True)
def tenth() -> None:
    """A tenth of a millisecond of work."""
    end = time.perf_counter_ns() + 100_000
    while time.perf_counter_ns() < end:
        pass


@app.task(ignore_result=True, max_concurrency=1, limit_key=lambda customer: customer)
def keyed(customer: str) -> None:
    """One at a time for each customer."""


@app.task(ignore_result=True)
def nap(seconds: float) -> None:
    time.sleep(seconds)


def worker(executors: int) -> list[str]:
    duly = Path(sys.executable).with_name("duly")
    return [str(duly), "-A", "bench.sides.duly_side", "worker", "-l", "WARNING", "-c", str(executors)]


def send(i: int) -> object:
    return mark.delay(i)


def send_many(first: int, n: int) -> None:
    mark.enqueue_many([(i,) for i in range(first, first + n)])


def send_due(i: int, when: float) -> None:
    mark.apply_async((i,), eta=datetime.fromtimestamp(when, UTC))


def send_far(n: int) -> None:
    for start in range(0, n, 10_000):  # a result handle for each of a million would fill this process
        mark.enqueue_many([(i,) for i in range(start, min(start + 10_000, n))], countdown=86_400)


def send_squares(n: int) -> Sequence[Any]:
    return square.enqueue_many([(i,) for i in range(n)])


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


def flood(n: int, queue: str) -> None:
    for start in range(0, n, 10_000):
        tenth.enqueue_many([()] * min(10_000, n - start), queue=queue)


def flood_of_one_key(n: int, queue: str) -> None:
    for start in range(0, n, 10_000):
        keyed.enqueue_many([("acme",)] * min(10_000, n - start), queue=queue)


def slow(n: int, seconds: float, queue: str) -> None:
    nap.enqueue_many([(seconds,)] * n, queue=queue)
