"""The dashboard beside a large store: how soon each page comes, and what an open one costs a worker.

``.venv/bin/python -m bench.dashboard --jobs 10000000`` (a quarter of an hour, 5 GB). The store is a new SQLite file
unless ``--store`` names one; one that holds jobs is measured as it is. Of the jobs 1 in 100 has ended (half of these
failed), the others are due over the coming year. The dashboard is a process of its own; pages are asked for one after
the other.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from duly import store as stores
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Outcome, WorkerInfo
from duly.store.contract import Store

PAGES = (
    "/", "/future", "/future?span=1d", "/future?span=1y", "/jobs", "/jobs?q=state:failed", "/jobs?q=state:scheduled",
    "/jobs?q=task:tasks.rare", "/jobs?q=args.n:77", "/failures", "/tasks", "/schedules", "/punctuality", "/audit",
    "/metrics", "/api/v1/status",
)  # fmt: skip
YEAR = 365 * 86_400_000_000
QUEUES = ("mail", "push", "crawl", "webinars")
_BATCH = 10_000


def fill(store: Store, n: int) -> None:
    """``n`` jobs, 1 in 100 of them ended."""
    rng = random.Random(1)
    now = store.now()
    ended = n // 100
    for begin in range(0, n - ended, _BATCH):
        store.enqueue([
            Job(
                id=new_id(), task="tasks.rare" if i % 1_000_000 == 0 else f"tasks.t{i % 7}", queue=QUEUES[i % 4],
                due=now + 600_000_000 + rng.randrange(YEAR), args=b'[[%d],{"n":%d}]' % (i, i),
            )
            for i in range(begin, min(begin + _BATCH, n - ended))
        ])  # fmt: skip
    worker = store.register(WorkerInfo(name="past", host="bench", pid=1, queues=("past",), slots=1), 3_600_000_000)
    error = json.dumps({"type": "ValueError", "message": "no such address: 'x'"}).encode()
    for begin in range(0, ended, 500):
        store.enqueue(
            [Job(id=new_id(), task="tasks.t1", queue="past", due=now) for _ in range(min(500, ended - begin))]
        )
        leases = store.exchange(worker, 0, [], 500, ("past",)).leases
        outcomes = [
            Outcome(lease, Kind.FAILED if i % 2 else Kind.SUCCEEDED, now, now + 5_000, error=error if i % 2 else None)
            for i, lease in enumerate(leases)
        ]
        store.exchange(worker, 0, outcomes, 0, ())
    store.unregister(worker)


@contextmanager
def dashboard(url: str) -> Iterator[str]:
    """A dashboard in a process of its own; gives its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "duly", "--store", url, "dashboard", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield line.partition(": ")[2].strip().rstrip("/")
    finally:
        process.terminate()
        process.wait(10)


def first_byte(base: str, path: str) -> tuple[float, float]:
    """Seconds until the first byte, and until the last."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept": "text/html"})
    response = connection.getresponse()
    response.read(1)
    first = time.perf_counter() - began
    response.read()
    assert response.status == 200, (path, response.status)
    connection.close()
    return first, time.perf_counter() - began


def rendered(base: str, paths: Sequence[str], times: int) -> dict[str, float]:
    """p95 of the seconds until Chromium has loaded a page and drawn it."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page()
        for path in paths:
            took = []
            for _ in range(times):
                began = time.perf_counter()
                page.goto(base + path, wait_until="load")
                page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                took.append(time.perf_counter() - began)
            found[path] = p95(took)
        browser.close()
    return found


def p95(values: Sequence[float]) -> float:
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def cost(url: str, base: str, rounds: int, jobs: int) -> tuple[list[float], list[float]]:
    """Jobs per second of one seat that drains, without and with an open Now page, in turns."""
    store = stores.open(url)
    worker = store.register(WorkerInfo(name="drain", host="bench", pid=1, queues=("drain",), slots=1), 3_600_000_000)
    alone, watched = [], []
    for turn in range(2 * rounds):
        store.enqueue([Job(id=new_id(), task="tasks.t1", queue="drain", due=store.now()) for _ in range(jobs)])
        stop = threading.Event()
        if turn % 2:
            threading.Thread(target=_watch, args=(base, stop), daemon=True).start()
            time.sleep(2.5)  # until the stream is there
        began = time.perf_counter()
        outcomes: list[Outcome] = []
        while leases := (got := store.exchange(worker, 0, outcomes, 100, ("drain",), True)).leases:
            now = store.now()
            outcomes = [Outcome(lease, Kind.SUCCEEDED, now, now, b"1") for lease in leases]
            assert not got.refused
        (watched if turn % 2 else alone).append(jobs / (time.perf_counter() - began))
        stop.set()
    store.close()
    return alone, watched


def _watch(base: str, stop: threading.Event) -> None:
    """An open Now page: its stream of events, read."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("GET", "/live")
    response = connection.getresponse()
    while not stop.is_set():
        response.read1(65_536)
    connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="how many are stored")
    parser.add_argument("--store", help="the URL of a store; a new SQLite file unless given")
    parser.add_argument("--times", type=int, default=20, help="how often each page is asked for")
    parser.add_argument("--browser", action="store_true", help="also the full render, in Chromium")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.store or f"sqlite:///{Path(folder) / 'store.db'}"
        store = stores.open(url)
        if not store.jobs(Filter(), limit=1).jobs:
            began = time.perf_counter()
            fill(store, given.jobs)
            print(f"{given.jobs:,} jobs stored in {time.perf_counter() - began:.0f} s", flush=True)
        store.close()
        with dashboard(url) as base:
            print(
                f"{'page':28} {'first':>8} {'p50':>8} {'p95':>8}   ms to the first byte (first: of a new dashboard)"
            )
            for path in PAGES:
                took = [first_byte(base, path)[0] * 1000 for _ in range(given.times)]
                print(f"{path:28} {took[0]:8.0f} {sorted(took)[len(took) // 2]:8.0f} {p95(took):8.0f}", flush=True)
            if given.browser:
                for path, seconds in rendered(
                    base, [p for p in PAGES if not p.startswith(("/m", "/api"))], 8
                ).items():
                    print(f"{path:28} {seconds * 1000:8.0f}   ms until drawn, p95", flush=True)
            alone, watched = cost(url, base, 4, 20_000)
            middle = [sorted(rates)[len(rates) // 2] for rates in (alone, watched)]
            ratio = middle[1] / middle[0]
            print(f"drain: {middle[0]:,.0f}/s alone, {middle[1]:,.0f}/s with a Now page open: {ratio:.3f}")


if __name__ == "__main__":
    main()
