"""The jobs of queue ``notify``: those that tell, and what must not wait behind a crawl."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings

from duly import Task
from duly.contrib.django import app
from watch import delivering, lost, telling
from watch.models import Delivery, Target

QUEUE = "notify"


def _declare(kind: str) -> None:
    """The task that tells targets of one kind; its rate holds over all workers."""

    @app.task(
        name=telling.TASK + kind, bind=True, queue=QUEUE, priority=7, max_retries=None, time_limit=120,
        rate_limit=settings.WATCH.rate(kind), autoretry_for=(Exception,), retry_backoff=5, retry_backoff_max=1_800,
    )  # fmt: skip
    def tell(self: Task[..., Any], id: int, tried: list[int] = []) -> str:  # noqa: B006 - read only
        return delivering.tell(self, id, tried)


for one in Target.Kind.values:
    _declare(one)


@app.periodic(timedelta(minutes=1))
@app.task(name="watch.hand_over", queue=QUEUE, priority=9)
def hand_over() -> int:
    """Jobs for posts whose process died before it had stored them."""
    return telling.remaining(telling.moment())


@app.periodic(timedelta(minutes=1))
@app.task(name="watch.mourn", queue=QUEUE, priority=9)
def mourn() -> int:
    """Crawls that ended without a word, told on their sites."""
    return lost.mourn(app, telling.moment())


@app.periodic(timedelta(hours=1))
@app.task(name="watch.give_up", queue=QUEUE)
def give_up() -> int:
    """Deliveries whose job has ended though nothing came of it: it was cancelled, or has killed three workers."""
    oldest = telling.moment() - timedelta(hours=settings.WATCH.within, days=1)
    ended = Delivery.objects.filter(state=Delivery.State.WAITING, created_at__lt=oldest)
    given_up: int = ended.update(state=Delivery.State.FAILED, reason="its job ended without an outcome")
    return given_up
