"""``celery.app.control``: ``app.control`` with Celery's parameters and the form of its answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from duly import celery_names, describing
from duly import control as core
from duly.bindings import bindings_of
from duly.config import Settings
from duly.inspection import STORE, ByNode, Inspection, node_name
from duly.job import WorkerInfo
from duly.shared import get_current_app

if TYPE_CHECKING:
    from duly.app import Duly

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


_ANSWERED = ("timeout",)  # what is written to the store needs nobody's answer, so there is nothing to limit


class Inspect:
    """``app.control.inspect()``: each answer is ``{node: ...}``, or None where no worker answers, which is what
    health checks look for; of one ``destination`` that is a whole node name, the node's answer alone.

    Parameters of Celery's beyond the first two (callback, connection, limit ...) are refused with a TypeError.
    """

    def __init__(
        self, destination: Destination = None, timeout: float = 1.0, app: Duly | None = None, **kwargs: Any
    ) -> None:
        _refuse("inspect", kwargs)
        self._app = app if app is not None else get_current_app()
        self._store = self._app.store
        self._control = core.Control(lambda: self._store, self._app.clock, lambda: bindings_of(self._app.conf))
        self.destination = destination
        self.timeout = timeout

    def __getattr__(self, name: str) -> Any:
        raise celery_names.remote("inspect()", name)

    def active(self, safe: bool | None = None) -> Any:
        """The jobs that run. ``safe``: arguments as text."""
        return self._said(self._core.active(bool(safe)))

    def reserved(self, safe: bool | None = None) -> Any:
        """The jobs that workers have reserved and not started."""
        return self._said(self._core.reserved(bool(safe)))

    def scheduled(self, safe: bool | None = None) -> Any:
        """The jobs due ahead. No worker holds them: each is listed under the first that serves its queue, and under
        the node ``store`` if none does."""
        workers = self._workers()
        found: ByNode = {node_name(worker): [] for worker in workers}
        asked = None if self.destination is None else sorted({name for worker in workers for name in worker.queues})
        for job in self._core.ahead(asked, bool(safe)):
            queue = job["request"]["delivery_info"]["routing_key"]
            node = next((node_name(worker) for worker in workers if queue in worker.queues), STORE)
            found.setdefault(node, []).append(job)
        return self._said(found)

    def registered(self, *taskinfoitems: str) -> Any:
        """The tasks that the workers know, as ``name [rate_limit=10/m]``, with the options that are named."""
        return self._said(self._core.registered(*taskinfoitems))

    registered_tasks = registered

    def active_queues(self) -> Any:
        """The queues that the workers serve, as kombu describes queues."""
        return self._said(self._core.active_queues())

    def revoked(self) -> Any:
        """Ids of cancelled jobs. They hold for every worker, so each is said to know them all."""
        ids = self._core.revoked().get(STORE, [])
        return self._said({node_name(worker): ids for worker in self._workers()} or ({STORE: ids} if ids else {}))

    def query_task(self, *ids: str | Sequence[str]) -> Any:
        """``{id: [state, request]}`` by the node that has or had the job; by ``store`` if none had."""
        found: ByNode = {node_name(worker): {} for worker in self._workers()}
        for node, jobs in self._core.query_task(*ids).items():
            if self.destination is None or node in found:
                said = {id: [describing.state(state), request] for id, (state, request) in jobs.items()}
                found.setdefault(node, {}).update(said)
        return self._said(found)

    def ping(self, destination: Destination = None) -> Any:
        """``{node: {"ok": "pong"}}``."""
        self.destination = destination or self.destination
        return self._said(self._core.ping())

    def stats(self) -> Any:
        """Process, pool, lease and what they use."""
        conf = self._app.conf
        limits = conf.task_soft_time_limit, conf.task_time_limit
        answers = self._core.stats().items()
        return self._said({node: describing.stats(said, self._app.brokers, limits) for node, said in answers})

    def report(self) -> Any:
        """``{node: {"ok": text}}``, for a bug report."""
        return self._said(self._core.report())

    def conf(self, with_defaults: bool = False) -> Any:
        """The app's settings as the workers have them: those that differ from the defaults, or all."""
        usual = {} if with_defaults else _defaults()
        return self._said(
            {
                node: {name: value for name, value in said.items() if name not in usual or usual[name] != value}
                for node, said in self._core.conf().items()
            }
        )

    @property
    def _core(self) -> Inspection:
        return self._control.inspect(self.destination, self.timeout)

    def _workers(self) -> list[WorkerInfo]:
        return self._control.nodes(self.destination)

    def _said(self, answers: ByNode) -> Any:
        one = self.destination
        if isinstance(one, str) and "@" in one and not set(one) & {"*", "?", "["}:
            return answers.get(one)
        return answers or None


class Control(core.Control):
    """``app.control``. What Celery has each worker keep in its memory is written to the store here, once for all.

    Verbs that change something give nothing, or with ``reply=True`` what each worker answers.
    """

    def __init__(self, app: Duly) -> None:
        super().__init__(lambda: app.store, app.clock, lambda: bindings_of(app.conf))
        self._app = app

    def inspect(self, destination: Destination = None, timeout: float = 1.0, **kwargs: Any) -> Inspect:  # type: ignore[override]
        """Ask."""
        return Inspect(destination, timeout, self._app, **kwargs)

    def revoke(  # type: ignore[override]
        self,
        task_id: str | Sequence[str],
        destination: Destination = None,
        terminate: bool = False,
        signal: str | int = "SIGTERM",
        reply: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | None:
        """Cancel jobs, for every worker and for good; those that run are ended if ``terminate``.

        ``destination`` and ``signal`` change nothing: the store decides, and a running task is asked first and then
        killed with all that it has started.
        """
        _refuse("revoke", kwargs, _ANSWERED)
        super().revoke(task_id, terminate)
        ids = task_id if isinstance(task_id, str) else ", ".join(task_id)
        return self._all_say(f"tasks {ids} flagged as revoked", destination) if reply else None

    def terminate(
        self, task_id: str | Sequence[str], destination: Destination = None, signal: str | int = "SIGTERM",
        **kwargs: Any,
    ) -> list[dict[str, Any]] | None:  # fmt: skip
        """:meth:`revoke` with ``terminate=True``."""
        return self.revoke(task_id, destination, True, signal, **kwargs)

    def rate_limit(  # type: ignore[override]
        self,
        task_name: str,
        rate_limit: str | float | None,
        destination: Destination = None,
        reply: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | None:
        """At most so many starts of a task, over all workers together. Raises ValueError."""
        _refuse("rate_limit", kwargs, _ANSWERED)
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
        _refuse("time_limit", kwargs, _ANSWERED)
        super().time_limit(task_name, soft, hard)
        return self._all_say("time limits set successfully", destination) if reply else None

    def ping(self, destination: Destination = None, timeout: float = 1.0, **kwargs: Any) -> list[dict[str, Any]]:  # type: ignore[override]
        """``[{node: {"ok": "pong"}}]``."""
        _refuse("ping", kwargs)
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
        return [{node_name(worker): {"ok": text}} for worker in self.nodes(destination)]


def _defaults() -> dict[str, Any]:
    """All settings as a worker tells them (:class:`duly.worker.link.Hello`) whose app says nothing."""
    table = msgspec.to_builtins(Settings().table(with_defaults=True), enc_hook=repr)
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(table))
    return found


def _listed(answers: dict[str, Any]) -> list[dict[str, Any]]:
    return [{node: answer} for node, answer in answers.items()]


def _refuse(what: str, options: dict[str, Any], but: Collection[str] = ()) -> None:
    for name, value in options.items():
        if value is not None and name not in but:
            raise TypeError(f"{what}({name}={value!r}): there is no such parameter here")
