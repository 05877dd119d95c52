"""``celery.app.control``: ``app.control`` with Celery's parameters and the form of its answers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from duly import control as core
from duly.inspection import ByNode, Inspection, node_name

Destination = str | Sequence[str] | None

_VERBS = (
    "add_consumer",
    "cancel_consumer",
    "pool_grow",
    "pool_shrink",
    "ping",
    "shutdown",
    "stats",
    "report",
    "conf",
)


class Inspect(Inspection):
    """``app.control.inspect()``, which says None where no worker answers: that is what health checks look for."""

    def scheduled(self) -> ByNode:
        return super().scheduled() or self._nothing()

    def revoked(self) -> ByNode:
        return super().revoked() or self._nothing()

    def _nothing(self) -> ByNode:
        return {node_name(worker): [] for worker in self._nodes()}


def _or_none(ask: Callable[[Inspection], ByNode]) -> Callable[[Inspection], ByNode | None]:
    @functools.wraps(ask)
    def asked(self: Inspection) -> ByNode | None:
        return ask(self) or None

    return asked


for _name in (
    "active",
    "reserved",
    "scheduled",
    "registered",
    "active_queues",
    "revoked",
    "ping",
    "stats",
    "report",
    "conf",
):
    setattr(Inspect, _name, _or_none(getattr(Inspect, _name)))


class Control(core.Control):
    """``app.control``. What Celery has each worker keep in its memory is written to the store here, once for all."""

    inspection = Inspect

    def inspect(self, destination: Destination = None, timeout: float = 1.0, **kwargs: Any) -> Inspection:
        """Ask. Parameters beyond Celery's first two (callback, connection, limit ...) are refused."""
        _refuse("inspect", kwargs)
        return super().inspect(destination, timeout)

    def revoke(  # type: ignore[override]
        self,
        task_id: str | Sequence[str],
        destination: Destination = None,
        terminate: bool = False,
        signal: str | int = "SIGTERM",
        **kwargs: Any,
    ) -> None:
        """Cancel jobs, for every worker and for good; those that run are ended if ``terminate``.

        ``destination`` and ``signal`` change nothing: the store decides, and a running task is asked first and then
        killed with all that it has started.
        """
        super().revoke(task_id, terminate)

    def terminate(self, task_id: str | Sequence[str], signal: str | int = "SIGTERM", **kwargs: Any) -> None:
        """:meth:`revoke` with ``terminate=True``."""
        super().revoke(task_id, terminate=True)

    def rate_limit(  # type: ignore[override]
        self,
        task_name: str,
        rate_limit: str | float | None,
        destination: Destination = None,
        reply: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | None:
        """At most so many starts of a task, over all workers together. Raises ValueError."""
        super().rate_limit(task_name, rate_limit)
        return self._all_say("new rate limit set successfully", destination) if reply else None

    def time_limit(  # type: ignore[override]
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Destination = None,
        reply: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | None:
        """Seconds for the jobs of a task that start from now on. Raises ValueError."""
        super().time_limit(task_name, soft, hard)
        return self._all_say("time limits set successfully", destination) if reply else None

    def ping(self, destination: Destination = None, timeout: float = 1.0, **kwargs: Any) -> list[dict[str, Any]]:  # type: ignore[override]
        """``[{node: {"ok": "pong"}}]``."""
        return _listed(super().ping(destination, timeout))

    def add_consumer(  # type: ignore[override]
        self, queue: str, exchange: str | None = None, exchange_type: str = "direct", routing_key: str | None = None,
        options: None = None, destination: Destination = None, **kwargs: Any,
    ) -> list[dict[str, Any]] | None:  # fmt: skip
        """Serve this queue too. Refused (TypeError) for another exchange or key than the queue's:
        ``app.conf.task_queues`` says what leads to a queue."""
        for name, value in (("exchange", exchange), ("routing_key", routing_key)):
            if value not in (None, "", queue):
                raise TypeError(f"add_consumer({queue!r}, {name}={value!r}): app.conf.task_queues binds queues")
        return self._tell("add_consumer", {"queue": queue}, destination, **kwargs)

    def cancel_consumer(self, queue: str, destination: Destination = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Serve this queue no longer."""
        return self._tell("cancel_consumer", {"queue": queue}, destination, **kwargs)

    def pool_grow(self, n: int = 1, destination: Destination = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Run ``n`` more jobs at once."""
        return self._tell("pool_grow", {"n": n}, destination, **kwargs)

    def pool_shrink(self, n: int = 1, destination: Destination = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Run ``n`` fewer jobs at once."""
        return self._tell("pool_shrink", {"n": n}, destination, **kwargs)

    def shutdown(self, destination: Destination = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Finish what runs, and leave."""
        return self._tell("shutdown", {}, destination, **kwargs)

    def purge(self, connection: Any = None) -> int:
        """Cancel all jobs that wait; how many."""
        return core.purge(self._store())

    discard_all = purge

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: Destination = None,
        reply: bool = False,
        timeout: float = 1.0,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | None:
        """Send one of the verbs that concern a worker's own life; gives the answers if ``reply``.

        Raises ValueError for other verbs: what concerns jobs, limits and queues has methods, and is in the store.
        """
        if command not in _VERBS:
            known = ", ".join(_VERBS)
            raise ValueError(f"broadcast({command!r}): expected one of {known}; for other verbs there are methods")
        return self._tell(command, arguments or {}, destination, reply, timeout)

    def _tell(
        self,
        verb: str,
        arguments: dict[str, Any],
        destination: Destination,
        reply: bool = False,
        timeout: float = 1.0,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | None:
        _refuse(verb, kwargs)
        answers = self.ask(verb, arguments, destination, timeout)
        return _listed(answers) if reply else None

    def _all_say(self, text: str, destination: Destination) -> list[dict[str, Any]]:
        return [{f"{worker.name}@{worker.host}": {"ok": text}} for worker in self.nodes(destination)]


def _listed(answers: dict[str, Any]) -> list[dict[str, Any]]:
    return [{node: answer} for node, answer in answers.items()]


def _refuse(what: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"{what}({name}={value!r}): there is no such parameter here")
