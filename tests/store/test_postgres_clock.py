"""A PostgreSQL server's clock, as it is known here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.servers.postgres import PostgresServer

import duly.store
from duly.job import Filter
from duly.store.postgres import PostgresStore
from duly.store.postgres.clock import ServerClock
from duly.testing.clock import ManualClock


@pytest.mark.parametrize(
    "look",
    [
        lambda store: store.jobs(Filter()),
        lambda store: store.next_due(["default"]),
        lambda store: store.cancel(Filter()),
        lambda store: store.moves.pack(10),
        lambda store: store.counts(),
    ],
    ids=["a page", "a peek", "a change", "a parcel", "counts"],
)
def test_a_server_that_has_said_nothing_for_long_is_asked_before_a_transaction(
    postgres: PostgresServer, look: Callable[[PostgresStore], object]
) -> None:
    store = duly.store.open(postgres.url(schema="silent"))
    assert isinstance(store, PostgresStore)
    store.now()
    host = ManualClock()
    store._server.clock = ServerClock(host, store._server._ask)
    store.now()
    host.advance(3600)
    look(store)
    store.close()
