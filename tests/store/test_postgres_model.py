"""Random histories on PostgreSQL against the model.

``ci`` (the default) always runs the same examples; HYPOTHESIS_PROFILE=deep looks further, with new ones.
"""

import os
from typing import ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from postgres_kit import new_schema
from tests.servers.postgres import PostgresServer

import duly.store
from duly.store import Store
from duly.testing.clock import ManualClock
from duly.testing.machine import StoreMachine

PHASES = (Phase.generate, Phase.shrink)  # not explain: it traces every line, and takes minutes
PROFILES = {
    "ci": settings(
        derandomize=True, phases=PHASES, max_examples=20, stateful_step_count=50, deadline=None, database=None
    ),
    "deep": settings(phases=PHASES, max_examples=2000, stateful_step_count=80, deadline=None, database=None),
}


class PostgresMachine(StoreMachine):
    server: ClassVar[PostgresServer]
    schema: ClassVar[str]

    def make_store(self, clock: ManualClock) -> Store:
        """The same schema each time, emptied: making one takes longer than an example."""
        store = duly.store.open(self.server.url(schema=self.schema), clock=clock)
        store.migrate()
        with psycopg.connect(self.server.conninfo(), autocommit=True) as admin:
            named = "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = %s"
            tables = [table for (table,) in admin.execute(named, (self.schema,)) if not table.endswith(".meta")]
            admin.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY".encode())
            admin.execute(f"UPDATE {self.schema}.meta SET rules = 0, revision = 0".encode())
        return store


class TestPostgresModel(PostgresMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ci")], suppress_health_check=list(HealthCheck))

    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer) -> None:
        PostgresMachine.server = postgres
        PostgresMachine.schema = new_schema()
