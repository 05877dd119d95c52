"""From an address to a way of reading it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sites.server import Reply, Sites, listing, rss

from watch.crawling.discovering import discover
from watch.crawling.fetching import Fetcher
from watch.crawling.robots import Robots
from watch.errors import CrawlFailed, LayoutChanged

HEAD = """<html><head><title>Blog</title>
<link rel="alternate" type="application/rss+xml" title="Comments" href="/comments/feed">
<link rel="alternate" type="application/rss+xml" href="/posts.rss">
<link rel="alternate" hreflang="de" href="/de"></head><body></body></html>"""

ROWS = """<html><head><title>Tenders of the city</title></head><body>
<ul class="menu"><li><a href="/">Home</a></li><li><a href="/me">Me</a></li><li><a href="/c">Contact</a></li></ul>
<table id="t"><tbody>%s</tbody></table></body></html>"""


@pytest.fixture
def fetch() -> Iterator[Fetcher]:
    with Fetcher(Robots(), private=True, pause=lambda seconds: None) as fetcher:
        yield fetcher


def test_a_feed_is_what_it_is(sites: Sites, fetch: Fetcher) -> None:
    sites.pages["/feed"] = Reply(rss(2, 1))
    found = discover(fetch, f"{sites.url}/feed")
    assert (found.kind, found.name, len(found.posts)) == ("feed", "News", 2)


def test_a_page_leads_to_its_feed_and_not_to_that_of_comments(sites: Sites, fetch: Fetcher) -> None:
    sites.pages |= {"/": Reply(HEAD), "/posts.rss": Reply(rss(2, 1)), "/comments/feed": Reply(rss(9, 8))}
    assert discover(fetch, f"{sites.url}/").url == f"{sites.url}/posts.rss"


def test_a_feed_that_no_page_mentions(sites: Sites, fetch: Fetcher) -> None:
    sites.pages |= {"/": Reply("<html></html>"), "/atom.xml": Reply(rss(2, 1))}
    assert discover(fetch, f"{sites.url}/").url == f"{sites.url}/atom.xml"


def test_a_page_without_a_feed_gets_selectors(sites: Sites, fetch: Fetcher) -> None:
    sites.pages["/flats"] = Reply(listing(3, 2, 1, following="/flats?p=2"))
    found = discover(fetch, f"{sites.url}/flats")
    assert (found.kind, found.name) == ("pages", "Flats")
    assert found.spider == {
        "item": "article.offer", "title": "h2", "link": "h2 a[href]", "published": "time", "summary": "p",
        "next": "a[rel=next]",
    }  # fmt: skip
    assert [post.title for post in found.posts] == ["Offer number 3", "Offer number 2", "Offer number 1"]


def test_rows_of_a_table_without_any_class(sites: Sites, fetch: Fetcher) -> None:
    rows = "".join(
        f'<tr><td>{n}</td><td><a href="/t/{n}">Tender for the bridge, lot {n}</a></td></tr>' for n in range(5)
    )
    sites.pages["/"] = Reply(ROWS % rows)
    found = discover(fetch, f"{sites.url}/")
    assert [post.title for post in found.posts] == [f"Tender for the bridge, lot {n}" for n in range(5)]
    assert len(found.posts) == 5


def test_a_page_with_nothing_that_repeats(sites: Sites, fetch: Fetcher) -> None:
    sites.pages["/"] = Reply("<html><body><p>Hello</p><a href='/x'>x</a></body></html>")
    with pytest.raises(LayoutChanged, match=r"names no feed, and nothing on it repeats .*--selectors"):
        discover(fetch, f"{sites.url}/")


def test_a_page_that_is_not_there(sites: Sites, fetch: Fetcher) -> None:
    with pytest.raises(CrawlFailed, match="answered 404: there is no such page"):
        discover(fetch, f"{sites.url}/")
