"""Enqueue: one by one, from 32 threads, and in bulk, beside the bare commit rate of the same disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bench import kit, raw
from bench.sides import KINDS

ONE = 3_000

THREADS = 32
BULKS = 50  # of 1,000


def measure(run: kit.Run) -> dict[str, float]:
    ours = run.side_name.startswith("duly")
    one, bulks = run.size(ONE), run.size(BULKS) if ours else min(run.size(BULKS), 5)
    side, _ = run.open(1)
    side.send(0)  # the first call connects, and makes what is not there; the ceiling's clock starts after that, too
    ceiling = raw.ceiling(run.side_name, run.folder)
    # The ceiling is measured before and after, because the disk's mood changes within seconds.
    before = ceiling()
    alone = timed(lambda: [side.send(i) for i in range(one)], one)
    after = ceiling()
    commits = (before + after) / 2
    figures = {"one": alone, "bulk": timed(lambda: send_bulks(side, bulks), 1000 * bulks)}
    if getattr(side, "THREAD_SAFE", True):
        figures["threads"] = timed(lambda: send_from_threads(side, one), THREADS * (one // THREADS))
    if commits:
        figures |= {"commits": commits, "share": 100 * alone / commits}
    if run.side_name == "duly":
        figures |= {"fsyncs": raw.fsyncs(run.folder), "raw_bulk": raw.bulk(run.folder)}
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
    "Beside duly in the same run the bare ceiling: one-row INSERTs with a commit each (sqlite3, psycopg) or LPUSH "
    "(redis-py); on the disk also appends of 4 KB with a sync each, and INSERTs of 1,000 rows a commit. % is one by "
    "one as a share of the ceiling.",
    columns=(
        kit.Column("one", "one by one", "more"),
        kit.Column("threads", "32 threads", "more"),
        kit.Column("bulk", "bulk", "more"),
        kit.Column("share", "% of commits"),
        kit.Column("commits", "raw commits"),
        kit.Column("fsyncs", "raw fsyncs"),
        kit.Column("raw_bulk", "raw bulk"),
    ),
    sides=tuple(KINDS),
    measure=measure,
)

if __name__ == "__main__":
    kit.main(PROGRAM)
