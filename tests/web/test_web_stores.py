"""The same pages and actions on PostgreSQL and Redis: the dashboard knows only the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_web_pages import PAGES, fill
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from web_kit import Client, failed, put, serving, wait_for

from duly.job import Filter, State
from duly.store import open as open_store
from duly.store.contract import Store
from duly.web.openapi import OPERATIONS, PREFIX


@pytest.fixture(scope="module")
def postgres(shared_postgres: PostgresServer) -> str:
    return shared_postgres.url(schema="t_web")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url()


@pytest.fixture(scope="module", params=["postgres", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:  # type: ignore[override]
    opened = open_store(request.getfixturevalue(request.param))
    yield opened
    opened.close()


def test_pages_actions_and_api(store: Store) -> None:
    ids = fill(store)
    with serving(store) as base:
        client = Client(base)
        wrong = {}
        paths = [
            *PAGES,
            f"/job?id={ids['failed']}",
            f"/job?id={ids['running']}",
            "/schedule?name=nightly",
            "/metrics",
        ]
        paths += [PREFIX + one.path for one in OPERATIONS if one.takes is None and one.path != "/job"]
        for path in paths:
            answer = client.get(path)
            if answer.status != 200:
                wrong[path] = answer.text[:300]
        assert not wrong
        for state in ("failed", "running", "scheduled", "retrying"):
            assert ids[state] in client.get(f"/jobs?q=state:{state}").text, state
        moved = put(store, ahead=3600)
        assert moved in client.get("/future?span=6h").text
        assert "Cancelled before it started" in client.post("/job/act", {"id": moved, "verb": "cancel"}).text
        many = [failed(store, store.workers()[0].id, n) for n in range(5)]
        client.post("/jobs/bulk", {"verb": "retry", "q": "state:failed task:mail.*"})
        wait_for(lambda: store.actions()[0].state == "done")
    assert {job.state for job in store.jobs(Filter(ids=tuple(many))).jobs} == {State.WAITING}
    assert {line.verb for line in store.actions()} == {"retry", "cancel"}
