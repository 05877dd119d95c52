"""The store contract on a Redis server; and that nothing is left of what was deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.redis import RedisServer

import duly.store
from duly.clock import Clock
from duly.store import Store
from duly.testing.conformance import StoreConformance


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class TestRedis(StoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, server: RedisServer) -> None:
        self.server = server

    def make_store(self, clock: Clock, place: Path) -> Store:
        prefix = hashlib.sha1(str(place).encode()).hexdigest()[:12]
        return duly.store.open(f"{self.server.url()}?prefix={prefix}", clock=clock)
