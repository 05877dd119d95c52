"""The server that the tests of the PostgreSQL store share."""

from __future__ import annotations

import pytest
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres(shared_postgres: PostgresServer) -> PostgresServer:
    """One that does not wait for the disk: for tests in which it stays up."""
    return shared_postgres
