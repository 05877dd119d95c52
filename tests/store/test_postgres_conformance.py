"""The store contract on PostgreSQL."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.servers.postgres import PostgresServer

import duly.store
from duly.clock import Clock
from duly.store import Store
from duly.testing.conformance import StoreConformance


class TestPostgres(StoreConformance):
    """A schema for each test."""

    stride = 7  # the path through psycopg is long

    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer) -> None:
        self.server = postgres

    def make_store(self, clock: Clock, place: Path) -> Store:
        schema = "t_" + hashlib.blake2b(str(place).encode(), digest_size=8).hexdigest()
        return duly.store.open(self.server.url(schema=schema), clock=clock)
