"""What the job of one delivery reads of the database, and writes into it: one query and one update.

A post may have thousands of such jobs, so they use SQL as it stands: building these two statements with the ORM, and
objects of what they give, took half of a push's CPU. What all jobs of a post share is read once and remembered.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, time
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from django.db import connection

from watch.models import Delivery, Post, Target, clock_of, target_words
from watch.pushing.notice import Address, Notice, notice

REMEMBERED = 5.0
"""Seconds for which a post's words are believed: so late is an edit seen."""

_READ = f"""
SELECT d.post_id, d.state, d.reason, d.created_at,
       s.id, s.active, s.zone, s.quiet_from, s.quiet_to, s.token,
       t.id, t.kind, t.address, t.keys
FROM watch_delivery d
JOIN watch_subscriber s ON s.id = d.subscriber_id
LEFT JOIN watch_target t ON t.subscriber_id = s.id AND t.state = '{Target.State.ALIVE}'
WHERE d.id = %s
ORDER BY t.id
"""


class Reached(msgspec.Struct, frozen=True):
    """A target that lives."""

    id: int
    kind: str
    address: Address

    def __str__(self) -> str:
        return target_words(self.kind, self.address.value)


class Person(msgspec.Struct, frozen=True):
    """A subscriber: whether they are told, and when."""

    id: int
    active: bool
    clock: ZoneInfo
    quiet_from: time | None
    quiet_to: time | None
    token: str


class Errand(msgspec.Struct):
    """A delivery, whom it is for and where they are reached, in the order that was entered."""

    id: int
    post: int
    state: str
    reason: str
    created_at: datetime
    person: Person
    targets: list[Reached]

    def __str__(self) -> str:
        return f"{self.post} to {self.person.id}"


def errand(delivery: int) -> Errand | None:
    """As it is now; None if the delivery was deleted."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, (delivery,))
        rows = cursor.fetchall()
    if not rows:
        return None
    post, state, reason, created_at, person, active, zone, quiet_from, quiet_to, token = rows[0][:10]
    return Errand(
        delivery, post, state, reason, _aware(created_at),
        Person(person, active, clock_of(person, zone), quiet_from, quiet_to, token),
        [
            Reached(id, kind, Address(address, msgspec.json.decode(keys)))
            for id, kind, address, keys in (row[10:] for row in rows)
            if id is not None
        ],
    )  # fmt: skip


def write(delivery: int, **fields: Any) -> None:
    """Into the row, while it waits. Nobody else writes it while a job has it."""
    names = ", ".join(f"{name} = %s" for name in fields)
    values = [_stored(value) for value in fields.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE watch_delivery SET {names} WHERE id = %s AND state = '{Delivery.State.WAITING}'",
            (*values, delivery),
        )


def _aware(moment: datetime) -> datetime:
    """SQLite gives it without a zone, in UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _stored(value: Any) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


# -- what the jobs of a post share ---------------------------------------------------------------------

_shared: dict[int, tuple[float, Notice]] = {}  # by post: until when (monotonic) it is believed, and what


def shared(post: int) -> Notice:
    """The notice of a post, but for what is each subscriber's own. Raises Post.DoesNotExist."""
    now = monotonic()
    until, found = _shared.get(post, (0.0, None))
    if found is None or until <= now:
        found = _notice(Post.objects.select_related("site").get(pk=post))
        _forget(now)
        _shared[post] = now + REMEMBERED, found
    return found


def _notice(post: Post) -> Notice:
    return notice(
        key=key_of(post), title=post.title or post.site.name, body=post.summary or post.site.name, url=post.url
    )


def _forget(now: float) -> None:
    """What nobody has asked for lately."""
    for post, (until, _) in list(_shared.items()):
        if until <= now:
            _shared.pop(post, None)


def key_of(post: Post) -> str:
    """What its notices replace each other by: the same for all attempts, and no other post's on any phone."""
    return hashlib.sha256(f"{post.site.url}\n{post.key}".encode()).hexdigest()[:32]
