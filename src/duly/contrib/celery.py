"""The Celery side of ``duly relay``, for a Celery project::

    from duly.contrib.celery import use_relay

    use_relay(app)

What the project publishes and is due far ahead (``eta``, ``countdown``, retries, steps of canvases) then goes to the
relay's inbox of its queue. Everything else goes where it went before, without the relay.

It needs ``duly`` installed beside Celery, and nothing else of it: no store, no settings. A project that cannot
install it routes its tasks to the inbox (docs/relay.md).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.app.amqp import AMQP
from kombu import Queue
from kombu.utils.objects import cached_property

from duly.keepsake import INBOX

AHEAD = timedelta(seconds=10)
"""What is due later than this goes to the relay. A worker of Celery's may hold the rest: it is there for moments."""


def use_relay(app: Any) -> None:
    """Let a Celery app publish far-ahead messages for ``duly relay``. Call it where the app is made."""
    app.amqp_cls = RelayAMQP
    app.__dict__.pop("amqp", None)  # if something has asked for it already


class RelayAMQP(AMQP):
    """Celery's own, which knows one more queue for each queue."""

    @cached_property
    def send_task_message(self) -> Callable[..., Any]:
        """What everything that calls a task goes through."""
        send = self._create_task_sender()
        inboxes: dict[str, Queue] = {}

        def send_task_message(
            producer: Any,
            name: str,
            message: Any,
            exchange: Any = None,
            routing_key: str | None = None,
            queue: Any = None,
            **more: Any,
        ) -> Any:
            target = self._target(exchange, routing_key, queue)
            if target is None or target.endswith(INBOX) or not is_far(_eta(message)):
                return send(producer, name, message, exchange, routing_key, queue, **more)
            inbox = inboxes.get(target)
            if inbox is None:
                inbox = inboxes[target] = self.queues.new_missing(target + INBOX)
            more.pop("exchange_type", None)
            return send(producer, name, message, None, None, inbox, **more)

        return send_task_message

    def _target(self, exchange: Any, routing_key: str | None, queue: Any) -> str | None:
        """The queue that a message is for; None if that is up to an exchange of the broker."""
        if queue is not None:
            return str(getattr(queue, "name", queue))
        if exchange is None:
            return str(self.default_queue.name)
        return routing_key if exchange == "" else None


def is_far(eta: str | None) -> bool:
    """Whether an instant as Celery writes it is further ahead than a worker should hold a message."""
    if eta is None:
        return False
    moment = datetime.fromisoformat(eta)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC) > AHEAD


def _eta(message: Any) -> str | None:
    """Of protocol 2, which has it among the headers, or of protocol 1."""
    found = message.headers.get("eta") or (message.body.get("eta") if isinstance(message.body, dict) else None)
    return None if found is None else str(found)
