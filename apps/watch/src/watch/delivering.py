"""One delivery: what the job of a post and a subscriber does.

The provider's yes is an *effect* of the job: it is recorded in duly's journal before anything else, and an attempt
that finds it there sends nothing. So a worker may be killed at any point and the person is told once, but for one
moment: after the provider has accepted and before the journal has it. Then the notice is sent again, under the same
key, and replaces itself on the screen (``pushing``; e-mail and apprise, which have no keys, say there what happens).
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec
from django.conf import settings

from duly import Task
from duly.contrib.django import app
from watch import channels
from watch.models import Delivery, Post, Target
from watch.pushing.notice import Address, Notice, notice
from watch.pushing.verdicts import Closed, Dead, Later, Refused
from watch.quiet import told_from
from watch.telling import TASK, moment

log = logging.getLogger("watch")

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 1_800.0  # seconds
_SPREAD = 5.0  # seconds over which those come back that waited for a provider


class Accepted(msgspec.Struct, frozen=True):
    """The provider's yes."""

    target: int
    id: str


class Ended(Exception):
    """Nobody is told, for a reason that is final."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


def tell(task: Task[..., Any], id: int, tried: Collection[int]) -> str:
    """Tell one subscriber of one post; gives the delivery's state. ``tried``: targets that refused it."""
    delivery = Delivery.objects.select_related("post__site", "subscriber").filter(pk=id).first()
    if delivery is None:
        return "deleted"
    if delivery.state != Delivery.State.WAITING:
        return str(delivery.state)
    try:
        accepted = task.effect("accepted", push, task, delivery, set(tried))
    except Ended as ended:
        return _write(delivery, state=ended.state, reason=ended.reason)
    return _write(
        delivery, state=Delivery.State.ACCEPTED, target_id=accepted.target, accepted_at=moment(),
        provider_id=accepted.id[:200], reason="",
    )  # fmt: skip


def push(task: Task[..., Any], delivery: Delivery, tried: set[int]) -> Accepted:
    """Go from target to target until one accepts. Raises Ended; leaves the task to come again, or to go on as another
    kind's."""
    now = moment()
    due, deadline = _times(delivery, now)
    if not delivery.subscriber.active:
        raise Ended(Delivery.State.DROPPED, "unsubscribed")
    if now >= deadline:
        raise Ended(Delivery.State.FAILED, f"not told in time: {delivery.reason or 'no worker came to it'}")
    if now < due:
        task.retry(eta=due, exc=Later("quiet hours"))
    for target in _targets(delivery, tried):
        if task.name != TASK + target.kind:
            task.replace(app.tasks[TASK + target.kind].s(delivery.pk, sorted(tried)))
        try:
            return _send(task, delivery, target, now, deadline)
        except Dead as dead:
            _bury(target, dead, now)
        except Refused as refused:
            log.warning("%s refused %s: %s", target, delivery, refused.reason)
            delivery.reason = refused.reason
        tried.add(target.pk)
    if not delivery.subscriber.targets.filter(state=Target.State.ALIVE).exists():
        raise Ended(Delivery.State.DROPPED, "no target is left")
    raise Ended(Delivery.State.FAILED, delivery.reason)


def _send(task: Task[..., Any], delivery: Delivery, target: Target, now: datetime, deadline: datetime) -> Accepted:
    """Raises Dead and Refused; leaves the task to come again later."""
    address = Address(target.address, target.keys)
    provider = str(target.kind)
    try:
        sender = channels.sender(target.kind)
        provider = sender.provider(address)
        if until := channels.closed_until(provider, now):
            wait = Later(f"{provider} wants to be left alone until {until:%H:%M:%S} UTC")
            task.retry(eta=until + timedelta(seconds=random.uniform(0, _SPREAD)), exc=wait)
        return Accepted(target.pk, sender.send(address, _notice(delivery, deadline - now)))
    except Closed as closed:
        channels.close(provider, closed, now)
        log.warning("%s wants to be left alone for %.0f s: %s", provider, closed.after, closed.reason)
        _come_again(task, delivery, closed)
    except Later as later:
        _come_again(task, delivery, later)


def _come_again(task: Task[..., Any], delivery: Delivery, later: Later) -> NoReturn:
    """With a note why, for who looks at the delivery meanwhile."""
    _write(delivery, reason=later.reason)
    pause = min(_FIRST_PAUSE * 2**task.request.retries, _LONGEST_PAUSE) if later.after is None else later.after
    raise task.retry(countdown=pause + random.uniform(0, min(pause, _SPREAD)), throw=False) from later


def _times(delivery: Delivery, now: datetime) -> tuple[datetime, datetime]:
    """From when and until when it makes sense to tell: a night is not counted."""
    person = delivery.subscriber
    first = told_from(delivery.created_at, person.clock, person.quiet_from, person.quiet_to)
    due = told_from(now, person.clock, person.quiet_from, person.quiet_to)
    return due, max(first, delivery.created_at) + timedelta(hours=settings.WATCH.within)


def _targets(delivery: Delivery, tried: Collection[int]) -> list[Target]:
    """Those that live, in the order they were entered."""
    alive = delivery.subscriber.targets.filter(state=Target.State.ALIVE).order_by("id")
    return [target for target in alive if target.pk not in tried]


def _bury(target: Target, dead: Dead, now: datetime) -> None:
    """On the provider's word nothing is ever sent there again."""
    log.info("%s is dead: %s", target, dead.reason)
    Target.objects.filter(pk=target.pk).update(state=Target.State.DEAD, reason=dead.reason, died_at=now)


def _notice(delivery: Delivery, left: timedelta) -> Notice:
    post = delivery.post
    return notice(
        key=key_of(post),
        title=post.title or post.site.name,
        body=post.summary or post.site.name,
        url=post.url,
        unsubscribe=f"{settings.WATCH.url.rstrip('/')}/unsubscribe/{delivery.subscriber.token}",
        ttl=max(int(left.total_seconds()), 60),
        to=str(delivery.subscriber_id),
    )


def key_of(post: Post) -> str:
    """What its notices replace each other by: the same for all attempts, and no other post's on any phone."""
    return hashlib.sha256(f"{post.site.url}\n{post.key}".encode()).hexdigest()[:32]


def _write(delivery: Delivery, **fields: Any) -> str:
    """Into the row, which nobody else writes while this job has it; gives its state."""
    Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.WAITING).update(**fields)
    return str(fields.get("state", delivery.state))
