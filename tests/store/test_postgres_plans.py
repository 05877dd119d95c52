"""What the PostgreSQL store asks costs what is due, and not what is stored.

``DULY_PLAN_ROWS=1000000`` asks the same of a million jobs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from postgres_kit import new_schema, put, succeeded, take, worker
from tests.servers.postgres import PostgresServer

import duly.store
from duly.job import Filter
from duly.store import Store
from duly.store.postgres import sweeping
from duly.store.postgres.sql import Statements

ROWS = int(os.environ.get("DULY_PLAN_ROWS", "100000"))

FILL = """
INSERT INTO {schema}.jobs (id, task, args, queue, priority, due, created, state, finished, worker, started)
SELECT kind || n, 't', '[[],{{}}]', 'default', n % 10, 4e15::bigint + n, 1, state, finished, 1, 1
FROM generate_series(1, {rows}) n,
    (VALUES ('future', 0, NULL::bigint), ('done', 2, 1000000000000000), ('failed', 3, 1000000000000000))
        k(kind, state, finished)
"""


@pytest.fixture(scope="module")
def schema(postgres: PostgresServer) -> str:
    """As many jobs that are due far ahead, and as many ended ones, and no statistics of them yet."""
    schema = new_schema()
    store = duly.store.open(postgres.url(schema=schema))
    store.migrate()
    store.close()
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        # What a vacuum touches, at whatever moment, would be counted too.
        admin.execute(f"ALTER TABLE {schema}.jobs SET (autovacuum_enabled = off)".encode())
        admin.execute(FILL.format(schema=schema, rows=ROWS // 3).encode())
    return schema


@pytest.fixture(params=["before", "after"])
def store(request: pytest.FixtureRequest, postgres: PostgresServer, schema: str) -> Iterator[Store]:
    """Before and after the statistics were taken: neither may lead to another plan."""
    if request.param == "after":
        with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
            admin.execute(f"ANALYZE {schema}.jobs".encode())
    store = duly.store.open(postgres.url(schema=schema))
    yield store
    store.close()


def pages(store: Store, call: Any) -> int:
    """Pages that a call touches, by the server's own count: exact, where a time would not be."""
    connection = store._server._connection  # type: ignore[attr-defined]

    def count() -> int:
        connection.execute("SELECT pg_stat_force_next_flush()", prepare=False)
        (found,) = connection.execute(
            "SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint"
            " FROM pg_statio_user_tables WHERE schemaname = %s AND relname = 'jobs'",
            (store._server.place.schema,),  # type: ignore[attr-defined]
            prepare=False,
        ).fetchone()
        return int(found)

    before = count()
    call()
    return count() - before


def test_reserving_beside_a_large_backlog_touches_only_what_is_due(store: Store) -> None:
    me = worker(store)
    ids = {id for priority in range(10) for id in put(store, 5, priority=priority)}
    taken: list[Any] = []
    for _ in range(7):  # past the tries after which a plan is kept
        take(store, me, want=1)
    cost = pages(store, lambda: taken.extend(take(store, me, want=100).leases))
    assert len(taken) == len(ids) - 7
    assert cost < 40 * len(taken), "an index entry or two, and a row, for each job and change"
    assert pages(store, lambda: take(store, me, want=100)) < 60, "ten priorities, a look into each"
    assert pages(store, lambda: store.next_due(["default"])) < 60
    settled = pages(store, lambda: take(store, me, want=0, outcomes=succeeded(store, taken)))
    assert settled < 40 * len(taken)


def test_looking_touches_a_page(store: Store) -> None:
    put(store)
    assert pages(store, lambda: store.jobs(Filter(), limit=20)) < 400
    assert pages(store, lambda: store.jobs(Filter(states=("failed",)), limit=20)) < 400
    assert pages(store, lambda: store.jobs(Filter(ids=("future7", "done7")))) < 60
    assert pages(store, lambda: store.results(["future7", "done7"])) < 60
    assert pages(store, lambda: store.prune(1, 1, 1000)) < 100
    assert pages(store, lambda: store.cancel(Filter(ids=("future9",)))) < 200


def test_a_worker_vacuums_what_is_dead(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_DEAD", 10)
    monkeypatch.setattr(sweeping, "_LOOK_EVERY", 0.0)
    schema = new_schema()
    store = duly.store.open(postgres.url(schema=schema))
    me = worker(store)
    put(store, 50)
    take(store, me, outcomes=succeeded(store, take(store, me, want=50).leases))
    counted = "SELECT vacuum_count FROM pg_stat_user_tables WHERE schemaname = %s AND relname = 'jobs'"
    end = time.monotonic() + 30
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        while admin.execute(counted, (schema,)).fetchone() == (0,):
            assert time.monotonic() < end
            store.maintain()
            time.sleep(0.05)
    store.close()


PLANS = {
    "levels": "jobs_waiting",
    "due": "jobs_waiting",
    "finish": "jobs_pkey",
    "key_holder": "jobs_key",
    "held": "jobs_running",
    "cancels": "jobs_running",
    "results": "jobs_id",
    "old": "jobs_done",
    "count_ready": "jobs_waiting",
    "members": "jobs_pkey",
}


@pytest.mark.parametrize("name", PLANS)
def test_a_statement_goes_by_its_index(postgres: PostgresServer, schema: str, name: str) -> None:
    text = Statements(schema).text(name)
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute(f"ANALYZE {schema}.jobs".encode())
        numbered = "".join(f"${i}{part}" if i else part for i, part in enumerate(text.split("?")))
        admin.execute(f"PREPARE asked AS {numbered}".encode())
        admin.execute("SET plan_cache_mode = force_generic_plan")
        nulls = ", ".join(["NULL"] * text.count("?"))
        plan = "\n".join(row[0] for row in admin.execute(f"EXPLAIN EXECUTE asked{f'({nulls})' if nulls else ''}"))
    assert f"using {PLANS[name]}" in plan or f"on {PLANS[name]}" in plan, plan
    assert "Seq Scan on jobs" not in plan, plan
