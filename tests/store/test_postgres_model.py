"""Random histories on PostgreSQL against the model."""

import pytest
from postgres_kit import new_schema
from tests.servers.postgres import PostgresServer
from tests.store.histories import LONGEST, agree


@pytest.mark.timeout(LONGEST)
def test_it_agrees_with_the_model(shared_postgres: PostgresServer) -> None:
    agree(shared_postgres.url(schema=new_schema()), examples=20)
