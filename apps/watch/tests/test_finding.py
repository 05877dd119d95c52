"""What a crawl brought, compared with what is stored."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from watch.finding import record
from watch.found import Found
from watch.models import Delivery, Post, Site, Subscriber, Subscription

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def site() -> Site:
    return Site.objects.create(name="News", url="https://news.example/feed")


@pytest.fixture
def ada() -> Subscriber:
    ada = Subscriber.objects.create(name="Ada")
    Subscription.objects.create(subscriber=ada)
    return ada


def found(*numbers: int, title: str = "Post") -> list[Found]:
    return [
        Found(
            key=f"k{n}",
            url=f"https://news.example/{n}",
            title=f"{title} {n}",
            published=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for n in numbers
    ]


def counts(site: Site, *numbers: int, title: str = "Post") -> tuple[int, int, int]:
    recorded = record(site, found(*numbers, title=title))
    return recorded.new, recorded.edited, recorded.known


@pytest.mark.usefixtures("ada")
def test_the_first_crawl_tells_nobody(site: Site) -> None:
    assert counts(site, 1, 2, 3) == (3, 0, 0)
    assert not Delivery.objects.exists()
    assert not Post.objects.filter(announced=True).exists()


def test_after_it_each_new_post_is_told_once(site: Site, ada: Subscriber) -> None:
    record(site, found(1, 2))
    site.first_crawl_done = True
    assert counts(site, 4, 3, 2, 1) == (2, 0, 2)
    assert counts(site, 4, 3, 2, 1) == (0, 0, 4)
    told = Delivery.objects.order_by("id").values_list("post__key", "subscriber__name")
    assert list(told) == [("k3", "Ada"), ("k4", "Ada")]  # the newest is first on the site, and the last to be told


@pytest.mark.usefixtures("ada")
def test_an_edit_is_recognised_and_not_told(site: Site) -> None:
    record(site, found(1, 2))
    site.first_crawl_done = True
    assert counts(site, 1, title="Post") == (0, 0, 1)
    assert counts(site, 1, title="Corrected") == (0, 1, 0)
    post = Post.objects.get(key="k1")
    assert post.title == "Corrected 1"
    assert post.edited_at is not None
    assert not Delivery.objects.exists()


@pytest.mark.usefixtures("ada")
def test_many_posts_come_in_batches(site: Site) -> None:
    site.first_crawl_done = True
    assert counts(site, *range(201)) == (201, 0, 0)
    assert Delivery.objects.count() == 201


def test_a_post_that_is_twice_on_a_page_is_one(site: Site) -> None:
    assert counts(site, 1, 1, 2) == (2, 0, 0)


def test_a_batch_that_fails_stores_neither_posts_nor_deliveries(
    site: Site, ada: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.first_crawl_done = True
    with monkeypatch.context() as broken:
        broken.setattr(Delivery.objects, "bulk_create", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            record(site, found(1))
    assert not Post.objects.exists()
    assert counts(site, 1) == (1, 0, 0)
