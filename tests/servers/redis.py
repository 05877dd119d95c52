"""Redis of our own: alone, with a replica, or as a cluster."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import redis
from tests.servers.process import Server, ServerFailed, free_port


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


class RedisSentinel(RedisServer):
    """A server that watches a primary, called ``service``, and makes a replica of it the primary when it is gone."""

    service = "jobs"

    def __init__(self, folder: Path, primary: RedisServer, down_after: float = 0.5) -> None:
        super().__init__(folder)
        self._primary, self._down_after = primary, down_after

    def command(self) -> Sequence[str]:
        watched = f"sentinel monitor {self.service} 127.0.0.1 {self._primary.port} 1"
        patience = f"sentinel down-after-milliseconds {self.service} {int(self._down_after * 1000)}"
        file = self.folder / "sentinel.conf"
        file.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n{watched}\n{patience}\n")
        return ["redis-server", str(file), "--sentinel"]

    def answers(self) -> bool:
        with contextlib.suppress(redis.exceptions.RedisError), redis.Redis(port=self.port) as client:
            return bool(client.ping())
        return False

    def knows_a_replica(self) -> bool:
        with redis.Redis(port=self.port) as client:
            return int(client.sentinel_master(self.service)["num-slaves"]) == 1


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


class RedisCluster:
    """Three primaries that share the slots, and a replica of the first.

    1. ``start`` (or ``with``) returns when every node knows of all slots.
    2. ``prefix_on`` gives the prefix of an app that is on one of them.
    3. ``stop``.
    """

    def __init__(self, folder: Path) -> None:
        settings = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "repl-diskless-sync-delay": "0"}
        buses = [{"cluster-port": str(free_port())} for _ in range(4)]
        self.nodes = [RedisServer(folder / f"node{i}", settings | bus) for i, bus in enumerate(buses)]

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        first, *_, replica = self.nodes
        for i, node in enumerate(self.nodes[:3]):
            node.ask("CLUSTER", "ADDSLOTSRANGE", str(i * 5462), str(min(i * 5462 + 5461, 16383)))
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", str(first.port), first.settings["cluster-port"])
        self._wait(lambda: all("cluster_known_nodes:4" in node.ask("CLUSTER", "INFO") for node in self.nodes))
        replica.ask("CLUSTER", "REPLICATE", self.id_of(first))
        self._wait(lambda: all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes))
        self._wait(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def id_of(node: RedisServer) -> str:
        return node.ask("CLUSTER", "MYID").splitlines()[-1]

    def prefix_on(self, node: int) -> str:
        """An app's prefix whose slot one of the three has."""
        for i in itertools.count():
            slot = int(self.nodes[0].ask("CLUSTER", "KEYSLOT", f"{{duly:p{i}}}").lstrip(":"))
            if slot // 5462 == node:
                return f"p{i}"
        raise AssertionError

    def _wait(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not what():
            if time.monotonic() > end:
                raise ServerFailed("the cluster's nodes do not agree within 30 s")
            time.sleep(0.05)
