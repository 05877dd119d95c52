"""Where a chaos run keeps its jobs, and what a demon can do to that place alone."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from chaos_checker import CLOCK, SERVER_CLOCK
from chaos_log import Log

sys.path.insert(0, str(Path(__file__).parents[2]))  # for who runs chaos_run.py itself

from tests.servers.postgres import PostgresServer
from tests.servers.process import Server
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer

Deeds = list[tuple[int, Callable[[], None]]]
"""What to do, and how often among the rest."""

_LOCK = """
import sqlite3, sys, time
sys.path.insert(0, sys.argv[3])
from chaos_log import Log
log = Log(sys.argv[4])
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
log.write("locked", seconds=float(sys.argv[2]))
time.sleep(float(sys.argv[2]))
db.execute("ROLLBACK")
log.write("unlocked")
"""


class Place(Protocol):
    """A place for a store."""

    url: str  # for workers and producers
    sure_url: str  # for the demon and the checker: nothing is between
    clock: int  # µs that its clock, as a worker knows it, may differ from the host's
    forgetful: bool  # see chaos_checker.Checker

    def deeds(self, rng: random.Random) -> Deeds: ...

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        ...

    def close(self) -> None: ...


class FilePlace:
    """A SQLite file. Its lock is held for a moment, or for longer than some leases; its wake-up sockets go."""

    def __init__(self, folder: Path, log: Log, log_file: Path) -> None:
        self.path = folder / "jobs.db"
        self.clock = CLOCK
        self.forgetful = False
        self.url = f"sqlite:///{self.path}"
        self.sure_url = self.url + "?timeout=0.5"
        self._log = log
        self._log_file = log_file
        self._locker: subprocess.Popen[bytes] | None = None

    def deeds(self, rng: random.Random) -> Deeds:
        return [(2, lambda: self.lock(rng)), (2, lambda: self.unlink_sockets(rng))]

    def lock(self, rng: random.Random) -> None:
        if self._locker is not None and self._locker.poll() is None:
            return
        seconds = rng.choice([0.1, 0.3, 0.5, 2.5])
        here = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, "-c", _LOCK, str(self.path), str(seconds), here, str(self._log_file)]
        self._locker = subprocess.Popen(command)

    def unlink_sockets(self, rng: random.Random) -> None:
        folder = f"{self.path}-wake"
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in rng.sample(names, min(3, len(names))):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
        self._log.write("unlink", n=len(names))

    def heal(self) -> None:
        if self._locker is not None:
            self._locker.wait(30)

    def close(self) -> None:
        """The folder has it."""


class ServerPlace:
    """A server that loses nothing, behind a network that does: it is restarted, killed and frozen, its connections
    are cut, its answers lost."""

    def __init__(self, server: Server, url: str, sure_url: str, log: Log, forgetful: bool = False) -> None:
        """``url``: the store's, with {port} for the proxy's port."""
        self.clock = SERVER_CLOCK
        self.forgetful = forgetful
        self.server = server.start()
        self.proxy = Proxy(server.port).start()
        self.url = url.format(port=self.proxy.port)
        self.sure_url = sure_url
        self._log = log

    def deeds(self, rng: random.Random) -> Deeds:
        return [
            (2, lambda: self._down("restarted", self.server.restart)),
            (2, lambda: self._down("killed", self._kill_and_start)),
            (2, lambda: self._down("frozen", lambda: self._freeze(rng.choice([0.1, 0.3, 2.5])))),
            (4, self.cut),
            (4, lambda: self.lose_an_answer(rng)),
            (1, lambda: self._silence(rng.choice([0.2, 2.5]))),
        ]

    def _down(self, how: str, do: Callable[[], None]) -> None:
        self._log.write("server", how=how)
        do()
        self._log.write("served", how=how)

    def _kill_and_start(self) -> None:
        self.server.kill()
        self.server.start()

    def _freeze(self, seconds: float) -> None:
        self.server.pause()
        time.sleep(seconds)
        self.server.resume()

    def _silence(self, seconds: float) -> None:
        """Connections stay, and nothing comes through."""
        self._log.write("server", how="silent")
        self.proxy.hold()
        time.sleep(seconds)
        self.proxy.heal()

    def cut(self) -> None:
        self._log.write("server", how="cut")
        self.proxy.cut()

    def lose_an_answer(self, rng: random.Random) -> None:
        self._log.write("server", how="lost answer")
        left = [rng.randrange(20)]

        def watch(_: bytes) -> bool:
            left[0] -= 1
            return left[0] == -1

        self.proxy.cut_answer(watch)

    def heal(self) -> None:
        self.proxy.heal()

    def close(self) -> None:
        self.proxy.stop()
        self.server.stop()


def redis_place(folder: Path, log: Log) -> ServerPlace:
    server = RedisServer(folder / "redis", {"appendonly": "yes", "appendfsync": "always"})
    return ServerPlace(server, "redis://127.0.0.1:{port}?timeout=2", server.url(), log)


def postgres_place(folder: Path, log: Log) -> ServerPlace:
    server = PostgresServer(folder / "postgres")
    url = "postgresql://postgres@127.0.0.1:{port}/postgres?timeout=2"
    return ServerPlace(server, url, server.url(), log, forgetful=True)


PLACES = ("sqlite", "redis", "postgres")


def make(kind: str, folder: Path, log: Log, log_file: Path) -> Place:
    """The place of this kind, ready for a store."""
    if kind == "redis":
        return redis_place(folder, log)
    if kind == "postgres":
        return postgres_place(folder, log)
    return FilePlace(folder, log, log_file)
