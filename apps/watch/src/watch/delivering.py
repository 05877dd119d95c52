"""One delivery: what the job of a post and a subscriber does.

The provider's yes is an *effect* of the job: it is recorded in duly's journal before anything else, and an attempt
that finds it there sends nothing. So a worker may be killed at any point and the person is told once, but for one
moment: after the provider has accepted and before the journal has it. Then the notice is sent again, under the same
key, and replaces itself on the screen (``pushing``; e-mail and apprise, which have no keys, say there what happens).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec
from django.conf import settings

from duly import Task
from duly.contrib.django import app
from watch import channels, errands
from watch.errands import Errand, Reached
from watch.models import Delivery, Target
from watch.pushing.notice import Notice
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
    errand = errands.errand(id)
    if errand is None:
        return "deleted"
    if errand.state != Delivery.State.WAITING:
        return errand.state
    try:
        accepted = task.effect("accepted", push, task, errand, set(tried))
    except Ended as ended:
        return _end(id, ended.state, reason=ended.reason)
    return _end(
        id, str(Delivery.State.ACCEPTED), target_id=accepted.target, accepted_at=moment(),
        provider_id=accepted.id[:200], reason="",
    )  # fmt: skip


def push(task: Task[..., Any], errand: Errand, tried: set[int]) -> Accepted:
    """Go from target to target until one accepts. Raises Ended; leaves the task to come again, or to go on as another
    kind's."""
    now = moment()
    due, deadline = _times(errand, now)
    if not errand.person.active:
        raise Ended(Delivery.State.DROPPED, "unsubscribed")
    if now >= deadline:
        raise Ended(Delivery.State.FAILED, f"not told in time: {errand.reason or 'no worker came to it'}")
    if now < due:
        task.retry(eta=due, exc=Later("quiet hours"))
    for target in errand.targets:
        if target.id in tried:
            continue
        if task.name != TASK + target.kind:
            task.replace(app.tasks[TASK + target.kind].s(errand.id, sorted(tried)))
        try:
            return _send(task, errand, target, now, deadline)
        except Dead as dead:
            _bury(target, dead, now)
        except Refused as refused:
            log.warning("%s refused %s: %s", target, errand, refused.reason)
            errand.reason = refused.reason
        tried.add(target.id)
    if not Target.objects.filter(subscriber=errand.person.id, state=Target.State.ALIVE).exists():
        raise Ended(Delivery.State.DROPPED, "no target is left")
    raise Ended(Delivery.State.FAILED, errand.reason)


def _send(task: Task[..., Any], errand: Errand, target: Reached, now: datetime, deadline: datetime) -> Accepted:
    """Raises Dead and Refused; leaves the task to come again later."""
    provider = target.kind
    try:
        sender = channels.sender(target.kind)
        provider = sender.provider(target.address)
        if until := channels.closed_until(provider, now):
            wait = Later(f"{provider} wants to be left alone until {until:%H:%M:%S} UTC")
            task.retry(eta=until + timedelta(seconds=random.uniform(0, _SPREAD)), exc=wait)
        return Accepted(target.id, sender.send(target.address, _notice(errand, deadline - now)))
    except Closed as closed:
        channels.close(provider, closed, now)
        log.warning("%s wants to be left alone for %.0f s: %s", provider, closed.after, closed.reason)
        _come_again(task, errand, closed)
    except Later as later:
        _come_again(task, errand, later)


def _come_again(task: Task[..., Any], errand: Errand, later: Later) -> NoReturn:
    """With a note why, for who looks at the delivery meanwhile."""
    errands.write(errand.id, reason=later.reason)
    pause = min(_FIRST_PAUSE * 2**task.request.retries, _LONGEST_PAUSE) if later.after is None else later.after
    raise task.retry(countdown=pause + random.uniform(0, min(pause, _SPREAD)), throw=False) from later


def _times(errand: Errand, now: datetime) -> tuple[datetime, datetime]:
    """From when and until when it makes sense to tell: a night is not counted."""
    person = errand.person
    first = told_from(errand.created_at, person.clock, person.quiet_from, person.quiet_to)
    due = told_from(now, person.clock, person.quiet_from, person.quiet_to)
    return due, max(first, errand.created_at) + timedelta(hours=settings.WATCH.within)


def _bury(target: Reached, dead: Dead, now: datetime) -> None:
    """On the provider's word nothing is ever sent there again."""
    log.info("%s is dead: %s", target, dead.reason)
    Target.objects.filter(pk=target.id).update(state=Target.State.DEAD, reason=dead.reason, died_at=now)


def _notice(errand: Errand, left: timedelta) -> Notice:
    return msgspec.structs.replace(
        errands.shared(errand.post),
        unsubscribe=f"{settings.WATCH.url.rstrip('/')}/unsubscribe/{errand.person.token}",
        ttl=max(int(left.total_seconds()), 60),
        to=str(errand.person.id),
    )


def _end(delivery: int, state: str, **fields: Any) -> str:
    """Nothing more comes of it; gives its state."""
    errands.write(delivery, state=state, **fields)
    return state
