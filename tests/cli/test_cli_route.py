"""Where calls go, as the command line shows it, and calls by routing key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Duly
from duly.job import Filter
from duly.store.contract import Store

SHOP = """
from duly import Duly, Queue

def by_args(name, args, kwargs, options, task=None, **kw):
    return "slow" if args == ["slow"] else None

app = Duly("shop", task_routes=[by_args, {"feed.*": {"queue": "feeds", "priority": 7}}],
    task_queues=[Queue("crawl_tasks", routing_key="crawl.#"), Queue("default")], task_default_exchange_type="topic")

@app.task(name="feed.read")
def read(url: str = ""): ...

@app.task(name="page", routing_key="crawl.page")
def page(): ...
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "shop.py").write_text(SHOP)
    yield
    sys.modules.pop("shop", None)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["feed.read"], "feed.read goes to queue feeds, priority 7: task_routes: 'feed.*' names it."),
        (["feed.read", "-a", '["slow"]'], "queue slow: task_routes: by_args names it."),
        (["feed.read", "-Q", "x"], "queue x, priority 7: the call names it."),
        (["page"], "queue crawl_tasks: the task has routing key 'crawl.page', which fits 'crawl.#' at"),
        (["page", "--routing-key", "crawl"], "queue crawl_tasks: the call has routing key 'crawl', which"),
        (["other"], "other goes to queue default: nothing says otherwise (task_default_queue)."),
    ],
)  # fmt: skip
def test_where_a_call_goes_and_why(within: Duly, words: list[str], wanted: str) -> None:
    ran = within("-A", "shop", "route", *words)
    assert (wanted in ran.out, ran.status) == (True, 0), ran
    assert ("registers no task 'other'" in ran.err) == (words == ["other"])


def test_keys_that_fit_nothing(within: Duly, store: Store) -> None:
    for verb in ("route", "call"):
        ran = within("-A", "shop", verb, "feed.read", "--routing-key", "lost")
        assert ran.status == 2
        assert "routing_key='lost' fits no queue bound to exchange 'default'" in ran.err
    ran = within("call", "feed.read", "--routing-key", "crawl")
    assert ran.status == 2
    assert "say which app with -A" in ran.err


def test_calls_go_there(within: Duly, store: Store) -> None:
    for words in (
        ["feed.read"],
        ["feed.read", "-a", '["slow"]'],
        ["page"],
        ["feed.read", "--routing-key", "crawl.x"],
    ):
        assert within("-A", "shop", "call", *words).status == 0
    jobs = store.jobs(Filter()).jobs
    assert [job.queue for job in reversed(jobs)] == ["feeds", "slow", "crawl_tasks", "crawl_tasks"]


def test_bindings(within: Duly) -> None:
    ran = within("-A", "shop", "list", "bindings")
    assert [line.split() for line in ran.out.splitlines()[1:]] == [
        ["crawl_tasks", "default", "topic", "crawl.#"],
        ["default", "default", "topic", "default"],
    ]
    assert within("-A", "shop", "list", "bindings", "--json").json[0]["key"] == "crawl.#"
    assert "did you mean 'bindings'" in within("-A", "shop", "list", "bindigns").err
