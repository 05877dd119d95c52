"""The gateways of one app: which door its broker's URL is, and running what stands behind it.

A worker has a process for this beside its executors (``worker/gateways.py``); ``duly gateway`` is one by itself.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence

from duly import store as stores
from duly.app import Duly
from duly.config import broker_kind
from duly.errors import ConfigError
from duly.gateway.adopting import Adopter
from duly.gateway.answers import Answers
from duly.gateway.backends import Backend, open_backend
from duly.gateway.bus import open_bus
from duly.gateway.doors import OR_ELSE, Door, Taking
from duly.gateway.following import Here
from duly.gateway.monitoring import Monitoring
from duly.gateway.onward import Onward
from duly.gateway.outlet import Outlet, lists_of
from duly.keepsake import INBOX
from duly.passwords import hidden
from duly.store import Store

log = logging.getLogger("duly.gateway")


def door_of(app: Duly, queues: Sequence[str]) -> Door:
    """The door that the app's ``broker_url`` is. Raises ConfigError."""
    urls = app.brokers
    if not urls:
        raise ConfigError(f'app {app.name} has no broker: Duly({app.name!r}, broker="amqp://guest@localhost//")')
    kinds = {broker_kind(url) for url in urls}
    if len(kinds) > 1:
        raise ConfigError("broker_url: RabbitMQ and Redis cannot stand in for each other; name one of them")
    return _amqp(app, urls, queues) if kinds == {"rabbitmq"} else _redis(app, urls, queues)


class Gateways:
    """Everything that goes on at one app's broker.

    1. Made, and wrong settings are refused.
    2. ``start``: each loop in a thread of its own.
    3. ``serve``: from now on take in what comes for other queues.
    4. ``take_no_more``: the worker finishes what runs; answers are told as before.
    5. ``close``: the loops end, what was taken and not stored is given back, what has ended is told.
    """

    def __init__(self, app: Duly, queues: Sequence[str], node: str | None = None) -> None:
        """``node``: "name@host" of the worker that it belongs to. Raises ConfigError."""
        door = door_of(app, queues)
        _refuse_relays(app, queues)
        self._app = app
        self.name = door.name
        self._stop, self._quiet = threading.Event(), threading.Event()  # for all loops; for the one that takes
        backend = _backend(app)
        self._here = here = Here(app, frozenset(queues), door.priority, backend is not None)
        adopter = Adopter(here)
        self._stores = [stores.open(app.store_url) for _ in range(2)]  # one for each loop that uses it all the time
        taking_store, answers_store = self._stores
        self._taking = Taking(door, taking_store, adopter)
        loops: dict[str, Callable[[threading.Event], None]] = {
            "taking": self._taking.run,
            "answers": _answers(here, answers_store, adopter, backend, node).run,
        }
        if node is not None and app.conf.worker_enable_remote_control:
            bus = open_bus(app.brokers, node, app.conf.broker_transport_options)
            loops["monitoring"] = Monitoring(app, node, bus, app.clock, app.conf.worker_send_task_events).run
        self._threads = [
            threading.Thread(
                target=loop, args=(self._quiet if name == "taking" else self._stop,), name=name, daemon=True
            )
            for name, loop in loops.items()
        ]

    def start(self) -> None:
        self._say_whose_store_it_is()
        for thread in self._threads:
            thread.start()

    def serve(self, queues: Sequence[str]) -> None:
        """Take in what comes for these queues instead; what else goes on here is not interrupted.

        Raises ConfigError if that cannot be; then everything is as it was.
        """
        _refuse_relays(self._app, queues)
        door = door_of(self._app, queues)
        self._here.queues = frozenset(queues)
        self._taking.change(door)

    def take_no_more(self) -> None:
        """From a signal handler, too."""
        self._quiet.set()

    def close(self, patience: float) -> None:
        """``patience``: seconds to wait."""
        self._quiet.set()
        self._stop.set()
        for thread in self._threads:
            thread.join(patience)
        for store in self._stores:
            store.close()

    def _say_whose_store_it_is(self) -> None:
        """Nobody chose it, and what comes from everywhere ends there."""
        if self._app.conf.store is None and not os.environ.get("DULY_STORE"):
            log.warning(
                "what comes from %s becomes jobs in %s, which only workers of this host share; for several hosts, "
                "give all of them one store= or DULY_STORE", self.name, self._app.store_url,
            )  # fmt: skip


def _refuse_relays(app: Duly, queues: Sequence[str]) -> None:
    """What a relay puts has ids that its store has already. Raises ConfigError."""
    now = app.store.now()
    relays = [one for one in app.store.workers() if one.pool == "relay" and one.expires > now]
    for queue in queues:
        fed = [one for one in relays if queue + INBOX in one.queues or queue in one.queues]
        if fed:
            raise ConfigError(
                f"queue {queue!r}: the relay {fed[0].name}@{fed[0].host} of the same store serves it. {OR_ELSE}"
            )


def _backend(app: Duly) -> Backend | None:
    """Where answers are written; None if nobody reads them, or only where duly does not write."""
    if app.conf.result_backend is None:
        return None
    try:
        return open_backend(app.conf.result_backend, app.brokers, app.conf.result_expires, lists_of(app))
    except ConfigError as exc:
        log.error("Celery's clients get no answers: %s", exc)
        return None


def _answers(here: Here, store: Store, adopter: Adopter, backend: Backend | None, node: str | None) -> Answers:
    app = here.app
    onward = Onward(here, store, adopter.job, Outlet(app), backend)
    return Answers(store, node, backend, onward, app.conf.result_extended, app.conf.task_track_started)


def _amqp(app: Duly, urls: Sequence[str], queues: Sequence[str]) -> Door:
    try:
        from duly.gateway.amqp import AmqpDoor
        from duly.gateway.topology import wanted
    except ModuleNotFoundError as exc:
        if exc.name != "pika":
            raise
        raise ConfigError(_missing(urls[0], "amqp")) from None
    return AmqpDoor(urls, wanted(app, queues))


def _redis(app: Duly, urls: Sequence[str], queues: Sequence[str]) -> Door:
    try:
        from duly.gateway.celery_redis import RedisDoor
    except ModuleNotFoundError as exc:
        if exc.name != "redis":
            raise
        raise ConfigError(_missing(urls[0], "redis")) from None
    return RedisDoor(urls, queues, app.store_url, lists_of(app))


def _missing(url: str, extra: str) -> str:
    return f"broker {hidden(url)!r} needs a package that is not installed: pip install 'duly[{extra}]'"
