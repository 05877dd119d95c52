"""Through the gateway: a Celery client publishes on RabbitMQ, and a worker of duly's or of Celery's runs.

``make .celery/.stamp && .celery/bin/python -m bench.gateway``. Three figures, each with a fresh folder and server:

1. *drain*: no-op calls wait on the queue, then a worker with one executor starts; from the first start to the last.
2. *lateness*: 1,000 calls with an eta, published while the worker runs; start minus eta.
3. *unacknowledged* (duly): how long the broker waits for the acknowledgement of a delivery while all executors run
   long jobs, seen on the wire between them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitServer

from bench import kit
from bench.tables import machine, print_table, progress
from bench.wire_times import WireTimes

SIDES = ("duly", "celery")
CLIENTS = 2  # processes that fill the queue


@contextlib.contextmanager
def fresh(n: int) -> Iterator[tuple[Path, kit.Marks, RabbitServer]]:
    """A folder, marks for ``n`` jobs and a server; the environment says where they are."""
    with kit.fresh_folder() as folder, RabbitServer(folder / "rabbitmq") as server:
        marks = kit.Marks.create(folder / "marks", n + 32)
        os.environ["BENCH_FOLDER"] = str(folder)
        os.environ["BENCH_BROKER"] = server.url()
        os.environ["DULY_STORE"] = f"sqlite:///{folder}/jobs.duly.db"
        yield folder, marks, server


def worker_of(side: str, executors: int) -> list[str]:
    command: list[str] = importlib.import_module(f"bench.sides.gateway_{side}").worker(executors)
    return command


def drain(side: str, n: int) -> dict[str, float]:
    with fresh(n) as (folder, marks, _):
        share = n // CLIENTS
        clients = [
            subprocess.Popen([sys.executable, "-m", "bench.sides.gateway_celery", str(i * share), str(share)])
            for i in range(CLIENTS)
        ]
        if any(client.wait() for client in clients):
            raise SystemExit("a client failed")
        with kit.Spawned(worker_of(side, 1), folder, "worker") as worker:
            marks.wait(share * CLIENTS, 300)
            cpu = sum(sum(process.cpu_times()[:2]) for process in worker.tree())
        return {
            "rate": kit.rate(marks.starts(share * CLIENTS)),
            "cpu_us": cpu / n * 1e6,
            "duplicates": marks.duplicates(share * CLIENTS),
        }


def lateness(side: str, n: int, span: float) -> dict[str, float]:
    with fresh(n) as (folder, marks, _), kit.Spawned(worker_of(side, 2), folder, "worker"):
        client = importlib.reload(importlib.import_module("bench.sides.gateway_celery"))
        client.send_many(n, 1)
        marks.wait_for(n, 60)
        begin = time.time() + 5
        dues = [begin + span * i / n for i in range(n)]
        for i, due in enumerate(dues):
            client.send_due(i, due)
        marks.wait(n, span + 60)
        late = [(start / 1e9 - due) * 1e3 for start, due in zip(marks.starts(n), dues, strict=True)]
        return {
            "late_p50": kit.percentile(late, 50),
            "late_p99": kit.percentile(late, 99),
            "late_max": max(late),
            "early": sum(each < 0 for each in late),
            "late_twice": marks.duplicates(n),
        }


def unacknowledged(seconds: float) -> dict[str, float]:
    with fresh(16) as (folder, marks, server), Proxy(server.port) as proxy:
        client = importlib.reload(importlib.import_module("bench.sides.gateway_celery"))
        times = WireTimes()
        proxy.cut_call(times.saw_call)
        proxy.cut_answer(times.saw_answer)
        os.environ["BENCH_BROKER"] = f"amqp://guest:guest@127.0.0.1:{proxy.port}/%2F"
        with kit.Spawned(worker_of("duly", 2), folder, "worker"):
            for i in range(2):
                client.hold.delay(i, seconds * 2)
                marks.wait_for(i, 60)
            end = time.monotonic() + seconds
            sent = 2
            while time.monotonic() < end:
                client.hold.apply_async((2, 0), countdown=86_400)
                sent += 1
                time.sleep(0.01)
            kit.wait_until(lambda: len(times.waited) == sent, 10, lambda: f"{len(times.waited)} of {sent} acks")
        return {
            "unacked_p50": kit.percentile(times.waited, 50) * 1e3,
            "unacked_p99": kit.percentile(times.waited, 99) * 1e3,
            "unacked_max": max(times.waited) * 1e3,
            "deliveries": len(times.waited),
        }


COLUMNS = (
    kit.Column("rate", "drain, jobs/s", "more"),
    kit.Column("cpu_us", "CPU µs/job", "less"),
    kit.Column("duplicates", "duplicates"),
    kit.Column("late_p50", "late p50, ms", places=1),
    kit.Column("late_p99", "late p99, ms", places=1),
    kit.Column("late_max", "late max, ms", places=1),
    kit.Column("early", "early"),
    kit.Column("late_twice", "twice"),
    kit.Column("unacked_p50", "unacked p50, ms", places=1),
    kit.Column("unacked_p99", "unacked p99, ms", places=1),
    kit.Column("unacked_max", "unacked max, ms", places=1),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--reps", type=int, default=3, help="repetitions (default: 3)")
    parser.add_argument("--jobs", type=int, default=20_000, help="of the drain (default: 20,000)")
    parser.add_argument("--etas", type=int, default=1_000, help="calls with an eta (default: 1,000)")
    parser.add_argument("--long", type=float, default=60.0, help="seconds that the long jobs run (default: 60)")
    parser.add_argument("--only", choices=("drain", "lateness", "unacknowledged"), help="one of the three")
    options = parser.parse_args()
    values: kit.Values = {side: {} for side in SIDES}
    for rep in range(options.reps):
        for side in SIDES:
            progress(f"  {side}, {rep + 1} of {options.reps} ...")
            found: dict[str, float] = {}
            if options.only in (None, "drain"):
                found |= drain(side, options.jobs)
            if options.only in (None, "lateness"):
                found |= lateness(side, options.etas, 10.0)
            if options.only in (None, "unacknowledged") and side == "duly":
                found |= unacknowledged(options.long)
            for key, value in found.items():
                values[side].setdefault(key, []).append(value)
    progress("")
    print_table(tuple(column for column in COLUMNS if column.key in values["duly"]), values)
    print(f"\nmachine: {machine()}")


if __name__ == "__main__":
    main()
