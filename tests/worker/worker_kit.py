"""Real workers for tests: start them, look at what they did, signal and kill them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from tests.waiting import PATIENCE, eventually

from duly import store as stores
from duly.ids import new_id
from duly.job import Filter, Job, JobView, State
from duly.worker import proctree

HERE = Path(__file__).parent

_RUN = """
import json, os, sys
from duly.worker.options import WorkerOptions
from duly.worker.supervisor import run
options, ready = json.loads(sys.argv[1]), sys.argv[2]
def say(info):
    with open(ready + ".new", "w") as file:
        file.write(info.name)
    os.rename(ready + ".new", ready)  # whole, once it is there
sys.exit(run(WorkerOptions(**options), say))
"""


class Worker:
    """A worker process of the shop."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, ready: Path) -> None:
        self.process = process
        self.log = log
        self.ready = ready

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_ready(self) -> Worker:
        eventually(lambda: self.ready.exists() or self.process.poll() is not None)
        assert self.ready.exists(), self.text()
        return self

    def executors(self) -> list[int]:
        """Pids of its executors."""
        try:
            children = psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [child.pid for child in children if "duly.worker.executor" in " ".join(_command(child))]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM, patience: float = PATIENCE) -> int:
        """Signal it and give its exit status."""
        self.send(number)
        return self.process.wait(patience)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


class Shop:
    """A store, a place for notes, and the workers that serve it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.store = stores.open(self.url)
        self.notes_file = folder / "notes"
        self.workers: list[Worker] = []

    def worker(
        self, *, env: dict[str, str] | None = None, wait: bool = True, nohup: bool = False, **options: Any
    ) -> Worker:
        """Start a worker; by default one executor and a lease of one second."""
        number = len(self.workers)
        settings = {"app": "worker_tasks", "store": self.url, "concurrency": 1, "lease": 1.0, "loglevel": "INFO"}
        settings |= {"workdir": str(HERE)} | options
        log, ready = self.folder / f"worker{number}.log", self.folder / f"worker{number}.ready"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [*(["nohup"] if nohup else []), sys.executable, "-c", _RUN, json.dumps(settings), str(ready)],
                stdout=output,
                stderr=output,
                env=os.environ | {"NOTES": str(self.notes_file)} | (env or {}),
            )
        worker = Worker(process, log, ready)
        self.workers.append(worker)
        return worker.wait_ready() if wait else worker

    def add(self, name: str, *args: Any, **job: Any) -> str:
        """Store a job of this task; gives its id."""
        data = json.dumps([args, {}]).encode()
        wanted = {"id": new_id(), "task": f"worker_tasks.{name}", "due": self.store.now(), "args": data} | job
        return self.store.enqueue([Job(**wanted)])[0].id

    def job(self, id: str) -> JobView:
        return self.store.jobs(Filter(ids=(id,))).jobs[0]

    def wait(self, id: str, patience: float = PATIENCE) -> JobView:
        """The job, once it is over."""
        eventually(lambda: self.job(id).state.final, patience)
        return self.job(id)

    def wait_state(self, id: str, state: State, patience: float = PATIENCE) -> JobView:
        eventually(lambda: self.job(id).state == state, patience)
        return self.job(id)

    def error(self, id: str) -> dict[str, Any]:
        return json.loads(self.job(id).error or b"{}")

    def outcomes(self, id: str) -> list[str]:
        return [attempt.outcome for attempt in self.store.attempts(id)]

    def notes(self, id: str | None = None) -> list[str]:
        """What tasks noted, of one job or of all."""
        if not self.notes_file.exists():
            return []
        lines = [line.split(" ", 1) for line in self.notes_file.read_text().splitlines()]
        return [text for job, text in lines if id is None or job == id]

    def wait_note(self, id: str, start: str = "began", count: int = 1) -> str:
        """The note of this job that begins so; the ``count``-th one."""
        found = eventually(lambda: self._noted(id, start, count))
        return found[count - 1]

    def _noted(self, id: str, start: str, count: int) -> list[str]:
        found = [text for text in self.notes(id) if text.startswith(start)]
        return found if len(found) >= count else []

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                for pid in worker.executors():
                    kill(pid, signal.SIGCONT)
                worker.send(signal.SIGCONT)
                worker.send(signal.SIGQUIT)
                try:
                    worker.process.wait(5)
                except subprocess.TimeoutExpired:
                    worker.process.kill()
                    worker.process.wait()
        self.store.close()


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def alive(pid: int) -> bool:
    found = proctree.look(pid)
    return found is not None and not found.zombie
