"""An installation of watch in real processes, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds
T = TypeVar("T")


def eventually(what: Callable[[], T], patience: float = PATIENCE) -> T:
    """Wait until ``what`` gives something true, and give that."""
    end = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < end, f"did not happen within {patience} s"
        time.sleep(0.02)
    return found


class Running:
    """A process that stays, and what it writes."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str], cwd: Path) -> None:
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=env, cwd=cwd)

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str) -> Running:
        eventually(lambda: words in self.text() or self.process.poll() is not None)
        assert words in self.text(), self.text()
        return self

    def end(self) -> int:
        """TERM, and its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return self.process.returncode


class Installation:
    """``folder``: of its databases. ``env``: WATCH_ variables."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.running: list[Running] = []
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("DULY_", "WATCH_"))}
        outside.pop("DJANGO_SETTINGS_MODULE", None)
        self.env = outside | {
            "WATCH_FOLDER": str(folder),
            "WATCH_PRIVATE": "1",
            "PYTHONPATH": str(HERE),
            "COLUMNS": "200",
            **env,
        }

    def run(self, *words: str, status: int = 0, stdin: str = "") -> str:
        """``watch`` with these words: what it says, on both of its outputs."""
        done = subprocess.run(
            [sys.executable, "-m", "watch", *words],
            env=self.env, cwd=self.folder, input=stdin, text=True, timeout=120, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of its database, read past watch."""
        if "WATCH_DATABASE" in self.env:
            with psycopg.connect(self.env["WATCH_DATABASE"]) as connection:
                return connection.execute(sql.encode()).fetchall()
        with contextlib.closing(sqlite3.connect(self.folder / "watch.sqlite3")) as file:
            return file.execute(sql).fetchall()

    def states(self) -> list[str]:
        """Of the sites, in the order of their numbers."""
        return [state for (state,) in self.query("SELECT state FROM watch_site ORDER BY id")]

    def start(self, *words: str, ready: str) -> Running:
        """``watch`` with these words, to stay."""
        command = [sys.executable, "-u", "-m", "watch", *words]
        running = Running(command, self.folder / f"log{len(self.running)}", self.env, self.folder)
        self.running.append(running)
        return running.wait_for(ready)

    def close(self) -> None:
        for running in reversed(self.running):
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()
