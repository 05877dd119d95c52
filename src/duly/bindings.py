"""Queues and what they are bound to: exchanges, routing keys, and which keys fit. Pure.

In duly a queue is a name in a job's row. Exchanges and bindings live in the settings only: they say which queue
a routing key means, in the words of AMQP (``routing.py`` asks).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from duly.errors import ConfigError

if TYPE_CHECKING:
    from duly.config import Settings

EXCHANGE_TYPES = ("direct", "topic", "fanout")
_NO_EFFECT = (
    "alias", "arguments", "auto_declare", "auto_delete", "binding_arguments", "channel", "consumer_arguments",
    "delivery_mode", "durable", "exclusive", "expires", "max_length", "max_length_bytes", "message_ttl",
    "no_ack", "no_declare", "on_declared", "passive",
)  # fmt: skip
"""What kombu's Queue and Exchange take besides, about declaring them at a broker."""


class Exchange:
    """What queues are bound to: a name, and how routing keys are compared ("direct", "topic", "fanout")."""

    def __init__(self, name: str = "", type: str = "direct", **options: Any) -> None:  # noqa: A002 - kombu's name
        if not isinstance(name, str):
            raise ConfigError(f"Exchange({name!r}): expected a name")
        if type not in EXCHANGE_TYPES:
            raise ConfigError(f"Exchange({name!r}, type={type!r}): expected one of {', '.join(EXCHANGE_TYPES)}")
        _check_rest(f"Exchange({name!r})", options)
        self.name = name
        self.type = type

    def __repr__(self) -> str:
        return f"Exchange({self.name!r}, {self.type!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exchange) and (self.name, self.type) == (other.name, other.type)

    def __hash__(self) -> int:
        return hash((self.name, self.type))


class binding:  # noqa: N801 - kombu's name
    """One of several bindings of a queue: ``Queue("x", bindings=[binding(Exchange("a"), routing_key="b")])``."""

    def __init__(self, exchange: Exchange | str | None = None, routing_key: str = "", **options: Any) -> None:
        _check_rest("binding(...)", options)
        self.exchange = Exchange(exchange) if isinstance(exchange, str) and exchange else exchange or None
        self.routing_key = routing_key


class Queue:
    """A queue, and the routing keys that lead to it: ``Queue("crawl_tasks", routing_key="crawl.#")``.

    ``exchange``: ``task_default_exchange`` unless given. Without a routing key it is bound by its own name.
    ``queue_arguments`` and ``max_priority`` say how it is declared at a broker if it is not there (docs/gateways.md);
    other options of a declaration (``durable``, ``message_ttl`` ...) are taken and have no effect.
    """

    def __init__(
        self,
        name: str,
        exchange: Exchange | str | None = None,
        routing_key: str = "",
        bindings: Iterable[binding] = (),
        queue_arguments: Mapping[str, Any] | None = None,
        max_priority: int | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"Queue({name!r}): a queue needs a name")
        if not isinstance(routing_key, str):
            raise ConfigError(f"Queue({name!r}, routing_key={routing_key!r}): expected a text")
        _check_rest(f"Queue({name!r})", options)
        self.name = name
        self.exchange = Exchange(exchange) if isinstance(exchange, str) and exchange else exchange or None
        self.routing_key = routing_key
        self.bindings = tuple(bindings)
        self.arguments = dict(queue_arguments or {})
        if max_priority is not None:
            self.arguments["x-max-priority"] = max_priority

    def __repr__(self) -> str:
        exchange = f", {self.exchange!r}" if self.exchange else ""
        return f"Queue({self.name!r}{exchange}{f', routing_key={self.routing_key!r}' if self.routing_key else ''})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Queue) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.name)


class Binding(msgspec.Struct, frozen=True):
    """That an exchange hands what fits a key to a queue."""

    queue: str
    exchange: str
    type: str
    key: str

    def fits(self, key: str) -> bool:
        if self.type == "topic":
            return topic_fits(self.key, key)
        return self.type == "fanout" or self.key == key


def topic_fits(pattern: str, key: str) -> bool:
    """Whether a routing key fits a topic pattern: ``*`` is one word, ``#`` any number of them; dots part words."""
    words = pattern.split(".")

    def onward(places: set[int]) -> set[int]:
        for at in sorted(places):
            while at < len(words) and words[at] == "#":
                at += 1
                places.add(at)
        return places

    places = onward({0})
    for word in key.split(".") if key else ():
        stay = {at for at in places if at < len(words) and words[at] == "#"}
        places = onward(stay | {at + 1 for at in places if at < len(words) and words[at] in ("*", word)})
    return len(words) in places


def queues_of(value: Any) -> tuple[Queue, ...]:
    """What ``task_queues`` says: Queues or names in a list, or a dict of their options by name. Raises ValueError."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        queues = [_queue_of_dict(name, dict(options or {})) for name, options in value.items()]
    elif isinstance(value, list | tuple | set | frozenset):
        queues = [each if isinstance(each, Queue) else Queue(each) for each in value]
    else:
        raise ValueError('expected a list, like [Queue("mail"), Queue("crawl_tasks", routing_key="crawl.#")]')
    names = [queue.name for queue in queues]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"queue {double[0]!r} is there twice")
    return tuple(queues)


def _queue_of_dict(name: str, options: dict[str, Any]) -> Queue:
    """Celery's old form: ``{"mail": {"exchange": "x", "exchange_type": "topic", "binding_key": "mail.#"}}``."""
    key = options.pop("binding_key", None) or options.pop("routing_key", "")
    kind, exchange = options.pop("exchange_type", "direct"), options.pop("exchange", None)
    options.pop("routing_key", None)
    return Queue(name, Exchange(exchange, kind) if isinstance(exchange, str) else exchange, key, **options)


def name_of(value: Any) -> Any:
    """The name of a Queue or an Exchange; anything else as it is."""
    return value.name if isinstance(value, Queue | Exchange) else value


def _check_rest(what: str, options: Mapping[str, Any]) -> None:
    from duly.config import did_you_mean

    for name in options:
        if name not in _NO_EFFECT:
            raise ConfigError(f"{what}: no option {name!r}{did_you_mean(name, (*_NO_EFFECT, 'routing_key', 'type'))}")


def bindings_of(conf: Settings) -> Iterable[Binding]:
    default, kind = conf.task_default_exchange or conf.task_default_queue, conf.task_default_exchange_type
    queues = list(conf.task_queues)
    if conf.task_default_queue not in {queue.name for queue in queues}:
        queues.append(Queue(conf.task_default_queue))
    for queue in queues:
        own_key = conf.task_default_routing_key if queue.name == conf.task_default_queue else None
        for each in queue.bindings or (queue,):
            exchange = each.exchange if each.exchange is not None and each.exchange.name else Exchange(default, kind)
            yield Binding(queue.name, exchange.name, exchange.type, each.routing_key or own_key or queue.name)
