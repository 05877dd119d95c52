"""Crawls of sites that are as sites are: what is stored, who is told, and what the site's row says then."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from sites.server import SELECTORS, Reply, Sites, listing, rss, unless_unchanged

from watch.crawling.fetching import Fetcher
from watch.crawling.robots import Robots
from watch.crawls import Outcome, crawl, pause
from watch.models import Delivery, Post, Site, Subscriber, Subscription

pytestmark = pytest.mark.usefixtures("db")


class Crawler:
    """Crawls one site again and again, without its pauses."""

    def __init__(self, sites: Sites, path: str, **fields: object) -> None:
        self.id = Site.objects.create(name="Site", url=f"{sites.url}{path}", **fields).pk

    def __call__(self, now: datetime | None = None) -> Outcome:
        with Fetcher(Robots(), private=True, pause=lambda seconds: None) as fetch:
            return crawl(self.id, fetch, now)

    @property
    def site(self) -> Site:
        return Site.objects.get(pk=self.id)


@pytest.fixture(autouse=True)
def ada() -> Subscriber:
    ada = Subscriber.objects.create(name="Ada")
    Subscription.objects.create(subscriber=ada)
    return ada


@pytest.fixture
def feed(sites: Sites) -> Crawler:
    sites.pages["/feed"] = Reply(rss(2, 1))
    return Crawler(sites, "/feed")


@pytest.fixture
def flats(sites: Sites) -> Crawler:
    sites.pages["/flats"] = Reply(listing(2, 1))
    return Crawler(sites, "/flats", kind="pages", spider=SELECTORS)


def told() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("post__title", flat=True))


def test_the_first_crawl_tells_nobody_and_the_next_ones_do(sites: Sites, feed: Crawler) -> None:
    assert (feed().new, told()) == (2, [])
    assert (feed.site.state, feed.site.first_crawl_done, feed.site.found) == ("fine", True, 2)
    sites.pages["/feed"] = Reply(rss(4, 3, 2, 1))
    outcome = feed()
    assert (outcome.new, outcome.found, outcome.edited) == (2, 4, 0)
    assert told() == ["Post 3", "Post 4"]
    assert feed().new == 0
    assert told() == ["Post 3", "Post 4"]


def test_a_feed_that_is_empty_at_first_has_only_news(sites: Sites, feed: Crawler) -> None:
    sites.pages["/feed"] = Reply(rss())
    assert feed().state == "fine"
    sites.pages["/feed"] = Reply(rss(1))
    feed()
    assert told() == ["Post 1"]


def test_what_has_not_changed_is_not_read(sites: Sites, feed: Crawler) -> None:
    sites.pages["/feed"] = unless_unchanged(rss(1), '"v1"')
    assert not feed().unchanged
    assert feed().unchanged
    assert feed.site.found == 1
    sites.pages["/feed"] = unless_unchanged(rss(2, 1), '"v2"')
    assert feed().new == 1


def test_an_edit(sites: Sites, feed: Crawler) -> None:
    feed()
    sites.pages["/feed"] = Reply(rss(2, 1, title="Corrected"))
    assert feed().edited == 2
    assert told() == []


def test_pages_and_what_comes_after_the_first(sites: Sites, flats: Crawler) -> None:
    for at in range(50):
        numbers = range(10_000 - at * 200, 10_000 - at * 200 - 200, -1)
        sites.pages[f"/flats?p={at}"] = Reply(listing(*numbers, following=f"/flats?p={at + 1}"))
    Site.objects.filter(pk=flats.id).update(url=f"{sites.url}/flats?p=0", spider={**SELECTORS, "pages": 200})
    assert flats().new == 10_000
    assert Post.objects.count() == 10_000
    assert told() == []
    sites.asked.clear()
    assert flats().new == 0
    assert len(sites.paths()) == 1  # the first page has no news, so there are none behind it


def test_a_crawl_that_died_on_the_way_misses_nothing(
    sites: Sites, flats: Crawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    flats()
    for at in range(3):
        sites.pages[f"/flats?p={at}"] = Reply(
            listing(*range(190 - at * 60, 130 - at * 60, -1), following=f"/flats?p={at + 1}")
        )
    sites.pages["/flats"] = sites.pages["/flats?p=0"]
    real, batches = Post.objects.bulk_create, []

    def dies(posts: list[Post], **options: object) -> object:
        batches.append(len(posts))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return real(posts, **options)

    with monkeypatch.context() as dying:
        dying.setattr(Post.objects, "bulk_create", dies)
        with pytest.raises(KeyboardInterrupt):
            flats()
    before = len(told())
    assert 0 < before < 180
    assert flats().new == 180 - before
    assert len(told()) == len(set(told())) == 180


def test_a_changed_layout_is_reported_and_not_silently_empty(
    sites: Sites, flats: Crawler, caplog: pytest.LogCaptureFixture
) -> None:
    flats()
    sites.pages["/flats"] = Reply(listing(3, 2, 1, name="tile"))
    with caplog.at_level(logging.WARNING, "watch"):
        assert flats().state == "changed"
        assert flats().state == "changed"
    assert len(caplog.messages) == 1  # said once
    assert "is changed: item='article.offer' finds nothing" in caplog.text
    assert (flats.site.state, flats.site.found) == ("changed", 2)
    Site.objects.filter(pk=flats.id).update(spider={**SELECTORS, "item": "article.tile"})
    assert flats().state == "fine"
    assert told() == ["Offer number 3"]


def test_a_feed_that_ends_or_becomes_a_page_is_reported(sites: Sites, feed: Crawler) -> None:
    feed()
    sites.pages["/feed"] = Reply(rss())
    assert "the last time there were 2 posts" in feed().problem
    sites.pages["/feed"] = Reply("<html>Welcome</html>", headers={"Content-Type": "text/html"})
    assert "is no feed, but text/html" in feed().problem
    assert feed.site.state == "changed"


def test_selectors_that_find_nothing_at_first_are_reported_and_still_tell_nobody(
    sites: Sites, flats: Crawler
) -> None:
    sites.pages["/flats"] = Reply(listing(1, name="tile"))
    assert flats().state == "changed"
    sites.pages["/flats"] = Reply(listing(1))
    assert flats().state == "fine"
    assert told() == []


def test_a_failing_site_is_left_alone_for_longer_each_time(sites: Sites, feed: Crawler) -> None:
    feed()
    sites.pages["/feed"] = Reply(status=500)
    now = timezone.now()
    outcome = feed(now)
    assert (outcome.state, outcome.problem) == ("failing", f"{sites.url}/feed answered 500")
    asked = len(sites.asked)
    assert feed(now + timedelta(seconds=449)).state == "waiting"
    assert len(sites.asked) == asked
    later = now + timedelta(seconds=450)
    assert feed(later).state == "failing"
    assert feed(later + timedelta(seconds=899)).state == "waiting"
    sites.pages["/feed"] = Reply(rss(3, 2, 1))
    assert feed(later + timedelta(seconds=900)).state == "fine"
    assert (feed.site.failures, feed.site.not_before, feed.site.problem) == (0, None, "")
    assert told() == ["Post 3"]


def test_a_site_that_asks_to_be_left_alone_is(sites: Sites, feed: Crawler) -> None:
    sites.pages["/feed"] = Reply(status=429, headers={"Retry-After": "7200"})
    now = timezone.now()
    assert feed(now).problem.endswith("answered 429: too many requests")
    assert feed.site.not_before == now + timedelta(hours=2)


def test_the_pauses() -> None:
    assert [pause(900, failures, None).total_seconds() for failures in (1, 2, 3, 50)] == [450, 900, 1800, 86400]
    assert pause(900, 1, 3600).total_seconds() == 3600
    assert pause(900, 1, 1e12).days == 7


def test_a_site_that_moved_is_followed_and_said(sites: Sites, feed: Crawler) -> None:
    feed()
    sites.pages["/feed"] = Reply(status=301, headers={"Location": "/news/feed"})
    sites.pages["/news/feed"] = Reply(rss(3, 2, 1))
    outcome = feed()
    assert (outcome.state, outcome.new) == ("fine", 1)
    assert outcome.problem == f"it has moved for good, to {sites.url}/news/feed: change its address"


def test_a_feed_that_gives_all_its_posts_new_ids_is_no_flood(sites: Sites, feed: Crawler) -> None:
    sites.pages["/feed"] = Reply(rss(*range(20, 0, -1)))
    feed()
    sites.pages["/feed"] = Reply(rss(*range(21, 0, -1), base="https://new.example").replace("<guid>g", "<guid>other"))
    assert feed().new == 1
    assert told() == ["Post 21"]
    assert set(Post.objects.values_list("key", flat=True)) == {f"other{n}" for n in range(1, 22)}
    assert feed().new == 0


def test_posts_that_only_read_the_same_are_news(sites: Sites, feed: Crawler) -> None:
    """A feed of one post, whose title never changes."""
    for number in range(3):
        body = rss(number).replace(f"Post {number}", "New release").replace(f"About {number}", "")
        sites.pages["/feed"] = Reply(body)
        assert feed().new == 1
    assert told() == ["New release"] * 2


def test_what_breaks_in_a_crawl_is_on_the_site_too(
    sites: Sites, feed: Crawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watch.crawling.feeds.read", lambda answer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        feed()
    assert (feed.site.state, feed.site.problem) == ("failing", "the crawl broke: ZeroDivisionError: division by zero")


def test_a_spider_of_scrapys(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    sites.pages |= {"/list": Reply(listing(2, 1)), "/list2": Reply(listing(1))}
    offers = Crawler(sites, "/list", kind="scrapy", spider={"spider": "sites.spiders:Offers"})
    assert (offers().new, told()) == (2, [])
    sites.pages["/list"] = Reply(listing(3, 2, following="/list2"))
    outcome = offers()
    assert (outcome.state, outcome.found, outcome.new) == ("fine", 3, 1)
    assert told() == ["Offer number 3"]
    sites.pages["/list"] = Reply("<html></html>")
    assert offers().problem == "sites.spiders:Offers finds nothing; the last time it found 3 posts"
    assert offers.site.state == "changed"


def test_wrong_selectors_are_a_problem_of_the_site(sites: Sites) -> None:
    bad = Crawler(sites, "/x", kind="pages", spider={"itme": "p"})
    assert bad().state == "failing"
    assert "itme" in bad.site.problem


def test_a_site_that_is_gone_or_switched_off(sites: Sites, feed: Crawler) -> None:
    Site.objects.filter(pk=feed.id).update(active=False)
    assert feed().state == "gone"
    Site.objects.all().delete()
    assert feed() == Outcome(site=str(feed.id), state="gone")
    assert sites.asked == []
