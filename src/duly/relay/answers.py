"""Where the answers of Celery's workers are: a result back end on Redis, or a queue of ours (``rpc://``).

An answer stays there until the store has it: on Redis for as long as the fleet's ``result_expires`` says, in a queue
until it is acknowledged.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from duly.config import broker_kind, urls_of
from duly.errors import ConfigError
from duly.gateway.publishing import rabbit_errors, rabbit_parameters, redis_client, redis_errors
from duly.passwords import hidden

REPLIES = ".replies"
"""What follows the name of an inbox in the name of the queue of answers to what is put from it."""

_KEY = "celery-task-meta-"
_STRAY = 60.0  # seconds that an answer is kept here that nobody waits for


class Answers(Protocol):
    """One source of answers. Raises BrokerAway. For one thread."""

    def reply_to(self, inbox: str) -> str:
        """The queue that messages are to name; empty: none."""
        ...

    def collect(self, inboxes: Collection[str], ids: Sequence[str]) -> dict[str, bytes]:
        """What is there of these tasks, called through these inboxes: Celery's JSON by id. It may come again."""
        ...

    def settled(self, ids: Collection[str]) -> None:
        """The store has these."""
        ...

    def close(self) -> None:
        """Let go of the connection; the next call opens it anew."""
        ...


def open_answers(url: str, broker: str) -> Answers:
    """Raises ConfigError for a back end that is not known here."""
    scheme = urlsplit(url).scheme
    if scheme in ("redis", "rediss"):
        return RedisAnswers(url)
    if scheme == "rpc":
        if broker_kind(urls_of(broker)[0]) != "rabbitmq":
            raise ConfigError(
                "results over rpc:// need a broker of RabbitMQ; the fleet's are elsewhere: redis://host/0"
            )
        return RpcAnswers(broker)
    raise ConfigError(
        f"results {hidden(url)!r}: expected what the fleet's result_backend is, redis://host:6379/0 or rpc://"
    )


class RedisAnswers:
    def __init__(self, url: str) -> None:
        self._client = redis_client(url)

    def reply_to(self, inbox: str) -> str:
        return ""

    def collect(self, inboxes: Collection[str], ids: Sequence[str]) -> dict[str, bytes]:
        with redis_errors():
            found = self._client.mget([_KEY + id for id in ids]) if ids else []
        return {id: meta for id, meta in zip(ids, found, strict=True) if meta is not None}

    def settled(self, ids: Collection[str]) -> None:
        """They stay for whoever else reads them, until they expire."""

    def close(self) -> None:
        self._client.close()


class RpcAnswers:
    """A durable queue for each inbox, so that an answer waits for a relay that is down."""

    def __init__(self, broker: str) -> None:
        self._parameters = [rabbit_parameters(one) for one in urls_of(broker)]
        self._channel: Any = None
        self._consumed: set[str] = set()
        self._arrived: dict[str, tuple[bytes, int, float]] = {}  # answer, tag, and when it came, by the task's id

    def reply_to(self, inbox: str) -> str:
        with rabbit_errors():
            self._consume(inbox)
        return inbox + REPLIES

    def collect(self, inboxes: Collection[str], ids: Sequence[str]) -> dict[str, bytes]:
        with rabbit_errors():
            for inbox in inboxes:
                self._consume(inbox)
            if self._channel is not None:
                self._channel.connection.process_data_events(0)
        now = time.monotonic()
        self.settled([id for id, (_, _, came) in self._arrived.items() if now - came > _STRAY])
        return {id: self._arrived[id][0] for id in ids if id in self._arrived}

    def settled(self, ids: Collection[str]) -> None:
        with rabbit_errors():
            for id in ids:
                if id in self._arrived:
                    self._channel.basic_ack(self._arrived.pop(id)[1])

    def close(self) -> None:
        channel, self._channel = self._channel, None
        self._consumed.clear()
        self._arrived.clear()
        if channel is not None and channel.connection.is_open:
            with contextlib.suppress(Exception):
                channel.connection.close()

    def _consume(self, inbox: str) -> None:
        if self._channel is None:
            from pika.adapters.blocking_connection import BlockingConnection

            self._channel = BlockingConnection(self._parameters).channel()
        if inbox not in self._consumed:
            self._channel.queue_declare(inbox + REPLIES, durable=True)
            self._channel.basic_consume(inbox + REPLIES, self._on_answer)
            self._consumed.add(inbox)

    def _on_answer(self, channel: object, method: Any, properties: Any, body: bytes) -> None:
        """States on the way (STARTED, RETRY) come here too; the last one counts."""
        id = str(properties.correlation_id)
        if id in self._arrived:
            self._channel.basic_ack(self._arrived[id][1])
        self._arrived[id] = (body, method.delivery_tag, time.monotonic())
