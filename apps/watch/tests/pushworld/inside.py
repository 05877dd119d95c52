"""What tests do inside of an installation, in a process of its own: ``python -m pushworld.inside FUNCTION
ARGUMENTS``."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import Count  # noqa: E402

from duly.contrib.django import app  # noqa: E402
from watch.errands import key_of  # noqa: E402
from watch.finding import record  # noqa: E402
from watch.found import Found  # noqa: E402
from watch.models import Delivery, Post, Site, Subscriber, Subscription, Target  # noqa: E402


def prepare(people: int) -> None:
    """Tables, and so many subscribers of everything, each with a phone ``phone-N``."""
    call_command("migrate", verbosity=0)
    made = Subscriber.objects.bulk_create([Subscriber(name=f"p{n}") for n in range(people)])
    Subscription.objects.bulk_create([Subscription(subscriber=one) for one in made])
    Target.objects.bulk_create(
        [Target(subscriber=one, kind="fcm", address=f"phone-{n}") for n, one in enumerate(made)]
    )


def posts(first: int, count: int) -> None:
    site, _ = Site.objects.get_or_create(
        url="https://flats.example/feed", defaults={"name": "Flats", "active": False, "first_crawl_done": True}
    )
    numbers = range(first, first + count)
    record(site, [Found(key=f"k{n}", url=f"https://flats.example/{n}", title=f"Flat {n}") for n in numbers])


def posts_slowly(count: int, pause: float) -> dict[str, float]:
    """A post each ``pause`` seconds; when each was noted, by the key of its notices."""
    for number in range(count):
        time.sleep(pause)
        posts(number, 1)
    noted = Delivery.objects.values_list("post_id", "created_at").distinct()
    keys = {post.pk: key_of(post) for post in Post.objects.select_related("site")}
    return {keys[id]: moment.timestamp() for id, moment in noted}


def posts_rolled_back() -> list[int]:
    """How many deliveries and jobs remain of posts whose transaction was not committed."""
    try:
        with transaction.atomic():
            posts(0, 2)
            assert Delivery.objects.count() > 0
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return [Delivery.objects.count(), sum(one.ready for one in app.store.counts())]


def sites(*urls: str) -> None:
    """Feeds whose first crawl is done; each is crawled at once."""
    for number, url in enumerate(urls):
        Site.objects.create(name=f"site {number}", url=url, first_crawl_done=True, interval=3600, jitter=0)


def states() -> dict[str, int]:
    return dict(Delivery.objects.values_list("state").annotate(Count("id")).order_by())


def found_at() -> dict[str, float]:
    """By device, when the last delivery to it was noted."""
    rows = Delivery.objects.order_by("id").values_list("subscriber__targets__address", "created_at")
    return {device: moment.timestamp() for device, moment in rows}


def main(function: str, args: str) -> None:
    given: Any = globals()[function](*json.loads(args))
    print(json.dumps(given))


if __name__ == "__main__":
    main(*sys.argv[1:])
