"""Enqueue: one by one, from 32 threads, and in bulk, beside the bare commit rate of the same disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bench import kit, raw

ONE = {"duly": 5_000, "celery-redis": 3_000, "huey-redis": 5_000, "huey-sqlite": 5_000}
THREADS = 32
BULKS = 50  # of 1,000


def measure(run: kit.Run) -> dict[str, float]:
    one, bulks = run.size(ONE[run.side_name]), run.size(BULKS)
    if run.side_name != "duly":
        bulks = min(bulks, 5)
    side, _ = run.open(1)
    # The ceiling is measured before and after, because the disk's mood changes within seconds.
    before = raw.commits(run.folder)
    alone = timed(lambda: [side.send(i) for i in range(one)], one)
    after = raw.commits(run.folder)
    figures = {
        "one": alone,
        "commits": (before + after) / 2,
        "share": 100 * alone / ((before + after) / 2),
        "threads": timed(lambda: send_from_threads(side, one), THREADS * (one // THREADS)),
        "bulk": timed(lambda: send_bulks(side, bulks), 1000 * bulks),
        "fsyncs": raw.fsyncs(run.folder),
        "raw_bulk": raw.bulk(run.folder),
    }
    if run.side_name != "duly":  # the ceiling of a disk says nothing about Redis or about huey's unsynced file
        del figures["share"], figures["commits"], figures["fsyncs"], figures["raw_bulk"]
    return figures


def timed(action: Callable[[], object], n: int) -> float:
    """Operations a second of an action that does n of them."""
    begin = time.perf_counter()
    action()
    return n / (time.perf_counter() - begin)


def send_bulks(side: kit.Side, bulks: int) -> None:
    for _ in range(bulks):
        side.send_many(0, 1000)


def send_from_threads(side: kit.Side, n: int) -> None:
    """n jobs from 32 threads, each waiting for its own acknowledgement before it sends the next."""

    def send(start: int) -> None:
        for i in range(n // THREADS):
            side.send(start + i)

    threads = [threading.Thread(target=send, args=(k * (n // THREADS),)) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


PROGRAM = kit.Program(
    name="enqueue",
    title="Enqueue: jobs/s acknowledged, one process, no worker",
    text="One by one, from 32 threads at once, and in bulks of 1,000 (Celery: groups of 500; huey has no bulk). "
    "Beside duly, on the same disk in the same run: one-row INSERTs and appends of 4 KB with a sync each, and "
    "INSERTs of 1,000 rows a commit, with plain sqlite3. % is one by one as a share of the one-row commits.",
    columns=(
        kit.Column("one", "one by one", "more"),
        kit.Column("threads", "32 threads", "more"),
        kit.Column("bulk", "bulk", "more"),
        kit.Column("share", "% of commits"),
        kit.Column("commits", "raw commits"),
        kit.Column("fsyncs", "raw fsyncs"),
        kit.Column("raw_bulk", "raw bulk"),
    ),
    sides=tuple(ONE),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
