"""A store's ``url`` shows no password, and leads to the same store where none is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.conftest import KINDS

import duly.store
from duly.job import Filter, Job, new_id


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
        ("redis://u:pw@h:1/2?prefix=x", "redis://u:***@h:1/2?prefix=x"),
        ("redis://h:1/2?password=pw&prefix=x", "redis://h:1/2?password=***&prefix=x"),
    ],
)
def test_it_shows_no_password(url: str, shown: str) -> None:
    assert duly.store.open(url, create=False).url == shown
