"""What is read out of feeds and pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sites.server import SELECTORS, Reply, Sites, listing, rss

from watch.crawling import selectors, texts
from watch.crawling.answer import Answer
from watch.crawling.feeds import Feed, read
from watch.crawling.fetching import Fetcher
from watch.crawling.reading import read_feed, read_pages
from watch.crawling.robots import Robots
from watch.errors import CrawlFailed, LayoutChanged, SpiderError

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://atom.example/"><title>Atoms</title>
<entry><id>tag:atom.example,2026:1</id><title type="html">A &amp;lt;b&amp;gt; &lt;b&gt;bold&lt;/b&gt; one</title>
<link rel="alternate" href="one"/><published>2026-11-25T07:00:00Z</published>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>All of it</p></div></content></entry></feed>"""


@pytest.fixture
def fetch() -> Iterator[Fetcher]:
    with Fetcher(Robots(), private=True, pause=lambda seconds: None) as fetcher:
        yield fetcher


def feed(body: str | bytes, kind: str = "application/xml") -> Feed:
    raw = body.encode() if isinstance(body, str) else body
    found = read(Answer(url="https://news.example/feed", status=200, headers={"content-type": kind}, body=raw))
    assert found is not None
    return found


def page(body: str) -> Answer:
    return Answer(url="https://flats.example/list", status=200, headers={}, body=body.encode())


def test_rss() -> None:
    found = feed(rss(2, 1))
    assert found.title == "News"
    first = found.posts[0]
    assert (first.key, first.url, first.title) == ("g2", "https://news.example/2?utm=x", "Post 2")
    assert (first.summary, first.published) == ("About 2", datetime(2026, 11, 25, 7, tzinfo=UTC))


def test_atom() -> None:
    (only,) = feed(ATOM).posts
    assert (only.key, only.url) == ("tag:atom.example,2026:1", "https://atom.example/one")
    assert only.title == "A <b> bold one"
    assert only.summary == "All of it"


def test_json_feed() -> None:
    document = {
        "version": "https://jsonfeed.org/version/1.1", "title": "J",
        "items": [
            {"id": 7, "url": "/seven", "title": "Seven", "content_html": "<p>VII</p>",
             "date_published": "2026-11-25T08:00:00+01:00"},
            {"id": "8", "content_text": "A note without a title"},
            {"id": "9", "title": None, "summary": None},
        ],
    }  # fmt: skip
    found = feed(json.dumps(document), "application/feed+json")
    assert [(post.key, post.url, post.title, post.summary) for post in found.posts] == [
        ("7", "https://news.example/seven", "Seven", "VII"),
        ("8", "https://news.example/feed", "A note without a title", "A note without a title"),
    ]
    assert found.posts[0].published == datetime(2026, 11, 25, 7, tzinfo=UTC)


def test_a_broken_feed_gives_what_can_be_read() -> None:
    broken = rss(1, 2, 3).replace(
        "</title><link>https://news.example/2", " & <b></title><link>https://news.example/2"
    )
    assert [post.key for post in feed(broken[: broken.rindex("</channel>")]).posts] == ["g1", "g2", "g3"]


def test_entries_without_an_id_have_their_address_for_one() -> None:
    body = rss(1).replace("<guid>g1</guid>", "")
    assert feed(body).posts[0].key == "https://news.example/1?utm=x"


@pytest.mark.parametrize("body", ["<html><body>hello</body></html>", "", "{}", '{"version": 1}', "[1, 2", "plain"])
def test_what_is_no_feed(sites: Sites, fetch: Fetcher, body: str) -> None:
    sites.pages["/feed"] = Reply(body, headers={"Content-Type": "text/html"})
    with pytest.raises(LayoutChanged, match="is no feed, but text/html"):
        read_feed(fetch, f"{sites.url}/feed")


def test_selectors() -> None:
    found = selectors.posts_of(page(listing(2, 1)), selectors.make(SELECTORS))
    assert [(post.key, post.title, post.summary) for post in found] == [
        ("https://flats.example/offer/2", "Offer number 2", "Two rooms, 2 m²"),
        ("https://flats.example/offer/1", "Offer number 1", "Two rooms, 1 m²"),
    ]
    assert found[0].published == datetime(2026, 11, 25, 8, tzinfo=UTC)


def test_selectors_of_attributes_and_of_the_item_itself() -> None:
    wanted = selectors.make({"item": "h2 a", "key": "@href", "title": "@title"})
    html = '<h2><a href="/1" title="One">x</a></h2><h2><a href="mailto:a@b.example" title="No">x</a></h2>'
    (only,) = selectors.posts_of(page(html), wanted)
    assert (only.key, only.title, only.url) == ("/1", "One", "https://flats.example/1")


def test_broken_html_is_read_as_a_browser_would() -> None:
    html = listing(3, 2, 1).replace("</h2>", "").replace("</article>", "").replace("</html>", "<p <<")
    html = html.replace("<article", "</article><article")
    assert len(selectors.posts_of(page(html), selectors.make(SELECTORS))) == 3


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "missing required field `item`"),
        ({"item": "a[["}, r"item='a\[\[' is no CSS selector"),
        ({"item": ""}, "item is empty"),
        ({"item": "p", "titel": "h2"}, "unknown field `titel`; there are item, link, title"),
        ({"item": "p", "pages": 0}, "pages=0: expected 1 to 1000"),
        ({"item": "p", "next": ">>@href"}, "next='>>@href' is no CSS selector"),
    ],
)
def test_wrong_selectors_are_refused(raw: dict[str, object], said: str) -> None:
    with pytest.raises(SpiderError, match=said):
        selectors.make(raw)


def test_pages_are_followed_until_all_is_known(sites: Sites, fetch: Fetcher) -> None:
    numbers = list(range(30, 0, -1))
    for at in range(3):
        sites.pages[f"/list?p={at}"] = Reply(listing(*numbers[at * 10 : at * 10 + 10], following=f"/list?p={at + 1}"))
    sites.pages["/list?p=3"] = Reply(listing(*range(100, 110), following="/list?p=0"))  # and round again
    wanted = selectors.make(SELECTORS)

    def read_until(known: int) -> int:
        all_known = {f"{sites.url}/offer/{n}" for n in range(known + 1)}
        reading = read_pages(
            fetch, f"{sites.url}/list?p=0", wanted, lambda found: all(p.key in all_known for p in found)
        )
        return len(reading.posts)

    assert read_until(0) == 40
    sites.asked.clear()
    assert read_until(25) == 20  # the first has news; on the second everything is known
    assert sites.paths() == ["/list?p=0", "/list?p=1"]
    assert (
        len(
            read_pages(
                fetch, f"{sites.url}/list?p=0", selectors.make(SELECTORS | {"pages": 2}), lambda _: False
            ).posts
        )
        == 20
    )


def test_a_link_to_a_page_that_is_not_there_is_the_end_and_one_that_fails_is_a_failure(
    sites: Sites, fetch: Fetcher
) -> None:
    wanted = selectors.make(SELECTORS)
    sites.pages["/a"] = Reply(listing(2, 1, following="/b"))
    assert len(read_pages(fetch, f"{sites.url}/a", wanted, lambda _: False).posts) == 2
    sites.pages["/b"] = Reply(status=503)
    with pytest.raises(CrawlFailed, match="/b answered 503"):
        read_pages(fetch, f"{sites.url}/a", wanted, lambda _: False)


def test_links_are_relative_to_what_the_page_says() -> None:
    html = listing(1, following="p2").replace("<head>", '<head><base href="https://other.example/x/">')
    wanted = selectors.make(SELECTORS)
    assert selectors.posts_of(page(html), wanted)[0].url == "https://other.example/offer/1"
    assert selectors.next_page(page(html), wanted) == "https://other.example/x/p2"


def test_a_layout_that_changed_is_no_empty_page(sites: Sites, fetch: Fetcher) -> None:
    wanted = selectors.make(SELECTORS)
    sites.pages["/a"] = Reply(listing(1, 2, name="tile"))
    with pytest.raises(LayoutChanged, match=r"item='article.offer' finds nothing on .*/a"):
        read_pages(fetch, f"{sites.url}/a", wanted, lambda _: False)
    sites.pages["/a"] = Reply(listing(1, 2).replace("h2", "h3"))
    with pytest.raises(LayoutChanged, match=r"2 items on .*/a, but link='h2 a' finds nothing in them"):
        read_pages(fetch, f"{sites.url}/a", wanted, lambda _: False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC)),
        ("Wed, 25 Nov 2026 08:00:00 +0100", datetime(2026, 11, 25, 7, tzinfo=UTC)),
        ("25 November 2026, 08:00", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        ("99999999999999999999", None),
    ],
)
def test_moments(text: str, expected: datetime | None) -> None:
    assert texts.moment(text) == expected


def test_texts_are_plain_and_bounded() -> None:
    assert texts.plain("a <script>x</script>&amp;\n\n <b>b</b>\0", 100) in ("a & b", "a x & b")
    assert texts.plain("x" * 100, 10) == "x" * 9 + "…"
    assert len(texts.key("k" * 5000)) < 100
    assert texts.absolute("https://a.example/x/", "../y#z") == "https://a.example/y"
    assert texts.absolute("https://a.example/", "javascript:alert(1)") == ""
