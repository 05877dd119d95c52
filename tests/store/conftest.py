"""The servers that the tests of stores share: one of each kind a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"}) as server:
        yield server
