"""Putting messages on the queues of brokers. A put that returned was confirmed: the broker has the message.

RabbitMQ confirms when the queue has it (publisher confirms, on disk for a durable one), Redis when its list has it. A
put that failed has happened or not; who puts again what he may have put already should know a way to find out
(``relay/`` has one), or be content with at least once, as Celery is.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from duly.config import broker_kind
from duly.errors import ConfigError, DulyError
from duly.gateway.envelope import Envelope, to_redis
from duly.passwords import hidden

logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it tells in forty lines, we are told and say in one

HEARTBEAT = 20  # seconds; the broker cuts off who is silent for two of them
_PATIENCE = 10.0  # seconds to wait for an answer


class Lists(msgspec.Struct, frozen=True):
    """How a fleet names its lists on Redis: each queue has one for each step of priorities. These are kombu's own."""

    prefix: str = ""
    separator: str = "\x06\x16"
    steps: tuple[int, ...] = (0, 3, 6, 9)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Lists:
        """As Celery's ``broker_transport_options`` say. Raises ConfigError."""
        names = {"global_keyprefix": "prefix", "sep": "separator", "priority_steps": "steps"}
        try:
            return msgspec.convert({names[key]: value for key, value in options.items() if key in names}, cls)
        except msgspec.ValidationError as exc:
            raise ConfigError(f"broker_transport_options {dict(options)}: {exc}") from None

    @property
    def endings(self) -> list[str]:
        """What follows a queue's name in those of its lists, the first to be taken from first."""
        return [f"{self.separator}{step}" if step else "" for step in self.steps]

    def ending(self, envelope: Envelope) -> str:
        """That of the message's priority: the last step that is not above it."""
        priority = int(envelope.properties.get("priority") or 0)
        step = max((step for step in self.steps if step <= priority), default=0)
        return f"{self.separator}{step}" if step else ""


KOMBU = Lists()


class BrokerAway(DulyError):
    """The broker cannot be reached, or broke off."""


class NoQueue(DulyError):
    """There is no such queue at the broker: nobody would get the message."""


class Publisher(Protocol):
    """One broker. Not to be shared by threads."""

    def put(self, queue: str, envelope: Envelope) -> None:
        """Put a message there. Raises BrokerAway, and NoQueue on RabbitMQ (Redis has a list as soon as one puts)."""
        ...

    def tend(self) -> None:
        """To be called every few seconds while nothing is put. Raises BrokerAway."""
        ...

    def close(self) -> None: ...


def open_publisher(url: str, lists: Lists) -> Publisher:
    """Connects with the first put. Raises ConfigError for a broker that is not known."""
    with needed(url):
        return RabbitPublisher(url) if broker_kind(url) == "rabbitmq" else RedisPublisher(url, lists)


@contextlib.contextmanager
def needed(url: str) -> Iterator[None]:
    """Imports of what a broker needs. Raises ConfigError that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as exc:
        extra = {"pika": "amqp", "redis": "redis"}.get(exc.name or "")
        if extra is None:
            raise
        raise ConfigError(f"{hidden(url)!r} needs a package that is not here: pip install 'duly[{extra}]'") from None


class RabbitPublisher:
    """Confirm by confirm: about 2,000 messages a second."""

    def __init__(self, url: str) -> None:
        self._parameters = rabbit_parameters(url)
        self._channel: Any = None

    def put(self, queue: str, envelope: Envelope) -> None:
        from pika.exceptions import NackError, UnroutableError

        try:
            with rabbit_errors():
                self._open().basic_publish("", queue, envelope.body, properties_of(envelope), mandatory=True)
        except UnroutableError:
            raise NoQueue(f"there is no queue {queue!r} at the broker") from None
        except NackError:
            raise BrokerAway(f"the broker could not keep a message for queue {queue!r}") from None

    def tend(self) -> None:
        if self._channel is not None:
            with rabbit_errors():
                self._channel.connection.process_data_events(0)

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and channel.connection.is_open:
            with contextlib.suppress(BrokerAway), rabbit_errors():
                channel.connection.close()

    def _open(self) -> Any:
        """The channel; a new one if the last one broke."""
        if self._channel is None or self._channel.is_closed:
            from pika.adapters.blocking_connection import BlockingConnection

            self.close()
            self._channel = BlockingConnection(self._parameters).channel()
            self._channel.confirm_delivery()
        return self._channel


def rabbit_parameters(url: str) -> Any:
    """How to connect. ``pyamqp://`` is ``amqp://``; no path is the virtual host "/", as Celery's ``//`` is; a user
    without a password has guest's. After ``?`` stands what pika reads, like ``heartbeat=30``. Raises ConfigError."""
    import pika

    parts = urlsplit(url)
    scheme = "amqp" if parts.scheme == "pyamqp" else parts.scheme
    path = "/%2F" if parts.path in ("", "/", "//") else parts.path
    place = parts.netloc
    if parts.username is not None and parts.password is None:
        place = place.replace("@", ":guest@", 1)
    usual = {"heartbeat": HEARTBEAT, "socket_timeout": _PATIENCE, "blocked_connection_timeout": _PATIENCE}
    query = {**usual, **dict(parse_qsl(parts.query))}
    try:
        parameters = pika.URLParameters(urlunsplit((scheme, place, path, urlencode(query), "")))
    except Exception as exc:  # whatever it makes of a text
        raise ConfigError(f"broker {hidden(url)!r}: {exc}; expected amqp://user:password@host:port/vhost") from None
    parameters.stack_timeout = _PATIENCE
    parameters.client_properties = {"product": "duly"}
    return parameters


def properties_of(envelope: Envelope) -> Any:
    """AMQP's content header of a message."""
    import pika

    return pika.BasicProperties(
        content_type=envelope.content_type,
        content_encoding=envelope.content_encoding,
        headers=envelope.headers,
        **envelope.properties,
    )


@contextlib.contextmanager
def rabbit_errors() -> Iterator[None]:
    """What goes wrong with a connection is BrokerAway; what the broker says of a message is not."""
    from pika.exceptions import AMQPError, NackError, UnroutableError

    try:
        yield
    except (NackError, UnroutableError):
        raise
    except (AMQPError, OSError) as exc:
        raise BrokerAway(rabbit_said(exc)) from exc


def rabbit_said(exc: BaseException) -> str:
    """In words: those of many of pika's errors are in what they were made of."""
    from pika.exceptions import ConnectionBlockedTimeout

    if isinstance(exc, ConnectionBlockedTimeout):
        return "the broker takes no messages: it is low on memory or disk (rabbitmqctl status says which)"
    cause: BaseException | None = exc
    while cause is not None:
        innermost, cause = cause, _made_of(cause)
    text = str(innermost)
    return f"{type(exc).__name__}: {text}" if text else type(innermost).__name__


def _made_of(exc: BaseException) -> BaseException | None:
    """The error in an error of pika's: an argument, or where its connectors keep it."""
    parts = (getattr(exc, "exception", None), *exc.args)
    return next((part for part in parts if isinstance(part, BaseException)), None)


class RedisPublisher:
    """Celery's lists: one for each step of priorities."""

    def __init__(self, url: str, lists: Lists) -> None:
        self._client = redis_client(url)
        self._lists = lists

    def put(self, queue: str, envelope: Envelope) -> None:
        with redis_errors():
            name = self._lists.prefix + queue + self._lists.ending(envelope)
            self._client.lpush(name, to_redis(on_redis(queue, envelope)))

    def tend(self) -> None:
        """Redis wants nothing while nothing is put."""

    def close(self) -> None:
        with contextlib.suppress(BrokerAway), redis_errors():
            self._client.close()


def redis_client(url: str) -> Any:
    """Raises ConfigError; redis-py would take database 0 for a path that it cannot read."""
    import redis

    path = urlsplit(url).path.strip("/")
    if path and not path.isdigit():
        raise ConfigError(
            f"broker {hidden(url)!r}: {path!r} is no number of a database; expected redis://host:6379/0"
        )
    try:
        return redis.Redis.from_url(url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)
    except ValueError as exc:
        raise ConfigError(f"broker {hidden(url)!r}: {exc}; expected redis://:password@host:port/0") from None


@contextlib.contextmanager
def redis_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as exc:
        raise BrokerAway(f"{type(exc).__name__}: {exc}") from exc


def on_redis(queue: str, envelope: Envelope) -> Envelope:
    """With the properties that Celery's workers look for on Redis."""
    properties: dict[str, Any] = {
        "delivery_mode": 2,
        "priority": 0,
        **envelope.properties,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "delivery_tag": str(uuid.uuid4()),
    }
    return msgspec.structs.replace(envelope, properties=properties)
