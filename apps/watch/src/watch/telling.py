"""From posts to jobs: who is to be told, and one job for each post and subscriber.

1. ``announce``: a ``Delivery`` for each, in the transaction that stores the posts. It is unique by post and
   subscriber, and what happens later is written into it.
2. ``hand_over``: its job. Where duly's store is the project's PostgreSQL database, in the same transaction;
elsewhere
   as soon as that is committed. A process that dies between the two leaves posts that are not *handed over*,
   which ``remaining`` finds within a minute; a job's id is that of its delivery, so that it is stored once.
3. ``delivering.py``: the job tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from duly import Call
from duly.contrib.django import app
from watch.matching import Wants
from watch.models import Delivery, Post, Site, Subscriber, Subscription, Target, job_of
from watch.quiet import told_from

TASK = "watch.tell_"
"""The beginning of the tasks' names: one for each kind of target, because providers have limits of their own."""

AT_ONCE = 2_500
"""Deliveries in one transaction, about: half a second."""

_POSTS = 50  # at once of those that were forgotten

FORGOTTEN = timedelta(seconds=30)
"""A post that is so old and not handed over belongs to a process that is gone."""


def moment() -> datetime:
    """Now, on the clock by which jobs are due."""
    return datetime.fromtimestamp(app.now() / 1e6, UTC)


def announce(posts: Sequence[Post]) -> None:
    """Note for each post who is to be told of it, and hand it over; in the transaction that the posts are stored
    by."""
    wants = _wants({post.site_id for post in posts})
    now = moment()
    deliveries = [
        Delivery(post=post, subscriber_id=subscriber, created_at=now)
        for post in posts
        for subscriber in sorted(wants.who(post.site_id, f"{post.title}\n{post.summary}"))
    ]
    Delivery.objects.bulk_create(deliveries, batch_size=1_000)
    ids = [post.pk for post in posts]
    if joins():
        hand_over(ids)
    else:
        transaction.on_commit(partial(hand_over, ids), robust=True)


def posts_at_once(site: Site) -> int:
    """How many posts to announce in one transaction: nobody is told before its end, and on SQLite others wait for
    it."""
    subscriptions: int = _subscriptions([site.pk]).count()
    return max(AT_ONCE // max(subscriptions, 1), 1)


def _subscriptions(sites: Iterable[int]) -> QuerySet[Subscription]:
    return Subscription.objects.filter(Q(site=None) | Q(site__in=sites), subscriber__active=True)


def _wants(sites: Iterable[int]) -> Wants:
    return Wants(_subscriptions(sites).values_list("subscriber_id", "site_id", "keywords").iterator())


def joins() -> bool:
    """Whether jobs can be stored by a transaction of the project's database."""
    return bool(settings.WATCH.database) and not settings.WATCH.store


def remaining(now: datetime) -> int:
    """Hand over what was forgotten; how many posts that were. Raises StoreError."""
    forgotten = Post.objects.filter(announced=True, handed_over=False, found_at__lt=now - FORGOTTEN)
    ids = list(forgotten.order_by("id").values_list("id", flat=True))
    for begin in range(0, len(ids), _POSTS):
        hand_over(ids[begin : begin + _POSTS])
    return len(ids)


def hand_over(posts: Sequence[int]) -> None:
    """Store the jobs of the posts' deliveries; those whom nothing reaches are done with. Raises StoreError."""
    waiting = Delivery.objects.filter(post__in=posts, state=Delivery.State.WAITING)
    people = Subscriber.objects.filter(pk__in=waiting.values("subscriber")).in_bulk()
    kinds = _kinds(waiting)
    waiting.exclude(subscriber__in=_alive().values("subscriber")).update(
        state=Delivery.State.DROPPED, reason="has no target"
    )
    calls: dict[str, list[Call]] = defaultdict(list)
    now = moment()
    for id, post, subscriber in waiting.order_by("id").values_list("id", "post_id", "subscriber_id"):
        if subscriber in kinds:
            calls[kinds[subscriber]].append(_call(id, job_of(post, subscriber), people[subscriber], now))
    for kind, chosen in calls.items():
        task = app.tasks[TASK + kind]
        (task.using("default") if joins() else task).enqueue_many(chosen)
    Post.objects.filter(pk__in=posts).update(handed_over=True)


def _alive() -> QuerySet[Target]:
    return Target.objects.filter(state=Target.State.ALIVE)


def _kinds(waiting: QuerySet[Delivery]) -> dict[int, str]:
    """By subscriber: the kind of the first target that lives."""
    found = _alive().filter(subscriber__in=waiting.values("subscriber")).order_by("-id")
    return dict(found.values_list("subscriber_id", "kind"))


def _call(delivery: int, job: str, person: Subscriber, now: datetime) -> Call:
    due = told_from(now, person.clock, person.quiet_from, person.quiet_to)
    return Call((delivery,), task_id=job) if due <= now else Call((delivery,), task_id=job, eta=due)
