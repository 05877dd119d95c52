"""Reading a site once, all of it, before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from watch.crawling import feeds, selectors
from watch.crawling.answer import Answer
from watch.crawling.fetching import Fetcher
from watch.crawling.selectors import Selectors
from watch.errors import CrawlFailed, LayoutChanged
from watch.found import Found


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on a site, newest first as sites have it; and what to say next time to hear only of changes."""

    posts: Sequence[Found] = ()
    unchanged: bool = False
    """It is as it was: there are no ``posts`` here, and everything else stays too."""
    etag: str = ""
    last_modified: str = ""
    moved_to: str = ""


def read_feed(fetcher: Fetcher, url: str, etag: str = "", last_modified: str = "") -> Reading:
    """The posts of a feed. Raises CrawlFailed, and LayoutChanged for what is no feed."""
    answer = fetcher.get(url, etag, last_modified)
    if answer.unchanged:
        return Reading(unchanged=True)
    feed = feeds.read(answer)
    if feed is None:
        raise LayoutChanged(f"{answer.url} is no feed, but {answer.kind or 'of no type'}")
    return _reading(answer, feed.posts)


def read_pages(
    fetcher: Fetcher,
    url: str,
    wanted: Selectors,
    known: Callable[[Sequence[Found]], bool],
    etag: str = "",
    last_modified: str = "",
) -> Reading:
    """The posts of a page and of those after it, until ``known`` says that all posts of a page are known.

    Everything is read before anything is stored, for that rule's sake: a crawl that stored the first page and died
    would find it known the next time, and never come to the second. Raises CrawlFailed, LayoutChanged.
    """
    answer = first = fetcher.get(url, etag, last_modified)
    if answer.unchanged:
        return Reading(unchanged=True)
    posts = selectors.posts_of(answer, wanted)
    if not posts:
        raise LayoutChanged(f"item={wanted.item!r} finds nothing on {answer.url}")
    everything, seen = list(posts), {answer.url}
    while len(seen) < wanted.pages and posts and not known(posts):
        following = selectors.next_page(answer, wanted)
        if not following or following in seen:
            break
        seen.add(following)
        try:
            answer = fetcher.get(following)
        except CrawlFailed as error:
            if error.status in (404, 410):  # sites have links to pages that are not there
                break
            raise
        posts = selectors.posts_of(answer, wanted)
        everything += posts
    return _reading(first, everything)


def _reading(answer: Answer, posts: Sequence[Found]) -> Reading:
    return Reading(
        posts=posts,
        etag=answer.headers.get("etag", "")[:500],
        last_modified=answer.headers.get("last-modified", "")[:100],
        moved_to=answer.moved_to,
    )
