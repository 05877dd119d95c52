"""A store's ``url`` shows no password, and leads to the same store where none is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.conftest import KINDS
from tests.servers.postgres import PostgresServer

import duly.store
from duly.cli.worker import banner
from duly.errors import ConfigError, StoreUnavailable
from duly.ids import new_id
from duly.job import Filter, Job
from duly.worker.options import ReadyInfo


@pytest.mark.parametrize("kind", KINDS)
def test_the_url_of_a_store_leads_to_it(kind: str, store_of: Callable[[str], str]) -> None:
    store = duly.store.open(store_of(kind))
    id = new_id()
    store.enqueue([Job(id=id, task="t", due=store.now())])
    again = duly.store.open(store.url, create=False)
    assert [job.id for job in again.jobs(Filter()).jobs] == [id]
    store.close()
    again.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pw@h/d?schema=s&sslpassword=pw", "postgresql://u@h/d?schema=s"),
        ("postgresql://u@h/d?password=pw&sslmode=require", "postgresql://u@h/d?sslmode=require"),
        (
            "postgresql://u:pw@pool/d?schema=s&listen=postgresql://u:pw@h:1/d",
            "postgresql://u@pool/d?schema=s&listen=postgresql://u@h:1/d",
        ),
        ("postgresql://u:p@w@h/d", "postgresql://u@h/d"),
        ("postgresql://h:5432/d?user=a&password=pw", "postgresql://h:5432/d?user=a"),
        (
            "redis+sentinel://u:pw@a,b:1/jobs/2?sentinel_password=pw&prefix=x",
            "redis+sentinel://u:********@a,b:1/jobs/2?sentinel_password=********&prefix=x",
        ),
        ("redis://u:pw@h:1/2?prefix=x", "redis://u:********@h:1/2?prefix=x"),
        ("redis://h:1/2?password=pw&prefix=x", "redis://h:1/2?password=********&prefix=x"),
    ],
)
def test_it_shows_no_password(url: str, shown: str) -> None:
    assert duly.store.open(url, create=False).url == shown


def test_no_message_shows_one() -> None:
    with pytest.raises(ConfigError) as caught:
        duly.store.open("redi://u:pw@h:1/2?password=word")
    assert str(caught.value).startswith("store 'redi://u:********@h:1/2?password=********': there is no such kind")


def test_a_worker_shows_none_when_it_starts() -> None:
    ready = ReadyInfo(
        name="w", host="h", pid=1, version="1", app="a", store="postgresql://u:pw@h/d?schema=s", durability="",
        queues=("q",), weights={}, reserve={}, pool="process", concurrency=1, tasks=(), lease=1.0,
    )  # fmt: skip
    assert "store   postgresql://u:********@h/d?schema=s" in "\n".join(banner(ready))


def test_a_role_that_is_not_there_is_no_missing_database(postgres: PostgresServer) -> None:
    store = duly.store.open(postgres.url().replace("postgres@", "nobody@"))
    with pytest.raises(StoreUnavailable, match=r'role "nobody" does not exist; check the user'):
        store.workers()
