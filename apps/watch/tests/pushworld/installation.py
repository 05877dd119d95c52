"""A whole installation in a folder: its databases, real workers, and programs that run inside of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from installation import eventually

from pushworld.google import Google

TESTS = Path(__file__).parents[1]


class Installation:
    """``settings``: more of the environment, by the names of its fields."""

    def __init__(self, folder: Path, google: Google, **settings: str) -> None:
        self.folder = folder
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("WATCH_", "DULY_"))}
        mine = {
            "folder": str(folder), "fcm": str(google.key_file(folder)), "fcm_url": google.url, "private": "1",
            "contact": "watch@example.org", **settings,
        }  # fmt: skip
        self.env = outside | {f"WATCH_{name.upper()}": value for name, value in mine.items()}
        self.env |= {"DJANGO_SETTINGS_MODULE": "watch.settings", "PYTHONPATH": str(TESTS)}
        self.workers: list[subprocess.Popen[bytes]] = []

    def ask(self, function: str, *args: Any) -> Any:
        """What a function of ``pushworld.inside`` gives, called in a process of its own."""
        with self.asked(function, *args) as answer:
            pass
        return answer[0]

    @contextlib.contextmanager
    def asked(self, function: str, *args: Any) -> Iterator[list[Any]]:
        """The same while something else goes on; the answer is in the list afterwards."""
        command = [sys.executable, "-m", "pushworld.inside", function, json.dumps(args)]
        process = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        answer: list[Any] = []
        try:
            yield answer
            said, error = process.communicate(timeout=300)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        assert process.returncode == 0, error
        answer.append(json.loads(said.splitlines()[-1]))

    def states(self) -> dict[str, int]:
        """How many deliveries are in which state; of an installation on SQLite."""
        with contextlib.closing(sqlite3.connect(self.folder / "watch.sqlite3", timeout=30)) as database:
            return dict(database.execute("SELECT state, count(*) FROM watch_delivery GROUP BY state"))

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        """A worker that is ready."""
        log = self.folder / f"worker{len(self.workers)}.log"
        command = [sys.executable, "-m", "watch", "manage", "duly", "worker", "-l", "INFO", *words]
        with open(log, "wb") as output:
            process = subprocess.Popen(command, env=self.env, stdout=output, stderr=output)
        self.workers.append(process)
        eventually(lambda: "Ready." in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        return process

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


@contextlib.contextmanager
def installed(folder: Path, people: int, **settings: str) -> Iterator[tuple[Installation, Google]]:
    """With its tables and so many subscribers, and a Google at which every token is registered."""
    google = Google()
    google.everybody = True
    installation = Installation(folder, google, **settings)
    try:
        installation.ask("prepare", people)
        yield installation, google
    finally:
        installation.end()
        google.close()


def client_of(port: int) -> int:
    """The process that has this port of loopback."""
    return next(
        found.pid
        for found in psutil.net_connections("tcp4")
        if found.laddr and found.laddr.port == port and found.pid not in (None, os.getpid())
    )
