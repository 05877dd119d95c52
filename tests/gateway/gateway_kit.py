"""What the tests of the gateways share: a Celery project, and waiting with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pika

from duly import Duly
from duly.bindings import Binding
from duly.gateway.adopting import Adopter
from duly.gateway.amqp import AmqpDoor
from duly.gateway.doors import Door, Taking
from duly.gateway.following import Here
from duly.gateway.topology import Wanted
from duly.gateway.wire import Message, encode
from duly.job import Filter, JobView

PROJECT = """
import os
from celery import Celery, chain, chord, group, signature

app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND"))
app.conf.update(accept_content=["json", "msgpack", "yaml", "pickle"])

@app.task
def add(x, y=0):
    return x + y

@app.task(bind=True)
def note(self, *args, **kwargs):
    pass
"""
"""Its tasks are ``proj.add`` and ``proj.note``; environment: BROKER, BACKEND."""


def until(what: Callable[[], bool], why: str, patience: float = 60.0) -> None:
    """Wait until it is so. Raises AssertionError."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, f"{why}: not within {patience:g} s"
        time.sleep(0.02)


@contextmanager
def taking(app: Duly, door: Door, store: Any = None) -> Iterator[Taking]:
    """The door's loop, in a thread. ``store``: in place of the app's."""
    loop, stop = (
        Taking(door, store or app.store, Adopter(Here(app, (), door.priority, False))),
        threading.Event(),
    )
    thread = threading.Thread(target=loop.run, args=(stop,), daemon=True)
    thread.start()
    yield loop
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def publish(url: str, queue: str, ids: Sequence[str]) -> None:
    """Calls of ``proj.add``, as a Celery client makes them; the broker has confirmed each."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.tx_select()
        for id in ids:
            envelope = encode(Message(id=id, task="proj.add", args=b"[[1],{}]"))
            properties = pika.BasicProperties(
                content_type=envelope.content_type, headers=envelope.headers, delivery_mode=2
            )
            channel.basic_publish("", queue, envelope.body, properties)
        channel.tx_commit()


def door_to(urls: Sequence[str], queue: str) -> AmqpDoor:
    """A door for a queue of no special kind."""
    return AmqpDoor(urls, [Wanted(queue, (Binding(queue, queue, "direct", queue),), {})])


def jobs(app: Duly, *queues: str) -> list[JobView]:
    """Those of these queues."""
    return app.jobs(Filter(queues=queues), limit=1000).jobs
