"""The door to RabbitMQ: a consumer on each queue, with acknowledgements by hand. Needs ``duly[amqp]``.

What it declares is what Celery's workers declare, and only where it is not there (``topology.py``). Of a queue that
is there nothing has to be known: classic, quorum, with priorities, it is consumed alike.

Deliveries are acknowledged by the batch, in the order in which they came, so that the broker sends the next ones
while a batch is stored. When the connection breaks, whatever was not acknowledged comes again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from duly.gateway import topology
from duly.gateway.adopting import rabbit_priority
from duly.gateway.doors import Taken
from duly.gateway.envelope import JSON, Envelope
from duly.gateway.publishing import BrokerAway, rabbit_errors, rabbit_parameters
from duly.gateway.topology import Wanted
from duly.passwords import hidden

log = logging.getLogger("duly.gateway")

BATCH = 200
"""Messages that are stored in one call."""

_PREFETCH = 3 * BATCH  # of each queue: one batch is stored, one is here, one on its way
_LOOK_EVERY = 5.0  # seconds until a queue that was deleted is declared again
_COUNTERS = frozenset(("x-delivery-count", "x-acquired-count"))  # the second since RabbitMQ 4.3


class AmqpDoor:
    """One broker, or several of which one is used at a time."""

    def __init__(self, urls: Sequence[str], queues: Sequence[Wanted]) -> None:
        """Raises ConfigError for a URL that is none."""
        self.name = ", ".join(hidden(url) for url in urls)
        self._parameters = [rabbit_parameters(url) for url in urls]
        self._queues = {each.queue: each for each in queues}
        self._next = 0  # of the URLs, which one is tried next
        self._connection: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._came: deque[Taken] = deque()
        self._lost: dict[str, float] = {}  # queues that were deleted, and when to look again (monotonic)

    def priority(self, number: int) -> int:
        return rabbit_priority(number)

    def open(self) -> None:
        self.give_back()
        try:
            with rabbit_errors():
                self._connection = BlockingConnection(self._parameters[self._next])
                self._channel = self._consumer(self._connection)
                topology.declare(self._connection, list(self._queues.values()))
                for queue in self._queues:
                    self._consume(queue)
        except BrokerAway:
            self._next = (self._next + 1) % len(self._parameters)
            raise

    def take(self, wait: float) -> list[Taken]:
        connection = self._connection
        if connection is None:
            raise BrokerAway("not connected")
        with rabbit_errors():
            self._look_for_lost()
            connection.process_data_events(0 if self._came else wait)
        return [self._came.popleft() for _ in range(min(len(self._came), BATCH))]

    def done(self, taken: Sequence[Taken]) -> None:
        assert self._channel is not None
        with rabbit_errors():
            self._channel.basic_ack(taken[-1].tag, multiple=True)

    def give_back(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._came.clear()
        self._lost.clear()
        if connection is not None and connection.is_open:
            with contextlib.suppress(BrokerAway), rabbit_errors():
                connection.close()

    # -- queues --------------------------------------------------------------------------------------

    def _consumer(self, connection: BlockingConnection) -> BlockingChannel:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=_PREFETCH)
        channel.add_on_cancel_callback(self._on_cancel)
        return channel

    def _consume(self, queue: str) -> None:
        assert self._channel is not None

        def on_message(_channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            self._came.append(Taken(queue, envelope(without_counters(properties), body), method.delivery_tag))

        self._channel.basic_consume(queue, on_message, consumer_tag=queue)

    def _on_cancel(self, frame: Any) -> None:
        """The broker ends a consumer: its queue was deleted, or went with the node that had it."""
        queue = frame.method.consumer_tag
        log.error("queue %s is gone from %s; it is declared again", queue, self.name)
        self._lost[queue] = time.monotonic() + _LOOK_EVERY

    def _look_for_lost(self) -> None:
        for queue, due in list(self._lost.items()):
            if time.monotonic() >= due:
                del self._lost[queue]
                assert self._connection is not None
                topology.declare(self._connection, [self._queues[queue]])
                self._consume(queue)


def without_counters(properties: pika.BasicProperties) -> pika.BasicProperties:
    """As the message was sent: quorum queues add to each delivery after the first how many there were."""
    if properties.headers and not _COUNTERS.isdisjoint(properties.headers):
        properties.headers = {name: value for name, value in properties.headers.items() if name not in _COUNTERS}
    return properties


def envelope(properties: pika.BasicProperties, body: bytes) -> Envelope:
    """A message as it was delivered."""
    said = {name: value for name, value in vars(properties).items() if value is not None}
    return Envelope(
        body=body,
        content_type=said.pop("content_type", JSON),
        content_encoding=said.pop("content_encoding", "utf-8"),
        headers=said.pop("headers", {}),
        properties=said,
    )
