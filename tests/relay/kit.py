"""A Celery fleet with a relay beside it: real processes, a real broker, and a file of what ran when."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from tests.servers.celery import CeleryProgram

from duly import store as stores
from duly.errors import StoreError
from duly.job import Filter, JobView

PATIENCE = 60.0  # seconds for what takes moments on a quiet machine

PROJECT = """
import json, os, time
from celery import Celery

app = Celery("proj", broker=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
app.conf.task_routes = {"proj.later": {"queue": "celery.later"}}

def note(**said):
    line = json.dumps({"at": time.time(), **said}) + "\\n"
    fd = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)

@app.task(bind=True)
def later(self, *args, **kwargs):
    info = self.request.delivery_info
    note(
        id=self.request.id, args=args, kwargs=kwargs, eta=self.request.eta, expires=self.request.expires,
        headers=self.request.headers, queue=info["routing_key"], priority=info["priority"],
        retries=self.request.retries,
    )
"""


class Note(msgspec.Struct, kw_only=True):
    """What one run of ``proj.later`` said of itself."""

    id: str
    at: float  # seconds since 1970
    args: list[Any]
    kwargs: dict[str, Any]
    eta: str | None
    expires: str | None
    headers: dict[str, Any] | None
    queue: str
    priority: int | None
    retries: int


class Fleet:
    """``proj`` on a broker; ``relay`` starts relays for it. Everything ends with ``with``."""

    def __init__(self, folder: Path, broker: str, text: str = PROJECT, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.broker = broker
        self.results = ""  # where Celery's workers put them
        self.store = f"sqlite:///{folder}/relay.db"
        self._notes = folder / "notes"
        self.celery = CeleryProgram(
            folder / "celery", text, {"BROKER": broker, "NOTES": str(self._notes), **environment}
        )
        self._relays: list[subprocess.Popen[bytes]] = []

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        """A Celery worker, ready."""
        seen = self.celery.log().count(" ready.")
        process = self.celery.start("worker", "-c", "1", "-l", "INFO", "-Q", "celery", *words)
        until(lambda: self.celery.log().count(" ready.") > seen or process.poll() is not None, self.celery.log)
        return process

    def relay(self, *words: str, wait: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        """``duly relay``, which has begun to put."""
        return self._start(words, environment, "puts what waits" if wait else "")

    def _start(self, words: tuple[str, ...], environment: Mapping[str, str], ready: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"relay{len(self._relays)}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "duly", "--store", self.store, "relay", "-b", self.broker, *words],
                stdout=file, stderr=file, env={**os.environ, **environment},
            )  # fmt: skip
        self._relays.append(process)
        if ready:
            until(lambda: ready in log.read_text() or process.poll() is not None, log.read_text)
        return process

    def log(self, number: int = 0) -> str:
        return (self.folder / f"relay{number}.log").read_text()

    def logs(self) -> str:
        return "\n".join(self.log(number) for number in range(len(self._relays))) + self.celery.log()

    def duly(self, *words: str) -> str:
        """What ``duly`` says to these words."""
        command = [sys.executable, "-m", "duly", "--store", self.store, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def jobs(self) -> list[JobView]:
        """The relay's jobs, newest first."""
        try:
            store = stores.open(self.store, create=False)
            try:
                return store.jobs(Filter()).jobs
            finally:
                store.close()
        except StoreError:  # there is none yet
            return []

    def states(self) -> list[str]:
        now = time.time_ns() // 1000
        return [job.state_name(now) for job in self.jobs()]

    def notes(self) -> list[Note]:
        if not self._notes.exists():
            return []
        return [msgspec.json.decode(line, type=Note) for line in self._notes.read_text().splitlines()]

    def runs(self, id: str) -> int:
        return sum(note.id == id for note in self.notes())

    def end_relay(self, number: int) -> None:
        """Tell it to leave, and see it leave well."""
        self._relays[number].terminate()
        assert self._relays[number].wait(30) == 0, self.log(number)

    def kill_relay(self, number: int) -> None:
        self._relays[number].kill()
        self._relays[number].wait(30)

    def until(self, what: Callable[[], bool], patience: float = PATIENCE) -> None:
        until(what, self.logs, patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._relays:
            process.terminate()
        for process in self._relays:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.celery.close()


def until(what: Callable[[], bool], otherwise: Callable[[], str], patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, f"did not happen within {patience:g} s\n{otherwise()[-6000:]}"
        time.sleep(0.05)
