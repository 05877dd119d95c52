"""From the address of a page to a way of reading it: its feed, or selectors for what repeats on it.

A proposal is made by reading the site as a crawl would, so what it shows is what a crawl would find.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
from selectolax.lexbor import LexborHTMLParser, LexborNode

from watch.crawling import feeds, selectors, texts
from watch.crawling.answer import Answer
from watch.crawling.fetching import Fetcher
from watch.errors import CrawlFailed, LayoutChanged
from watch.found import Found

USUAL = ("/feed", "/rss.xml", "/atom.xml", "/feed.xml", "/feed.json")
"""Where feeds are that no page mentions."""
MAX_TRIED = 6
_FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json", "application/json")
_OUTSIDE = "nav, footer, header, aside, form, script, style, noscript, template, dialog"
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_ENOUGH = 3
"""Posts that have to repeat to be a list."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A site as it could be added."""

    kind: str
    url: str
    name: str
    spider: Mapping[str, Any] = {}
    posts: Sequence[Found] = ()


def discover(fetcher: Fetcher, url: str) -> Proposal:
    """The best way to read the site. Raises CrawlFailed, and LayoutChanged when there is none."""
    answer = fetcher.get(url)
    if (proposal := _as_feed(answer)) is not None:
        return proposal
    proposals = [one for feed in _mentioned(answer) if (one := _try(fetcher, feed)) is not None]
    if best := max(proposals, key=lambda one: len(one.posts), default=None):
        return best
    for path in USUAL:
        if (one := _try(fetcher, urljoin(answer.url, path))) is not None and one.posts:
            return one
    return _as_pages(answer)


# -- feeds -------------------------------------------------------------------------------------------


def _as_feed(answer: Answer) -> Proposal | None:
    feed = feeds.read(answer)
    if feed is None:
        return None
    address = answer.moved_to or answer.url
    return Proposal(kind="feed", url=address, name=feed.title or _host(address), posts=feed.posts)


def _mentioned(answer: Answer) -> list[str]:
    """The feeds that a page names in its head, in their order; those of comments last."""
    found: dict[str, bool] = {}
    for link in LexborHTMLParser(answer.text).css('link[rel~="alternate"][href]'):
        kind = (link.attributes.get("type") or "").partition(";")[0].strip().lower()
        address = texts.absolute(answer.url, link.attributes.get("href") or "")
        if kind in _FEED_TYPES and address:
            found.setdefault(address, "comment" in f"{link.attributes.get('title')} {address}".lower())
    return sorted(found, key=found.__getitem__)[:MAX_TRIED]


def _try(fetcher: Fetcher, url: str) -> Proposal | None:
    try:
        return _as_feed(fetcher.get(url))
    except CrawlFailed:
        return None


# -- pages -------------------------------------------------------------------------------------------


def _as_pages(answer: Answer) -> Proposal:
    """The list on the page whose links say most. Raises LayoutChanged."""
    tree = LexborHTMLParser(answer.text)
    title, following = tree.css_first("title"), _following(tree)  # before what is outside of the main part is cut off
    best: Proposal | None = None
    for wanted in _candidates(tree):
        try:
            posts = selectors.posts_of(answer, selectors.make(wanted))
        except LayoutChanged:
            continue
        if len({post.url for post in posts}) >= _ENOUGH and (best is None or _words(posts) > _words(best.posts)):
            name = texts.plain(title.text() if title is not None else "", 200) or _host(answer.url)
            best = Proposal(kind="pages", url=answer.url, name=name, spider=wanted, posts=posts)
    if best is None:
        raise LayoutChanged(
            f"{answer.url} names no feed, and nothing on it repeats as posts do; give selectors by hand (--selectors)"
        )
    return msgspec.structs.replace(best, spider={**best.spider, **following})


def _words(posts: Sequence[Found]) -> int:
    """How much is said: a list of posts says more than a menu. Long titles count no more than a line."""
    return sum(min(len(post.title), 80) + min(len(post.summary), 80) for post in posts)


def _candidates(tree: LexborHTMLParser) -> Iterator[dict[str, Any]]:
    """Selectors of what repeats: elements of one tag and class that each hold a link, in the page's main part."""
    groups: dict[str, dict[int, LexborNode]] = defaultdict(dict)
    for outside in tree.css(_OUTSIDE):
        outside.decompose()
    for link in tree.css("a[href]"):
        for node in _upwards(link):
            groups[_css(node)][node.mem_id] = node
    for css, nodes in groups.items():
        if len(nodes) >= _ENOUGH:
            yield _within(css, list(nodes.values()))


def _upwards(node: LexborNode) -> Iterator[LexborNode]:
    """The link and what is around it, up to four levels."""
    at: LexborNode | None = node
    for _ in range(5):
        if at is None or at.tag in ("body", "html", "main"):
            return
        yield at
        at = at.parent


def _css(node: LexborNode) -> str:
    """Its tag and classes. One without a class of its own takes its parent's with it: ``ul.news > li``."""
    own = _own_css(node)
    if "." in own or node.tag == "article" or node.parent is None:
        return own
    return f"{_own_css(node.parent)} > {own}"


def _own_css(node: LexborNode) -> str:
    """Of the classes those that do not look like a number of their own (``post-1234``)."""
    classes = [name for name in (node.attributes.get("class") or "").split() if _NAME.fullmatch(name)]
    plain = [name for name in classes if not re.search(r"\d{2,}", name)][:2]
    return ".".join([str(node.tag), *plain])


def _within(css: str, nodes: Sequence[LexborNode]) -> dict[str, Any]:
    """Selectors for the parts of such items: a heading that most have, a time, a paragraph."""
    wanted: dict[str, Any] = {"item": css}
    for heading in ("h1", "h2", "h3", "h4"):
        if _most(nodes, heading):
            wanted["title"] = heading
            if _most(nodes, f"{heading} a[href]"):
                wanted["link"] = f"{heading} a[href]"
            break
    for name, tag in (("published", "time"), ("summary", "p")):
        if _most(nodes, tag):
            wanted[name] = tag
    return wanted


def _most(nodes: Sequence[LexborNode], css: str) -> bool:
    return sum(node.css_first(css) is not None for node in nodes) * 2 > len(nodes)


def _following(tree: LexborHTMLParser) -> dict[str, str]:
    for css in ("a[rel=next]", "link[rel=next]", "a.next"):
        if tree.css_first(css) is not None:
            return {"next": css}
    return {}


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
