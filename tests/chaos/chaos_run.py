"""A chaos run: workers and producers on one store, a demon among them, and a checker at the end.

``python tests/chaos/chaos_run.py --seconds 60 --seed 7 --store redis`` runs one and prints the report. The demon's
choices follow from the seed; what they hit depends on the moment: a seed says what was done and not what came of it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from chaos_checker import Checker, Report
from chaos_demon import Demon
from chaos_log import Log, parse
from chaos_places import PLACES, make

from duly import store as stores
from duly.job import Attempt, Filter, JobView
from duly.store import Store
from duly.worker import proctree

HERE = Path(__file__).parent
POOLS = ("process", "thread", "async")
MANNERS = ("threads", "bulk", "loop")
_PATH = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
ENOUGH = 120
"""Jobs that have to succeed before a run has put anything to the test."""

PATIENCE = 120.0
"""Seconds beyond those asked for in which a slow machine has to come so far."""

LIVE = ("scheduled", "held", "queued", "retrying", "running")


class Worker:
    """A worker process as the demon sees it."""

    def __init__(self, process: subprocess.Popen[bytes], pool: str, lease: float) -> None:
        self.process = process
        self.pool = pool
        self.lease = lease
        self.frozen = False
        self.leaving = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def executors(self) -> list[int]:
        """Pids of its executors."""
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self.pid).children() if _is_executor(child)]
        return []


def _is_executor(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "duly.worker.executor" in process.cmdline()
    return False


class Run:
    """One run.

    1. ``play``: the demon rages for some seconds, and on until ENOUGH jobs have succeeded; then all is healed and the
       backlog is worked off.
    2. ``check`` reads the log and the store.
    3. ``close`` ends what is left, and removes the folder if asked to.
    """

    tasks = "chaos_tasks"  # the module of the workers' app

    def __init__(self, seed: int, kind: str = "sqlite") -> None:
        """``kind``: one of ``chaos_places.PLACES``."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix=f"duly-chaos-{seed}-"))
        self.log_file = self.folder / "log"
        self.log = Log(self.log_file)
        self.place = make(kind, self.folder, self.log, self.log_file)
        self.url = self.place.url
        self.store: Store = stores.open(self.place.sure_url)
        self.mark = f"CHAOS_RUN={self.folder.name}"
        self.workers: list[Worker] = []
        self.producers: dict[str, subprocess.Popen[bytes]] = {}
        self.problems: list[str] = []
        self._started = 0

    def play(self, seconds: float) -> None:
        self.store.counts()  # makes the file
        demon = Demon(self, self.rng)
        self.staff()
        begin = time.monotonic()
        while (raged := time.monotonic() - begin) < seconds or self._is_short():
            if raged > seconds + PATIENCE:
                self.problems.append(f"not even {ENOUGH} jobs succeeded within {raged:.0f} s")
                break
            demon.act()
            self.staff()
            if raged > seconds:
                self._let_work()
        demon.heal()
        self._end_producers()
        self.finish()

    def finish(self) -> None:
        """Wait until all jobs have ended, and stop the workers."""
        self._drain(60)
        self._end_workers(30)

    def _is_short(self) -> bool:
        """Hardly anything has happened yet."""
        return self._succeeded(ENOUGH) < ENOUGH

    def _let_work(self) -> None:
        """Where workers hardly come up between two deeds, the demon holds back until they have."""
        wanted, end = self._succeeded(ENOUGH) + ENOUGH // 12, time.monotonic() + PATIENCE / 12
        while self._succeeded(wanted) < wanted and time.monotonic() < end:
            time.sleep(0.05)

    def _succeeded(self, most: int) -> int:
        """How many jobs have; ``most`` if it is more."""
        return len(self.store.jobs(Filter(states=("succeeded",)), limit=most).jobs)

    # -- staff ---------------------------------------------------------------------------------------

    def staff(self) -> None:
        """One worker of each pool that is not leaving, one producer of each manner."""
        self.workers = [worker for worker in self.workers if worker.alive()]
        present = {worker.pool for worker in self.workers if not worker.leaving}
        for pool in POOLS:
            if pool not in present:
                self.start_worker(pool, self.rng.choice([1.0, 1.5, 2.0]))
        for manner in MANNERS:
            if manner not in self.producers or self.producers[manner].poll() is not None:
                self.producers[manner] = self.start(
                    "producer", [str(HERE / "chaos_producer.py"), manner, self.url, str(self.rng.randrange(10**9))]
                )

    def start_worker(self, pool: str, lease: float, slots: int = 2, url: str | None = None) -> Worker:
        """A worker; ``lease`` in seconds, ``url`` where its way to the store is another than that of the rest."""
        command = ["-m", "duly", "-A", self.tasks, "--store", url or self.url, "worker", "-l", "INFO"]
        command += ["--pool", pool, "-c", str(slots), "--lease", f"{lease}s"]
        self.workers.append(Worker(self.start("worker", command), pool, lease))
        return self.workers[-1]

    def start(self, what: str, command: list[str]) -> subprocess.Popen[bytes]:
        """A process of this run, its output in a file of its own."""
        self._started += 1
        environment = os.environ | {"CHAOS_LOG": str(self.log_file), "PYTHONPATH": os.pathsep.join(_PATH)}
        environment[self.mark.partition("=")[0]] = self.folder.name
        with open(self.folder / f"{what}{self._started}.out", "wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command], stdout=output, stderr=output, env=environment, cwd=HERE
            )
        self.log.write(what, child=process.pid, command=command, output=f"{what}{self._started}.out")
        return process

    # -- the end -------------------------------------------------------------------------------------

    def _end_producers(self) -> None:
        for producer in self.producers.values():
            producer.send_signal(signal.SIGTERM)
        for manner, producer in self.producers.items():
            if producer.wait(30) not in (0, -signal.SIGTERM):
                self.problems.append(f"the {manner} producer, pid {producer.pid}, ended with {producer.returncode}")

    def _drain(self, patience: float) -> None:
        """Wait until no job is waiting or running."""
        end = time.monotonic() + patience
        while left := self.store.jobs(Filter(states=LIVE), limit=5).jobs:
            if time.monotonic() > end:
                self.problems.append(f"jobs that never end: {[(job.id, job.task, job.state.name) for job in left]}")
                return
            time.sleep(0.05)

    def _end_workers(self, patience: float) -> None:
        self.workers = [worker for worker in self.workers if worker.alive()]
        for worker in self.workers:
            worker.process.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                status = worker.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.problems.append(f"the {worker.pool} worker {worker.pid} does not leave")
                continue
            if status:
                self.problems.append(f"the {worker.pool} worker {worker.pid} left idle, with status {status}")
        end = time.monotonic() + 10
        while left := proctree.members(self.mark):
            if time.monotonic() > end:
                self.problems.append(f"processes that nobody ended: {[process.pid for process in left]}")
                return
            time.sleep(0.05)

    def check(self) -> Report:
        """What the log and the store say. Call it when all has ended."""
        events, torn = parse(self.log_file.read_bytes())
        jobs = {job.id: job for job in self._jobs()}
        attempts: dict[str, list[Attempt]] = {id_: self.store.attempts(id_) for id_ in jobs}
        report = Checker(
            events, jobs, attempts, self._fences(events), self.place.clock, self.place.forgetful
        ).report()
        report.problems[:0] = self.problems
        report.problems += [f"store: {found.text}" for found in self.store.examine() if found.severity == "error"]
        report.counts["other: log lines cut short"] = torn
        return report

    def _jobs(self) -> list[JobView]:
        jobs: list[JobView] = []
        after: str | None = None
        while True:
            page = self.store.jobs(Filter(), after=after, limit=1_000)
            jobs += page.jobs
            if (after := page.after) is None:
                return jobs

    def _fences(self, events: list[Any]) -> dict[int, int]:
        """How often each worker ended its executors because it could not renew its lease, by pid."""
        found = {}
        for event in events:
            if event.what == "worker":
                text = (self.folder / event["output"]).read_text(errors="replace")
                found[event["child"]] = text.count("starting anew") + text.count("others may run them")
                found[event["child"]] += text.count("the executor ends itself")
        return found

    def close(self, keep: bool) -> None:
        for process in proctree.members(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        for child in [*self.producers.values(), *(worker.process for worker in self.workers)]:
            child.wait(10)
        self.store.close()
        self.place.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="One chaos run.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--store", choices=PLACES, default="sqlite")
    options = parser.parse_args()
    run = Run(options.seed, options.store)
    keep = True
    try:
        run.play(options.seconds)
        report = run.check()
        keep = bool(report.problems)
        print(
            report.text(
                f"{options.store}, seed {options.seed}, {options.seconds:g} s" + (f", {run.folder}" if keep else "")
            )
        )
    finally:
        run.close(keep)
    return int(keep)


if __name__ == "__main__":
    sys.exit(main())
