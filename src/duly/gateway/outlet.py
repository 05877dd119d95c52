"""Where messages go out: the app's broker, by the one of its URLs that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duly.gateway.envelope import Envelope
from duly.gateway.publishing import BrokerAway, Lists, NoQueue, open_publisher, rabbit_errors, rabbit_parameters

if TYPE_CHECKING:
    from duly.app import Duly


def lists_of(app: Duly) -> Lists:
    """How the app's broker names its lists, if it is Redis. Raises ConfigError."""
    return Lists.of(app.conf.broker_transport_options)


class Outlet:
    """Belongs to one thread."""

    def __init__(self, app: Duly) -> None:
        """Raises ConfigError."""
        self._app = app
        self._publishers = [open_publisher(url, lists_of(app)) for url in app.brokers]
        self._at = 0  # which one answers, as far as is known

    def put(self, queue: str, envelope: Envelope) -> None:
        """Returns when the broker has it. A queue that is not there is declared, as Celery's clients do. Raises
        BrokerAway; the next call tries the next URL."""
        publisher = self._publishers[self._at]
        try:
            try:
                publisher.put(queue, envelope)
            except NoQueue:
                self._declare(queue)
                publisher.put(queue, envelope)
        except BrokerAway:
            self._at = (self._at + 1) % len(self._publishers)
            raise

    def tend(self) -> None:
        """To be called every few seconds. Raises BrokerAway."""
        self._publishers[self._at].tend()

    def close(self) -> None:
        for publisher in self._publishers:
            publisher.close()

    def _declare(self, queue: str) -> None:
        from pika.adapters.blocking_connection import BlockingConnection

        from duly.gateway import topology

        with rabbit_errors():
            connection = BlockingConnection(rabbit_parameters(self._app.brokers[self._at]))
            topology.declare(connection, topology.wanted(self._app, [queue]))
            connection.close()
