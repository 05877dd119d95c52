"""The servers that the tests of stores share: one of each kind a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers.postgres import PostgresServer, place


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One that does not wait for the disk: for tests in which it stays up."""
    with place() as folder, PostgresServer(folder / "postgres", settings={"fsync": "off"}) as server:
        yield server
        server.kill()  # at once: nobody wants its hundreds of schemas written down
