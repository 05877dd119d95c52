"""Redis of our own: alone, or with a replica."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.process import Server


class RedisServer(Server):
    """One server, in memory alone unless ``settings`` (of redis.conf, by name) say otherwise."""

    kind = "redis"
    package = "redis-server"

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self.settings = {"save": "", "appendonly": "no", **(settings or {})}

    def command(self) -> Sequence[str]:
        options = [part for name, value in self.settings.items() for part in (f"--{name}", value)]
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), *options]

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        """Whether it serves: not while it loads its data."""
        with contextlib.suppress(OSError):
            return self.ask("PING") == "+PONG"
        return False

    def ask(self, *words: str) -> str:
        """One command; what the server said, as it came."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as client:
            if password := self.settings.get("requirepass"):
                client.sendall(f"AUTH {_quoted(password)}\r\n".encode())
                client.recv(64)
            client.sendall(f"{' '.join(map(_quoted, words))}\r\nQUIT\r\n".encode())
            said = b""
            while data := client.recv(65536):
                said += data
        return said.decode(errors="replace").removesuffix("+OK\r\n").removesuffix("\r\n")


class RedisReplica(RedisServer):
    """A server that follows another."""

    def __init__(self, folder: Path, primary: RedisServer, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, {"replicaof": f"127.0.0.1 {primary.port}", **(settings or {})})

    def is_in_step(self) -> bool:
        return "master_link_status:up" in self.ask("INFO", "replication")

    def promote(self) -> None:
        """It follows nobody any more."""
        self.ask("REPLICAOF", "NO", "ONE")


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
