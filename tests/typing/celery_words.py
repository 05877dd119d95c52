"""Checked by mypy in strict mode (test_typing.py), never run: a program with Celery's words."""

from __future__ import annotations

from typing import Any, assert_type

from duly import AsyncResult
from duly.celery import Celery, Task, chain, chord, group, shared_task, states
from duly.celery.contrib.abortable import AbortableTask
from duly.celery.exceptions import MaxRetriesExceededError
from duly.celery.schedules import crontab
from duly.celery.utils.log import get_task_logger

app = Celery("typed", broker="redis://localhost", backend="redis://localhost", include=["typed.tasks"])
logger = get_task_logger(__name__)


@app.task
def add(x: int, y: int) -> int:
    logger.info("adding")
    return x + y


@app.task(bind=True, acks_late=True, serializer="json", retry_kwargs={"max_retries": 5})
def fetch(self: Task[..., Any], url: str) -> str:
    try:
        raise self.retry(exc=ValueError(), countdown=3)
    except MaxRetriesExceededError:
        self.update_state(state=states.FAILURE, meta={"url": url})
    return url


@shared_task(bind=True, track_started=True)
def shared(self: Task[..., Any], x: int) -> None: ...


@app.task(bind=True, base=AbortableTask)
def convert(self: AbortableTask[..., Any], pages: int) -> bool:
    return self.is_aborted()


@app.on_after_configure.connect
def setup(sender: Celery, **_: Any) -> None:
    sender.add_periodic_task(crontab(minute=0), add.s(1, 2), name="hourly")


assert_type(add.delay(1, 2), AsyncResult[int])
assert_type(add.delay(1, 2).get(timeout=1), int)
assert_type(fetch.delay("u").get(), str)
assert_type(shared.delay(1), AsyncResult[None])
chain(add.s(1, 2), add.s(3)).apply_async()
chord([add.s(1, 2)])(add.si(1, 2))
group(add.s(i, i) for i in range(3)).apply_async()
app.control.rate_limit("typed.add", "10/m")
app.send_task("typed.add", (1, 2), countdown=3)

add.delay("1", 2)  # error
fetch.delay()  # error
shared.delay("x")  # error
Celery("x", broker=3)  # error
