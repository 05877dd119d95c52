"""What has to be there at RabbitMQ for messages to reach a queue, as Celery's workers declare it.

What is there already is left as it is, whoever made it. For quorum queues behind an exchange that is not direct,
Celery's clients send what is due later to the exchange ``celery_delayed_27``: 28 queues, one for each power of two of
seconds, in which a message waits or not by the bits of its routing key; ``celery_delayed_delivery`` is their end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from duly.app import Duly
from duly.bindings import Binding

_NOT_FOUND = 404
_LEVELS = 28
_DELIVERY = "celery_delayed_delivery"


class Wanted(msgspec.Struct, frozen=True):
    """A queue, what leads to it, and how it is declared if it is not there."""

    queue: str
    bindings: tuple[Binding, ...]
    arguments: dict[str, Any]

    @property
    def delayed(self) -> bool:
        """Whether clients send to it by way of the delayed queues."""
        return self.arguments.get("x-queue-type") == "quorum" and any(each.type != "direct" for each in self.bindings)


def wanted(app: Duly, queues: Sequence[str]) -> list[Wanted]:
    """For queues of an app: what its ``task_queues`` says of them, else a direct exchange of the queue's name."""
    own = {queue.name: queue.arguments for queue in app.conf.task_queues}
    kinds = {app.conf.task_default_queue: app.conf.task_default_queue_type}
    most = app.conf.task_queue_max_priority
    found = []
    for queue in queues:
        bindings = tuple(each for each in app.routing.bindings if each.queue == queue and each.exchange)
        kind = kinds.get(queue, app.conf.task_create_missing_queue_type)
        usual: dict[str, Any] = {"x-queue-type": kind} if kind == "quorum" and queue not in own else {}
        if most is not None:
            usual["x-max-priority"] = most
        if not bindings:
            bindings = (Binding(queue, queue, "direct", queue),)
        found.append(Wanted(queue, bindings, usual | own.get(queue, {})))
    return found


def declare(connection: BlockingConnection, queues: Sequence[Wanted]) -> None:
    """Raises pika's errors."""
    for each in queues:
        _queue(connection, each)
        for binding in each.bindings:
            _exchange(connection, binding)
    channel = connection.channel()
    for each in queues:
        for binding in each.bindings:
            channel.queue_bind(each.queue, binding.exchange, binding.key)
    if any(each.delayed for each in queues):
        _declare_delays(channel, queues)
    channel.close()


def _declare_delays(channel: BlockingChannel, queues: Sequence[Wanted]) -> None:
    for level in range(_LEVELS - 1, -1, -1):
        after = _level(level - 1) if level else _DELIVERY
        channel.exchange_declare(_level(level), "topic", durable=True)
        channel.exchange_declare(after, "topic", durable=True)
        arguments = {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-message-ttl": 1000 << level,
            "x-dead-letter-exchange": after,
            "x-dead-letter-strategy": "at-least-once",
        }
        before = "*." * (_LEVELS - 1 - level)
        channel.queue_declare(_level(level), durable=True, arguments=arguments)
        channel.queue_bind(_level(level), _level(level), f"{before}1.#")  # this bit is set: wait here
        channel.exchange_bind(after, _level(level), f"{before}0.#")
    for each in queues:
        for binding in each.bindings if each.delayed else ():
            key = binding.key if binding.key.startswith("#") else f"#.{binding.key}"
            channel.exchange_bind(binding.exchange, _DELIVERY, key)
            channel.queue_bind(each.queue, binding.exchange, key)


def _level(number: int) -> str:
    return f"celery_delayed_{number}"


def _queue(connection: BlockingConnection, each: Wanted) -> None:
    _unless_there(
        connection,
        lambda channel: channel.queue_declare(each.queue, passive=True),
        lambda channel: channel.queue_declare(each.queue, durable=True, arguments=each.arguments),
    )


def _exchange(connection: BlockingConnection, each: Binding) -> None:
    _unless_there(
        connection,
        lambda channel: channel.exchange_declare(each.exchange, passive=True),
        lambda channel: channel.exchange_declare(each.exchange, each.type, durable=True),
    )


def _unless_there(
    connection: BlockingConnection, look: Callable[[Any], object], make: Callable[[Any], object]
) -> None:
    """The broker ends a channel on which something was looked for that is not there."""
    channel = connection.channel()
    try:
        look(channel)
    except ChannelClosedByBroker as exc:
        if exc.reply_code != _NOT_FOUND:
            raise
        channel = connection.channel()
        make(channel)
    channel.close()
