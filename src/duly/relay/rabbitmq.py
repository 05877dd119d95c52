"""RabbitMQ: taking in one transaction, putting with a ledger.

AMQP's own transactions are per channel and hold against the death of the client: the broker has all of a commit or
nothing. So taking is ``publish to the queue, ack the inbox, commit``. Putting what the store holds has no ack to go
with it; there a *ledger* says what was put: a queue beside the inbox, to which each commit adds the ids of what it
puts. Whoever puts is its exclusive consumer, on the channel it puts on. So there is one at a time; who comes next
reads there what the one before it did (the broker lets the ledger go only when that one's channel has ended), and one
that was cut off or frozen can put nothing more.

A broker that dies in the middle of a commit keeps what some of the queues have. So an entry says in which life of the
broker it was written. Of one from an earlier life nobody knows whether its messages were kept too; those that the
store does not know to be put are put again (docs/decisions/0008-put-again-after-the-broker-died.md). What tells one
life from the next is a message in a queue beside the ledger that does not outlive the broker.

``commit-ok`` comes when the queues have confirmed, as publisher confirms do: 100 messages cost one round trip.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError, ChannelClosedByBroker

from duly.config import urls_of
from duly.gateway import amqp
from duly.gateway.adopting import rabbit_priority
from duly.gateway.envelope import Envelope
from duly.gateway.publishing import properties_of, rabbit_errors, rabbit_parameters
from duly.relay.broker import Put, Raw, Taken

log = logging.getLogger("duly.relay")

_PREFETCH = 500
_LOOK_EVERY = 2.0  # seconds between two looks for an inbox that is not there, or a ledger that another relay has
_PATIENCE = 30.0  # seconds to be told what is in a ledger
_NOT_FOUND, _REFUSED = 404, 403  # AMQP's reply codes
_LIFE = "life"  # a header of entries

_OnMessage = Callable[[object, Any, pika.BasicProperties, bytes], None]

LEDGER, LIFE = ".ledger", ".life"
"""What follows the name of an inbox in the name of its ledger, and that name in the one of the queue beside it."""


class AmqpForm:
    """AMQP's content header and body."""

    def envelope(self, raw: Raw) -> Envelope:
        return amqp.envelope(pika.BasicProperties().decode(raw.properties), raw.body)

    def changed(self, raw: Raw, envelope: Envelope) -> Raw:
        return _raw(properties_of(envelope), envelope.body)

    def new(self, envelope: Envelope, queue: str) -> Raw:
        return _raw(properties_of(envelope), envelope.body)

    def priority(self, number: int) -> int:
        return rabbit_priority(number)


class _Link:
    """A connection that is opened when it is first needed, and again after ``reconnect``."""

    form = AmqpForm()

    def __init__(self, url: str) -> None:
        """Raises ConfigError."""
        self._parameters = [rabbit_parameters(one) for one in urls_of(url)]
        self._connection: BlockingConnection | None = None

    @contextlib.contextmanager
    def _broker(self) -> Iterator[BlockingConnection]:
        """Raises BrokerAway for whatever goes wrong on the way."""
        with rabbit_errors():
            if self._connection is None:
                self._connection = BlockingConnection(self._parameters)
                self._opened(self._connection)
            yield self._connection

    def _opened(self, connection: BlockingConnection) -> None:
        """There is a new connection: nothing of before holds."""

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            with contextlib.suppress(AMQPError, OSError):
                connection.close()

    reconnect = close

    def has(self, queues: Collection[str]) -> set[str]:
        """Those of these queues that there are."""
        with self._broker() as connection:
            return {queue for queue in queues if _is_there(connection, queue)}


class RabbitIntake(_Link):
    """Takes from inboxes, as they appear."""

    def __init__(self, url: str, inboxes: Collection[str]) -> None:
        super().__init__(url)
        self._inboxes = tuple(inboxes)
        self._missing: set[str] = set()
        self._next_look = 0.0
        self._arrived: list[Taken] = []
        self._channel: _Channel

    def _opened(self, connection: BlockingConnection) -> None:
        self._arrived, self._missing, self._next_look = [], set(self._inboxes), 0.0
        self._channel = _Channel(connection)
        self._channel.itself.basic_qos(prefetch_count=_PREFETCH)
        self._channel.itself.add_on_cancel_callback(lambda frame: self._missing.add(frame.method.consumer_tag))

    def take(self, wait: float) -> list[Taken]:
        with self._broker() as connection:
            if self._missing and time.monotonic() >= self._next_look:
                self._look(connection)
            if not self._arrived:
                connection.process_data_events(min(wait, _LOOK_EVERY))
            taken, self._arrived = self._arrived, []
            return taken

    def finish(self, kept: Sequence[Taken], forward: Sequence[tuple[Taken, str]]) -> list[Taken]:
        with self._broker():
            for taken, target in forward:
                self._channel.publish(target, taken.raw)
            for tag in sorted([taken.tag for taken in kept] + [taken.tag for taken, _ in forward]):
                self._channel.itself.basic_ack(tag)
            returned = self._channel.commit()
            return [taken for taken, target in forward if (target, taken.raw) in returned]

    def _look(self, connection: BlockingConnection) -> None:
        """Consume from what was not there before."""
        for inbox in [inbox for inbox in self._missing if _is_there(connection, inbox)]:
            self._channel.itself.basic_consume(inbox, self._on_message(inbox), consumer_tag=inbox)
            self._missing.discard(inbox)
        self._next_look = time.monotonic() + _LOOK_EVERY

    def _on_message(self, inbox: str) -> _OnMessage:
        def arrived(channel: object, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            raw = _raw(amqp.without_counters(properties), body)
            self._arrived.append(Taken(inbox, raw, method.delivery_tag))

        return arrived


class RabbitPutter(_Link):
    """Puts what the store holds, for the inboxes whose ledgers it has."""

    def __init__(self, url: str, inboxes: Collection[str]) -> None:
        super().__init__(url)
        self._inboxes = tuple(inboxes)
        self._ledgers: dict[str, _Ledger] = {}
        self._next_look = 0.0

    def _opened(self, connection: BlockingConnection) -> None:
        self._ledgers, self._next_look = {}, 0.0

    def claim(self) -> Sequence[str]:
        with self._broker() as connection:
            if len(self._ledgers) < len(self._inboxes) and time.monotonic() >= self._next_look:
                for inbox in self._inboxes:
                    if inbox not in self._ledgers and (ledger := _Ledger.take(connection, inbox + LEDGER)):
                        self._ledgers[inbox] = ledger
                self._next_look = time.monotonic() + _LOOK_EVERY
            return tuple(self._ledgers)

    def unsettled(self, inbox: str) -> set[str]:
        return self._ledgers[inbox].ids()

    def put(self, inbox: str, target: str, messages: Sequence[Put]) -> Mapping[str, str]:
        with self._broker() as connection:
            ledger = self._ledgers[inbox]
            fresh = [message for message in messages if message.id not in ledger]
            if not fresh:
                return {}
            why = f"there is no queue {target!r} at the broker"
            if not _is_there(connection, target):
                return dict.fromkeys((message.id for message in fresh), why)
            returned = ledger.put(target, fresh)
            ledger.settled(returned)
            return dict.fromkeys(returned, why)

    def settled(self, inbox: str, ids: Collection[str]) -> None:
        with self._broker():
            if inbox in self._ledgers:
                self._ledgers[inbox].settled(ids)

    def tend(self) -> None:
        with self._broker() as connection:
            connection.process_data_events(0)
            for ledger in self._ledgers.values():
                ledger.clear()


class _Ledger:
    """What was put and is not settled yet: entries of ids, each a message of the ledger's queue.

    An entry is taken from the queue when the last of its ids is settled, or put again.
    """

    def __init__(self, connection: BlockingConnection, queue: str) -> None:
        """Raises ChannelClosedByBroker if another relay has it."""
        self.channel = _Channel(connection)
        self._queue = queue
        self._entries: dict[str, set[str]] = {}  # by the name of the entry
        self._tags: dict[str, int] = {}  # the entries that the broker has handed to us
        self._doubtful: set[str] = set()  # those from another life of the broker
        self._acked = False  # since the last commit
        self.channel.itself.queue_declare(queue, durable=True)
        self.channel.itself.basic_consume(queue, self._on_entry, exclusive=True)
        self._life = _life_of(connection, queue + LIFE)
        self._read_what_is_there(connection)

    @classmethod
    def take(cls, connection: BlockingConnection, queue: str) -> _Ledger | None:
        """None if another relay has it."""
        try:
            return cls(connection, queue)
        except ChannelClosedByBroker as exc:
            if exc.reply_code != _REFUSED:
                raise
            return None

    def __contains__(self, id: str) -> bool:
        """Whether it was put; not if that is in doubt."""
        return any(id in ids for entry, ids in self._entries.items() if entry not in self._doubtful)

    def ids(self) -> set[str]:
        return set().union(*self._entries.values())

    def put(self, target: str, messages: Sequence[Put]) -> list[str]:
        """Put them and the entry in one commit; gives the ids of those that came back."""
        ids = {message.id for message in messages}
        if again := ids & self.ids():
            log.warning(
                "%d messages were being put on %s when the broker ended; they are put again", len(again), target
            )
            self.settled(again)  # in what was written then; with this commit
        for message in messages:
            self.channel.publish(target, message.raw)
        self._write(ids)
        returned = self.channel.commit()
        self._acked = False
        return [message.id for message in messages if (target, message.raw) in returned]

    def settled(self, ids: Collection[str]) -> None:
        for entry, left in list(self._entries.items()):
            left.difference_update(ids)
            if not left and entry in self._tags:
                self.channel.itself.basic_ack(self._tags.pop(entry))  # with the next commit
                self._acked = True
                self._doubtful.discard(entry)
                del self._entries[entry]

    def clear(self) -> None:
        """Commit what was settled, if nothing else has."""
        if self._acked:
            self.channel.commit()
            self._acked = False

    def _write(self, ids: set[str]) -> str:
        name = uuid.uuid4().hex
        self._entries[name] = ids
        entry = pika.BasicProperties(message_id=name, delivery_mode=2, headers={_LIFE: self._life})
        self.channel.itself.basic_publish("", self._queue, msgspec.json.encode(sorted(ids)), entry)
        return name

    def _on_entry(self, channel: object, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        name = str(properties.message_id)
        self._tags[name] = method.delivery_tag
        if (properties.headers or {}).get(_LIFE) != self._life:
            self._doubtful.add(name)
        left = self._entries.setdefault(name, set(msgspec.json.decode(body, type=list[str])))
        if not left:
            self.settled(())

    def _read_what_is_there(self, connection: BlockingConnection) -> None:
        """All that was written before comes before what we write now."""
        last = self._write(set())
        self.channel.commit()
        end = time.monotonic() + _PATIENCE
        while last in self._entries:
            connection.process_data_events(1)
            if time.monotonic() > end:
                raise AMQPError(f"the ledger {self._queue} does not hand out what was put there")


class _Channel:
    """A channel with transactions, and what a commit brings back."""

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection
        self.itself: BlockingChannel = connection.channel()
        self.itself.tx_select()
        self.itself.add_on_return_callback(self._on_return)
        self._returned: set[tuple[str, Raw]] = set()

    def publish(self, queue: str, raw: Raw) -> None:
        properties = pika.BasicProperties().decode(raw.properties)
        self.itself.basic_publish("", queue, raw.body, properties, mandatory=True)

    def commit(self) -> set[tuple[str, Raw]]:
        """Queue and message of each that came back because there is no such queue."""
        self.itself.tx_commit()
        self._connection.process_data_events(0)  # where the channel tells of them
        returned, self._returned = self._returned, set()
        return returned

    def _on_return(self, channel: object, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._returned.add((method.routing_key, _raw(properties, body)))


def _raw(properties: pika.BasicProperties, body: bytes) -> Raw:
    return Raw(body=body, properties=b"".join(properties.encode()))


def _life_of(connection: BlockingConnection, queue: str) -> str:
    """What names the broker's present life: a message that is not written to disk. Whoever asks has the ledger."""
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
    method, _, body = channel.basic_get(queue)
    life = body.decode() if method is not None else uuid.uuid4().hex
    if method is None:
        channel.basic_publish("", queue, life.encode(), pika.BasicProperties(delivery_mode=1))
    channel.close()  # which puts back what was got
    return life


def _is_there(connection: BlockingConnection, queue: str) -> bool:
    """Asked on a channel of its own, which the broker closes if not."""
    probe = connection.channel()
    try:
        probe.queue_declare(queue, passive=True)
    except ChannelClosedByBroker as exc:
        if exc.reply_code != _NOT_FOUND:
            raise
        return False
    probe.close()
    return True
