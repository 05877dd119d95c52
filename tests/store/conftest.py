"""The server that the tests of the PostgreSQL store share, and a store on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_kit import new_schema
from tests.servers.postgres import PostgresServer

import duly.store
from duly.store.postgres import PostgresStore


@pytest.fixture(scope="session")
def postgres(shared_postgres: PostgresServer) -> PostgresServer:
    """One that does not wait for the disk: for tests in which it stays up."""
    return shared_postgres


@pytest.fixture
def schema() -> str:
    """A schema's name that no other test has."""
    return new_schema()


@pytest.fixture
def store(postgres: PostgresServer, schema: str) -> Iterator[PostgresStore]:
    """For files that name no other: the PostgreSQL store, its schema made."""
    store = duly.store.open(postgres.url(schema=schema))
    assert isinstance(store, PostgresStore)
    store.now()
    yield store
    store.close()
