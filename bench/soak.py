"""Soak: one queue on PostgreSQL kept busy with millions of jobs; does it get slower, does it grow?

``python -m bench.soak --jobs 3000000``: jobs are stored and run (as far as the store sees it) in rounds of 20,000,
without a pause, beside a million that are due tomorrow; what has ended is pruned as it goes. For each tenth it prints
the rate of all that, the rate at which they are run, the server's processor time for a job, and the size of the table
of jobs and of its indexes; at the end, the last tenth beside the second (in the first little is pruned yet).
"""

from __future__ import annotations

import argparse
import time

import psutil
import psycopg
from tests.servers.postgres import PostgresServer, place

import duly.store
from duly.clock import MICROS
from duly.ids import new_id
from duly.job import Job, Kind, Outcome, WorkerInfo
from duly.store.postgres import PostgresStore

ROUND = 20_000  # jobs
BATCH = 500  # jobs in an exchange
TIDY = 0.5  # seconds, as a worker does it
KEEP = 10 * MICROS  # µs for which an ended job is kept


class Soak:
    """One store, and who works on it."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.store = duly.store.open(server.url())
        assert isinstance(self.store, PostgresStore)
        self.worker = self.store.register(WorkerInfo(name="soak", host="h", pid=1), 10**12)
        self._tidied = time.monotonic()
        self.draining = 0.0  # seconds in which jobs were run and not stored

    def fill(self, n: int) -> None:
        """Jobs that are due tomorrow."""
        tomorrow = self.store.now() + 86_400 * MICROS
        for start in range(0, n, 1_000):
            self.store.enqueue([Job(id=new_id(), task="t", due=tomorrow + start + i) for i in range(1_000)])

    def turn(self) -> None:
        """Store a round of jobs, and run them."""
        now = self.store.now()
        for _ in range(ROUND // 1_000):
            self.store.enqueue([Job(id=new_id(), task="t", due=now) for _ in range(1_000)])
        began = time.monotonic()
        self.drain()
        self.draining += time.monotonic() - began

    def drain(self) -> None:
        outcomes: list[Outcome] = []
        while True:
            got = self.store.exchange(self.worker, 0, outcomes, BATCH, ["default"])
            now = self.store.now()
            outcomes = [Outcome(lease, Kind.SUCCEEDED, now, now, b"1") for lease in got.leases]
            self.tidy()
            if not outcomes:
                return

    def tidy(self) -> None:
        if time.monotonic() - self._tidied > TIDY:
            self.store.maintain()
            before = self.store.now() - KEEP
            while self.store.prune(before, before, 5_000) == 5_000:
                pass
            self._tidied = time.monotonic()

    def size(self) -> tuple[int, int]:
        """MB of the table of jobs and of its indexes."""
        asked = "SELECT pg_table_size('duly.jobs') >> 20, pg_indexes_size('duly.jobs') >> 20"
        with psycopg.connect(self.server.conninfo()) as connection:
            row = connection.execute(asked).fetchone()
        assert row is not None
        return row[0], row[1]

    def server_time(self) -> float:
        """Seconds of processor time that the server has used."""
        assert self.server.process is not None
        postmaster = psutil.Process(self.server.process.pid)
        times = [postmaster.cpu_times(), *(child.cpu_times() for child in postmaster.children())]
        return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def measure(soak: Soak, rounds: int, so_far: int) -> dict[str, float]:
    """Some rounds; prints a line, and gives its figures."""
    began, used, drained = time.monotonic(), soak.server_time(), soak.draining
    for _ in range(rounds):
        soak.turn()
    seconds, cpu, draining = time.monotonic() - began, soak.server_time() - used, soak.draining - drained
    table, indexes = soak.size()
    n = rounds * ROUND
    figures = {"drain": n / draining, "table": table, "indexes": indexes}
    rates = f"{n / seconds:,.0f}", f"{n / draining:,.0f}", f"{cpu / n * 1e6:.1f}"
    print(_row(f"{so_far:,}", *rates, f"{table:,}", f"{indexes:,}"), flush=True)
    return figures


def _row(*cells: str) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, (10, 8, 9, 13, 8, 10), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=3_000_000)
    parser.add_argument("--future", type=int, default=1_000_000)
    asked = parser.parse_args()
    with place() as folder, PostgresServer(folder / "postgres", settings={"autovacuum_naptime": "60s"}) as server:
        soak = Soak(server)
        soak.fill(asked.future)
        print(_row("jobs", "jobs/s", "drained/s", "server µs/job", "table MB", "indexes MB"))
        part = max(asked.jobs // 10 // ROUND, 1)
        tenths = [measure(soak, part, part * ROUND * (i + 1)) for i in range(10)]
        first, last = tenths[1], tenths[-1]
        print("last to second: " + ", ".join(f"{name} x{last[name] / first[name]:.2f}" for name in first))
        soak.store.close()


if __name__ == "__main__":
    main()
