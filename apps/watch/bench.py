"""Figures of this application on this machine: ``python apps/watch/bench.py [rate] [beside] [chaos]``.

Google is the tests' own, on loopback; workers and stores are real.

* rate: notifications per second, with a Google that answers at once, and with one that takes 50 ms as the real one
may. * beside: from a post's discovery to Google's yes while crawls keep every crawl slot busy, beside the same
program on Celery
  with one queue and with two (needs redis-server, and ``make .celery/.stamp`` once).
* chaos: ``--posts`` for ``--people`` while workers are killed; each pair has to be told once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent / "tests"))

import psutil
from pushworld import chaos as storm
from pushworld.google import Google
from pushworld.installation import eventually, installed
from pushworld.slow import SlowSites
from tests.servers.redis import RedisServer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

CRAWL = 5.0  # seconds that a site takes
SITES = 40  # crawls that are due at once: 100 s of work for two slots
POSTS, PEOPLE, PAUSE = 30, 5, 1.0  # of beside: a post each second for five people
EXECUTORS = 3  # of each program: two that crawl, one that tells, or three that do either
CELERY = ROOT / ".celery" / "bin" / "python"

ONE_FOR_ALL = ("-Q", "notify=4,crawl=1", "-c", str(EXECUTORS), "--reserve", "notify=1")
CRAWLER = ("-n", "crawler", "-Q", "crawl", "-c", str(EXECUTORS - 1))
NOTIFICATOR = ("-n", "notificator", "-Q", "notify", "-c", "1")


def main() -> None:
    runs: dict[str, Callable[[argparse.Namespace], None]] = {"rate": rate, "beside": beside, "chaos": chaos}
    parser = argparse.ArgumentParser(description="Figures of watch on this machine.")
    parser.add_argument("what", nargs="*", choices=[*runs, []], default=["rate", "beside"])
    parser.add_argument("--posts", type=int, default=200, help="of chaos")
    parser.add_argument("--people", type=int, default=500, help="of chaos")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of chaos")
    options = parser.parse_args()
    print(f"{psutil.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    for name in options.what:
        runs[name](options)


# -- notifications per second ------------------------------------------------------------------------


def rate(options: argparse.Namespace) -> None:
    print("notifications per second, SQLite, one worker")
    for threads, delay, posts in ((1, 0.0, 4), (8, 0.0, 10), (16, 0.05, 10), (64, 0.05, 10)):
        with folder() as place, installed(place, 500) as (installation, google):
            google.takes = delay
            installation.ask("posts", 0, posts)
            worker = psutil.Process(installation.worker("-Q", "notify", "-P", "thread", "-c", str(threads)).pid)
            before = cpu(worker)
            eventually(lambda: len(google.accepted) >= 500 * posts, 600)  # noqa: B023 - waited for at once
            each = (cpu(worker) - before) / (500 * posts)
            moments = sorted(at for _, _, at in google.accepted)
        span = moments[-1] - moments[0]
        speed = f"{len(moments) / span:6,.0f}/s, {each * 1e3:.1f} ms of CPU each"
        print(f"  {threads:3} threads, Google takes {delay * 1e3:2.0f} ms: {speed}")


def cpu(worker: psutil.Process) -> float:
    """Seconds of CPU that a worker has used, with its executors."""
    return sum(sum(one.cpu_times()[:2]) for one in (worker, *worker.children(recursive=True)))


# -- from a post to its pushes, beside crawls -----------------------------------------------------------


def beside(options: argparse.Namespace) -> None:
    print(f"from a post to Google's yes, {SITES} crawls of {CRAWL:.0f} s due, {EXECUTORS} executors")
    print("                                          p50        p99        max")
    show("watch, one worker with a reserved slot", ours(ONE_FOR_ALL))
    show("watch, two workers", ours(CRAWLER, NOTIFICATOR))
    show("Celery, one queue", celerys(1))
    show("Celery, two queues", celerys(2))


def show(name: str, seconds: list[float]) -> None:
    figures = (at(seconds, 50), at(seconds, 99), max(seconds))
    print(f"  {name:38}" + "".join(f"{figure * 1e3:8,.0f} ms" for figure in figures))


def ours(*workers: tuple[str, ...]) -> list[float]:
    """Seconds for each push, from the instant its delivery was noted."""
    with folder() as place, slow() as sites, installed(place, PEOPLE) as (installation, google):
        for words in workers:
            installation.worker(*words)
        installation.ask("sites", *sites.urls(SITES))
        eventually(lambda: sites.at_once >= EXECUTORS - 1)
        found = installation.ask("posts_slowly", POSTS, PAUSE)
        eventually(lambda: len(google.counts()) == POSTS * PEOPLE, 300)
        assert sites.begun < SITES, "the crawls were done before the posts"
        return since(found, google)


def celerys(queues: int) -> list[float]:
    with folder() as place, slow() as sites, RedisServer(place) as redis, contextlib.closing(Google()) as google:
        google.everybody = True
        google.tokens["bench"] = float("inf")
        env = {**os.environ, "BENCH_REDIS": redis.url(), "BENCH_FCM": google.url, "BENCH_QUEUES": str(queues)}
        words = [("-c", str(EXECUTORS))]
        if queues == 2:
            words = [("-Q", "crawl", "-c", str(EXECUTORS - 1)), ("-Q", "notify", "-c", "1")]
        with contextlib.ExitStack() as started:
            for number, more in enumerate(words):
                started.enter_context(celery_worker(place, env, f"w{number}", *more))
            given = json.dumps([POSTS, PEOPLE, PAUSE, sites.urls(SITES)])
            command = [str(CELERY), "bench_celery.py", given]
            found = json.loads(subprocess.run(command, cwd=HERE, env=env, check=True, capture_output=True).stdout)
            eventually(lambda: len(google.counts()) == POSTS * PEOPLE, 600)
        return since(found, google)


@contextlib.contextmanager
def celery_worker(place: Path, env: dict[str, str], name: str, *words: str) -> Iterator[None]:
    if not CELERY.exists():
        raise SystemExit(f"no {CELERY}: make .celery/.stamp installs Celery there")
    command = [str(CELERY), "-m", "celery", "-A", "bench_celery", "worker", "-n", name, "-l", "INFO", *words]
    log = place / f"{name}.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, cwd=HERE, env=env, stdout=output, stderr=output)
    try:
        eventually(lambda: " ready." in log.read_text())
        yield
    finally:
        process.kill()
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.wait()


def at(values: list[float], percent: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[max(0, math.ceil(percent * len(values) / 100) - 1)]


def since(found: dict[str, float], google: Google) -> list[float]:
    """Seconds from each post's discovery to each of its pushes. Of a push that was made twice, to the first."""
    first: dict[tuple[str, str], float] = {}
    for device, key, moment in google.accepted:
        first.setdefault((device, key), moment)
    return [moment - found[key] for (_, key), moment in first.items()]


# -- chaos -----------------------------------------------------------------------------------------------


def chaos(options: argparse.Namespace) -> None:
    with folder() as place:
        outcome = storm.run(
            place,
            options.posts,
            options.people,
            options.seed,
            every=3.0,
            most=100,
            patience=options.posts * options.people,
        )
    print(f"seed {options.seed}: {outcome}")
    assert outcome.told == outcome.shown == outcome.pairs


# -- what they share ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """On a disk, not in /tmp, which is often memory."""
    (ROOT / ".bench" / "run").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".bench" / "run") as place:
        yield Path(place)


@contextlib.contextmanager
def slow() -> Iterator[SlowSites]:
    with contextlib.closing(SlowSites(CRAWL)) as sites:
        yield sites


if __name__ == "__main__":
    main()
