"""The bus on which Celery's workers and monitors talk: events out, remote control in, replies out.

Two exchanges and a way back, as kombu lays them out on its transports:

==================  ====================================  =======================================================
                    RabbitMQ                              Redis, in database N
==================  ====================================  =======================================================
events              topic exchange ``celeryev``           PUBLISH ``/N.celeryev/KEY``
remote control      fanout exchange ``celery.pidbox``     SUBSCRIBE ``/N.celery.pidbox``
replies             direct ``reply.celery.pidbox``        the list that is bound in
                                                          ``_kombu.binding.reply.celery.pidbox``
==================  ====================================  =======================================================

All of it is transient: what nobody listens to is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from duly.errors import DecodeError, DulyError
from duly.gateway.envelope import JSON, Envelope, from_redis, to_redis
from duly.gateway.publishing import rabbit_parameters, rabbit_said, redis_client

EVENTS, CONTROL, REPLIES = "celeryev", "celery.pidbox", "reply.celery.pidbox"

_PATIENCE = 10  # seconds for the broker to answer
_QUEUE_TTL = 300_000  # ms for which an order waits for a worker that is away
_QUEUE_EXPIRES = 10_000  # ms after which the queue of a worker that is gone is deleted

_encode = msgspec.json.Encoder(enc_hook=repr).encode


class BusAway(DulyError):
    """The broker cannot be reached, or broke off."""


class Order(msgspec.Struct, frozen=True):
    """What came by remote control."""

    body: dict[str, Any]
    headers: dict[str, Any]


class Bus(Protocol):
    """One broker, as seen by one worker. Its methods raise BusAway; the next call connects again."""

    def publish(self, key: str, body: object, headers: Mapping[str, Any]) -> None:
        """An event, or a list of them."""
        ...

    def orders(self, wait: float) -> list[Order]:
        """What has come by remote control, after at most ``wait`` seconds."""
        ...

    def reply(self, exchange: str, key: str, body: object, headers: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def open_bus(urls: Sequence[str], node: str, options: Mapping[str, Any]) -> Bus:
    """The bus of a broker, for the worker ``node``. ``urls``: of which the next is tried when one does not answer;
    ``options``: Celery's broker_transport_options."""
    if urlsplit(urls[0]).scheme in ("redis", "rediss"):
        return RedisBus(urls, str(options.get("global_keyprefix", "")))
    return AmqpBus(urls, node)


def _read(body: bytes) -> dict[str, Any] | None:
    """An order, if it is one: anybody may write to an exchange."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("method"), str) else None


# -- RabbitMQ --------------------------------------------------------------------------------------


class AmqpBus:
    """A connection of its own, with a queue that goes with the worker."""

    def __init__(self, urls: Sequence[str], node: str) -> None:
        import pika

        self._pika: Any = pika
        self._brokers = itertools.cycle([rabbit_parameters(url) for url in urls])
        self._queue = f"{node}.{CONTROL}"
        self._connection: Any = None
        self._channel: Any = None
        self._came: deque[Order] = deque()

    def publish(self, key: str, body: object, headers: Mapping[str, Any]) -> None:
        with self._away():
            self._channel.basic_publish(EVENTS, key, _encode(body), self._properties(headers))

    def orders(self, wait: float) -> list[Order]:
        with self._away():
            self._connection.process_data_events(0 if self._came else wait)
        came, self._came = list(self._came), deque()
        return came

    def reply(self, exchange: str, key: str, body: object, headers: Mapping[str, Any]) -> None:
        with self._away():
            self._channel.exchange_declare(exchange, "direct", durable=False)
            self._channel.basic_publish(exchange, key, _encode(body), self._properties(headers))

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            with contextlib.suppress(self._pika.exceptions.AMQPError, OSError):
                connection.close()

    def _properties(self, headers: Mapping[str, Any]) -> Any:
        return self._pika.BasicProperties(
            content_type=JSON, content_encoding="utf-8", delivery_mode=1, headers=dict(headers)
        )

    @contextlib.contextmanager
    def _away(self) -> Iterator[None]:
        try:
            if self._connection is None:
                self._open()
            yield
        except (self._pika.exceptions.AMQPError, OSError) as exc:
            self.close()
            raise BusAway(rabbit_said(exc)) from exc

    def _open(self) -> None:
        parameters = next(self._brokers)
        parameters.blocked_connection_timeout = _PATIENCE
        self._connection = self._pika.BlockingConnection(parameters)
        self._channel = channel = self._connection.channel()
        channel.exchange_declare(EVENTS, "topic", durable=True)
        channel.exchange_declare(CONTROL, "fanout", durable=False)
        channel.queue_declare(self._queue, exclusive=True, auto_delete=True,
                              arguments={"x-message-ttl": _QUEUE_TTL, "x-expires": _QUEUE_EXPIRES})  # fmt: skip
        channel.queue_bind(self._queue, CONTROL)
        channel.basic_consume(self._queue, self._arrived, auto_ack=True, exclusive=True)

    def _arrived(self, channel: object, method: object, properties: Any, body: bytes) -> None:
        order = _read(body)
        if order is not None:
            self._came.append(Order(order, properties.headers or {}))


# -- Redis -----------------------------------------------------------------------------------------


class RedisBus:
    """Published messages, and a connection that listens."""

    def __init__(self, urls: Sequence[str], prefix: str = "") -> None:
        """``prefix``: of all keys and channels."""
        import redis

        self._errors = (redis.exceptions.RedisError, OSError)
        self._servers = itertools.cycle([redis_client(url) for url in urls])
        self._client: Any = next(self._servers)
        database = self._client.connection_pool.connection_kwargs.get("db") or 0
        self._keys = prefix
        self._prefix = f"{prefix}/{database}."
        self._listens: Any = None

    def publish(self, key: str, body: object, headers: Mapping[str, Any]) -> None:
        with self._away():
            self._client.publish(f"{self._prefix}{EVENTS}/{key}", _message(EVENTS, key, body, headers))

    def orders(self, wait: float) -> list[Order]:
        came: list[Order] = []
        with self._away():
            if self._listens is None:
                self._listens = self._client.pubsub(ignore_subscribe_messages=True)
                self._listens.subscribe(f"{self._prefix}{CONTROL}")
            end = time.monotonic() + wait
            while (left := end - time.monotonic()) > 0 or came:
                found = self._listens.get_message(timeout=0 if came else left)
                if found is None and came:
                    break
                if found is not None and (order := _order(found["data"])) is not None:
                    came.append(order)
        return came

    def reply(self, exchange: str, key: str, body: object, headers: Mapping[str, Any]) -> None:
        with self._away():
            bound = self._client.smembers(f"{self._keys}_kombu.binding.{exchange}")
            message = _message(exchange, key, body, headers)
            for binding in bound:  # routing key, pattern and queue
                routing_key, _, queue = [*binding.decode().split("\x06\x16"), "", ""][:3]
                if routing_key == key and queue:
                    self._client.lpush(f"{self._keys}{queue}", message)

    def close(self) -> None:
        listens, self._listens = self._listens, None
        with contextlib.suppress(*self._errors):
            if listens is not None:
                listens.close()
        self._client.close()
        self._client = next(self._servers)

    @contextlib.contextmanager
    def _away(self) -> Iterator[None]:
        try:
            yield
        except self._errors as exc:
            self.close()
            raise BusAway(f"{type(exc).__name__}: {exc}") from exc


def _message(exchange: str, key: str, body: object, headers: Mapping[str, Any]) -> bytes:
    properties = {
        "delivery_mode": 1,
        "delivery_info": {"exchange": exchange, "routing_key": key},
        "priority": 0,
        "delivery_tag": str(uuid.uuid4()),
    }
    return to_redis(Envelope(body=_encode(body), headers=dict(headers), properties=properties))


def _order(data: bytes) -> Order | None:
    try:
        envelope = from_redis(data)
    except DecodeError:
        return None
    body = _read(envelope.body)
    return None if body is None else Order(body, envelope.headers)
