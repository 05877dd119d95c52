"""The tests' own hands at a RabbitMQ: messages as Celery writes them, put on a queue and read from one."""

from __future__ import annotations

import time
import uuid
from types import TracebackType
from typing import Any, Self

import pika

from duly.clock import MICROS
from duly.gateway import wire
from duly.relay.broker import Raw
from duly.relay.rabbitmq import AmqpForm


def call(id: str | None = None, ahead: float | None = None, **more: Any) -> Raw:
    """A call of ``proj.later``, due in ``ahead`` seconds."""
    eta = None if ahead is None else int((time.time() + ahead) * MICROS)
    message = wire.Message(id=id or str(uuid.uuid4()), task="proj.later", eta=eta, **more)
    return AmqpForm().new(wire.encode(message), "celery")


class Hands:
    """One connection; use it with ``with``."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def declare(self, *queues: str, **arguments: Any) -> None:
        for queue in queues:
            self.channel.queue_declare(queue, durable=True, arguments=arguments or None)

    def send(self, queue: str, raw: Raw) -> None:
        properties = pika.BasicProperties().decode(raw.properties)
        self.channel.basic_publish("", queue, raw.body, properties, mandatory=True)

    def waiting(self, queue: str) -> int:
        """How many messages the queue has for whoever asks first."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def take(self, queue: str) -> list[Raw]:
        """All of them, taken off."""
        found = []
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(Raw(body=body, properties=b"".join(properties.encode())))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()


def id_of(raw: Raw) -> str:
    return str(AmqpForm().envelope(raw).headers["id"])
