"""Celery's result back ends, as far as a worker writes to them: Redis, and ``rpc`` over RabbitMQ.

What is written may be written twice, after a crash, and does no harm: on Redis a key is set to the same value (a
SUCCESS is never written over), over AMQP the client gets the same answer again.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from duly.config import broker_kind
from duly.errors import ConfigError, DulyError
from duly.gateway.envelope import Envelope
from duly.gateway.publishing import BrokerAway, Lists, RedisPublisher, rabbit_parameters, rabbit_said
from duly.passwords import hidden

_SOCKET_TIMEOUT = 10  # seconds


class BackendAway(DulyError):
    """The back end cannot be reached, or broke off: what was to be written was written, or not."""


class Answer(NamedTuple):
    """What is written for one job."""

    task: str  # its id
    meta: bytes  # JSON, as of ``celery_results.meta``
    reply_to: str | None  # the queue of who waits, over AMQP
    correlation_id: str | None


class Backend(Protocol):
    """Where answers are written."""

    def publish(self, answers: Sequence[Answer]) -> None:
        """Raises BackendAway."""
        ...

    def tend(self) -> None:
        """To be called every few seconds. Raises BackendAway."""
        ...

    def close(self) -> None: ...


def open_backend(url: str, brokers: Sequence[str], expires: float | None, lists: Lists) -> Backend:
    """The back end of a setting ``result_backend``. ``brokers``: the app's URLs. ``expires``: seconds for which
    results are kept; None: for ever. ``lists``: of a broker on Redis.

    Raises ConfigError for one that duly does not write to.
    """
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme in ("redis", "rediss"):
        return RedisBackend(url, expires)
    if scheme == "rpc":
        return RedisRpcBackend(brokers, lists) if broker_kind(brokers[0]) == "redis" else RpcBackend(brokers)
    raise ConfigError(
        f"result_backend={scheme}://: duly answers Celery's clients over redis://, rediss:// and rpc://; results are "
        "in the store in any case"
    )


# -- Redis -----------------------------------------------------------------------------------------

TASK, GROUP = "celery-task-meta-", "celery-taskset-meta-"
"""What the keys of results begin with."""

_STORE = """
local old = redis.call('GET', KEYS[1])
if old then
    local ok, kept = pcall(cjson.decode, old)
    if ok and type(kept) == 'table' and kept.status == 'SUCCESS' then return 0 end
end
if tonumber(ARGV[2]) > 0 then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
else
    redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
"""


class RedisBackend:
    """Keys with an expiry, and a message on the channel of the same name for who waits."""

    def __init__(self, url: str, expires: float | None) -> None:
        try:
            import redis
        except ModuleNotFoundError:
            raise ConfigError('result_backend=redis://: pip install "duly[redis]"') from None
        self.errors: tuple[type[Exception], ...] = (redis.exceptions.RedisError, OSError)
        self.expires = 0 if expires is None else max(1, int(expires))
        try:
            self.client: Any = redis.Redis.from_url(
                url, socket_timeout=_SOCKET_TIMEOUT, socket_connect_timeout=_SOCKET_TIMEOUT
            )
        except ValueError as exc:
            raise ConfigError(
                f"result_backend={hidden(url)!r}: {exc}; expected redis://:password@host:port/0"
            ) from None
        self._store = self.client.register_script(_STORE)

    def publish(self, answers: Sequence[Answer]) -> None:
        with self.away(), self.client.pipeline(transaction=False) as pipe:
            for answer in answers:
                self._store(keys=[TASK + answer.task], args=[answer.meta, self.expires], client=pipe)
            pipe.execute()

    def metas(self, tasks: Sequence[str]) -> list[Any]:
        """What is kept for these tasks; None for one of which nothing is."""
        with self.away():
            found = self.client.mget([TASK + task for task in tasks]) if tasks else []
        return [None if one is None else msgspec.json.decode(one) for one in found]

    @contextlib.contextmanager
    def away(self) -> Any:
        """Whatever the driver raises, as BackendAway."""
        try:
            yield
        except self.errors as exc:
            raise BackendAway(f"the result back end: {type(exc).__name__}: {exc}") from exc

    def tend(self) -> None:
        """Nothing: the driver connects again by itself."""

    def close(self) -> None:
        self.client.close()


# -- rpc -------------------------------------------------------------------------------------------


class RpcBackend:
    """Transient messages to the queue that the client has named in its call and declared itself."""

    def __init__(self, brokers: Sequence[str]) -> None:
        try:
            import pika
        except ModuleNotFoundError:
            raise ConfigError('result_backend=rpc://: pip install "duly[amqp]"') from None
        self._pika: Any = pika
        self._brokers = itertools.cycle([rabbit_parameters(broker) for broker in brokers])
        self._channel: Any = None

    def publish(self, answers: Sequence[Answer]) -> None:
        with self._away() as channel:
            for answer in answers:
                if answer.reply_to is None:
                    continue
                properties = self._pika.BasicProperties(
                    content_type="application/json",
                    content_encoding="utf-8",
                    correlation_id=answer.correlation_id or answer.task,
                    delivery_mode=1,
                    headers={},
                )
                channel.basic_publish("", answer.reply_to, answer.meta, properties)
            channel.tx_commit()  # answered when the queues have all of them

    def tend(self) -> None:
        if self._channel is not None:
            with self._away() as channel:
                channel.connection.process_data_events(0)

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and channel.connection.is_open:
            with contextlib.suppress(self._pika.exceptions.AMQPError, OSError):
                channel.connection.close()

    @contextlib.contextmanager
    def _away(self) -> Any:
        """The channel, opened if it is not; whatever goes wrong as BackendAway."""
        try:
            if self._channel is None:
                self._channel = self._pika.BlockingConnection(next(self._brokers)).channel()
                self._channel.tx_select()
            yield self._channel
        except (self._pika.exceptions.AMQPError, OSError) as exc:
            self.close()
            raise BackendAway(f"the result back end: {rabbit_said(exc)}") from exc


class RedisRpcBackend:
    """The same over Celery's lists: the reply queue is one."""

    def __init__(self, brokers: Sequence[str], lists: Lists) -> None:
        self._publishers = itertools.cycle([RedisPublisher(broker, lists) for broker in brokers])
        self._publisher = next(self._publishers)

    def publish(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if answer.reply_to is not None:
                properties = {"correlation_id": answer.correlation_id or answer.task, "delivery_mode": 1}
                try:
                    self._publisher.put(answer.reply_to, Envelope(body=answer.meta, properties=properties))
                except BrokerAway as exc:
                    self._publisher = next(self._publishers)
                    raise BackendAway(f"the result back end: {exc}") from exc

    def tend(self) -> None:
        """Redis wants nothing."""

    def close(self) -> None:
        self._publisher.close()
