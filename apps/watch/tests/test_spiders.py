"""Scrapy's spiders, one process a crawl."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sites.server import Asked, Reply, Sites, listing

from watch.crawling import spiders
from watch.errors import CrawlFailed, SpiderError

HERE = Path(__file__).parent
AGENT = "duly-watch/test"


@pytest.fixture(autouse=True)
def found_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their module is where the user's would be: on the path."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))


def run(sites: Sites, name: str) -> Iterator[list[str]]:
    for found in spiders.run(f"{sites.url}/list", spiders.make({"spider": f"sites.spiders:{name}"}), AGENT):
        yield [post.title for post in found]


def test_its_items_come_while_it_goes_on(sites: Sites) -> None:
    go_on = threading.Event()

    def second(asked: Asked) -> Reply:
        assert go_on.wait(30)
        return Reply(listing(1))

    sites.pages |= {"/list": Reply(listing(3, 2, following="/second")), "/second": second}
    found = run(sites, "Offers")
    try:
        assert sorted(next(found)) == ["Offer number 2", "Offer number 3"]
    finally:
        go_on.set()
    assert list(found) == [["Offer number 1"]]
    assert sites.asked[0].path == "/robots.txt"
    assert {asked.headers["User-Agent"] for asked in sites.asked[1:]} == {AGENT}


def test_again_and_again_in_one_process(sites: Sites) -> None:
    """What Scrapy alone cannot: its reactor does not start twice."""
    sites.pages["/list"] = Reply(listing(1))
    assert [list(run(sites, "Offers")) for _ in range(2)] == [[["Offer number 1"]]] * 2


def test_who_stops_listening_leaves_no_process_behind(sites: Sites) -> None:
    hold = threading.Event()
    sites.pages |= {"/list": Reply(listing(3, following="/hold")), "/hold": lambda _: Reply(str(hold.wait(30)))}
    found = run(sites, "Offers")
    next(found)
    assert [child for child in psutil.Process().children() if "watch.crawling.scrapy_child" in child.cmdline()]
    found.close()  # type: ignore[attr-defined]
    hold.set()
    assert not [child for child in psutil.Process().children() if "watch.crawling.scrapy_child" in child.cmdline()]


def test_a_worker_with_more_than_a_thousand_files_open(sites: Sites) -> None:
    sites.pages["/list"] = Reply(listing(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with contextlib.ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while opened.enter_context(open(os.devnull)).fileno() <= 1024:
            pass
        assert list(run(sites, "Offers")) == [["Offer number 1"]]


def test_finding_nothing_is_no_failure_of_the_spider(sites: Sites) -> None:
    sites.pages["/list"] = Reply(listing(1))
    assert list(run(sites, "Silent")) == []


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("Broken", CrawlFailed, "found nothing, and had 1 errors; the last: .*no such thing"),
        ("Nameless", SpiderError, "has no url and title"),
        ("Dying", SpiderError, "did not run to its end"),
        ("Missing", SpiderError, r"did not run to its end: AttributeError: .*'Missing'"),
    ],
)
def test_what_goes_wrong_is_said(sites: Sites, name: str, error: type[Exception], said: str) -> None:
    sites.pages["/list"] = Reply(listing(1))
    with pytest.raises(error, match=re.compile(said, re.DOTALL)):
        list(run(sites, name))


@pytest.mark.parametrize("raw", [{}, {"spider": "no colon"}, {"spider": "a:B", "args": {}}, {"spider": "os;x:B"}])
def test_a_name_that_is_none_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(SpiderError, match="module:Class"):
        spiders.make(raw)
