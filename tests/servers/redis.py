"""Redis of our own."""

from __future__ import annotations

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
