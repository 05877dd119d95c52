"""The gateways of one app: which door its broker's URL is, and running what stands behind it.

A worker has a process for this beside its executors (``worker/gateways.py``); ``duly gateway`` is one by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from duly import store as stores
from duly.app import Duly
from duly.config import did_you_mean
from duly.errors import ConfigError
from duly.gateway.adopting import Adopter
from duly.gateway.doors import Door, Taking
from duly.passwords import hidden

AMQP = ("amqp", "amqps", "pyamqp")
REDIS = ("redis", "rediss")


def door_of(app: Duly, queues: Sequence[str]) -> Door:
    """The door that the app's ``broker_url`` is. Raises ConfigError."""
    urls = app.brokers
    if not urls:
        raise ConfigError(f'app {app.name} has no broker: Duly({app.name!r}, broker="amqp://guest@localhost//")')
    kinds = {urlsplit(url).scheme for url in urls}
    for kind in kinds - {*AMQP, *REDIS}:
        known = (*AMQP, *REDIS)
        raise ConfigError(
            f"broker {hidden(urls[0])!r}: there is no door to {kind or 'that'}; known are {', '.join(known)}"
            f"{did_you_mean(kind, known)}"
        )
    if kinds <= set(AMQP):
        return _amqp(app, urls, queues)
    if kinds <= set(REDIS):
        return _redis(app, urls, queues)
    raise ConfigError("broker_url: RabbitMQ and Redis cannot stand in for each other; name one of them")


class Gateways:
    """Everything that goes on at one app's broker.

    1. Made, and wrong settings are refused.
    2. ``start``: each loop in a thread of its own.
    3. ``close``: the loops end, what was taken and not stored is given back.
    """

    def __init__(self, app: Duly, queues: Sequence[str]) -> None:
        """Raises ConfigError."""
        door = door_of(app, queues)
        self.name = door.name
        self._stop = threading.Event()
        self._store = stores.open(app.store_url)
        taking = Taking(door, self._store, Adopter(app, door.priority))
        self._threads = [threading.Thread(target=taking.run, args=(self._stop,), name="taking", daemon=True)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self, patience: float) -> None:
        """``patience``: seconds to wait."""
        self._stop.set()
        for thread in self._threads:
            thread.join(patience)


def _amqp(app: Duly, urls: Sequence[str], queues: Sequence[str]) -> Door:
    try:
        from duly.gateway.amqp import AmqpDoor
    except ModuleNotFoundError as exc:
        if exc.name != "pika":
            raise
        raise ConfigError(_missing(urls[0], "amqp")) from None
    return AmqpDoor(urls, queues)


def _redis(app: Duly, urls: Sequence[str], queues: Sequence[str]) -> Door:
    try:
        from duly.gateway.celery_redis import RedisDoor
    except ModuleNotFoundError as exc:
        if exc.name != "redis":
            raise
        raise ConfigError(_missing(urls[0], "redis")) from None
    return RedisDoor(urls, queues, app.store_url, app.conf.broker_transport_options)


def _missing(url: str, extra: str) -> str:
    return f"broker {hidden(url)!r} needs a package that is not installed: pip install 'duly[{extra}]'"
