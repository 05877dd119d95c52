"""Remote control: ``app.control``, with Celery's verbs.

What concerns jobs, limits and queues is written to the store: it holds for every worker, also for those that
start later, and needs none to be alive. What concerns a worker's own life is a message to it, which the store
carries; the worker obeys within moments, or not at all once the asker has stopped waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NoReturn

import msgspec

from duly import celery_names, limits
from duly.bindings import Binding
from duly.call import check_limits
from duly.clock import MICROS, SYSTEM, Clock
from duly.inspection import Inspection, node_name
from duly.job import Answer, Filter, Limit, WorkerInfo
from duly.limits import Scope
from duly.messages import Reply, TimeLimit
from duly.store.contract import Store

Replies = dict[str, Any]
"""By node, "name@host": ``{"ok": ...}`` or ``{"error": ...}``, or what was asked for."""

TIMEOUT = 2.0
"""Seconds to wait for answers."""

_PURGE_AT_ONCE = 500  # jobs in a transaction


class Control:
    """Tells workers what to do and asks how they are; for any thread.

    ``destination`` is one or more node names, ``name@host`` or ``name``, with ``*`` and ``?``; None: every live
    worker. Verbs that need an answer give what was answered within ``timeout`` seconds, by node; nothing if
    nobody did.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        clock: Clock = SYSTEM,
        bindings: Callable[[], Iterable[Binding]] = tuple,
    ) -> None:
        """``bindings``: what leads to queues, by the asking app's settings."""
        self._store = store
        self._clock = clock
        self._bindings = bindings

    def __getattr__(self, name: str) -> NoReturn:
        raise celery_names.remote("app.control", name)

    def inspect(self, destination: str | Sequence[str] | None = None, timeout: float = TIMEOUT) -> Inspection:
        """What workers and the store say about the work."""
        return Inspection(self._store, lambda method, args: self.ask(method, args, destination, timeout),
                          lambda: self.nodes(destination), self._bindings)  # fmt: skip

    # -- written to the store --------------------------------------------------------------------

    def rate_limit(self, name: str, rate: str | float | None, scope: Scope = "task") -> Limit:
        """At most so many starts, over all workers: "10/m"; 0 or None: no limit. Raises ValueError."""
        return limits.set_rate(self._store(), name, rate, scope)

    def max_concurrency(self, name: str, most: int | None, scope: Scope = "task") -> Limit:
        """At most so many at once, over all workers; None: no limit. Raises ValueError."""
        return limits.set_concurrency(self._store(), name, most, scope)

    def unset_limit(self, name: str, scope: Scope = "task") -> bool:
        """Forget what was set by hand, so that what the code says holds again; False if nothing was."""
        return self._store().unset_limit(scope, name)

    def time_limit(self, task: str, soft: float | None = None, hard: float | None = None) -> TimeLimit:
        """Seconds for the jobs of a task that start from now on; 0: no limit, None: as the code says.

        Raises ValueError, also for a soft limit that the hard one would never let happen.
        """
        for name, value in (("soft", soft), ("hard", hard)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise ValueError(f"time_limit {name}={value!r}: expected seconds, 0 for no limit")
        check_limits(soft, hard)
        limit = TimeLimit(task=task, soft=soft, hard=hard)
        self._store().set_time_limit(limit)
        return limit

    def revoke(self, ids: str | Sequence[str], terminate: bool = False) -> list[Answer]:
        """Cancel jobs; ``terminate`` kills those that run. The same as ``app.cancel``."""
        which = (ids,) if isinstance(ids, str) else tuple(ids)
        return self._store().cancel(Filter(ids=which), terminate)

    def pause(self, queue: str) -> None:
        """Start nothing from this queue until it is resumed."""
        self._store().pause(queue)

    def resume(self, queue: str) -> bool:
        """End a pause; False if there was none."""
        return self._store().resume(queue)

    # -- messages --------------------------------------------------------------------------------

    def ping(self, destination: str | Sequence[str] | None = None, timeout: float = TIMEOUT) -> Replies:
        """``{"ok": "pong"}`` from each."""
        return self.ask("ping", {}, destination, timeout)

    def pool_grow(
        self, n: int = 1, destination: str | Sequence[str] | None = None, timeout: float = TIMEOUT
    ) -> Replies:
        """Run ``n`` more jobs at once."""
        return self.ask("pool_grow", {"n": n}, destination, timeout)

    def pool_shrink(
        self, n: int = 1, destination: str | Sequence[str] | None = None, timeout: float = TIMEOUT
    ) -> Replies:
        """Run ``n`` fewer jobs at once; what runs is finished."""
        return self.ask("pool_shrink", {"n": n}, destination, timeout)

    def add_consumer(
        self, queue: str, destination: str | Sequence[str] | None = None, timeout: float = TIMEOUT
    ) -> Replies:
        """Serve this queue too, until the worker ends."""
        return self.ask("add_consumer", {"queue": queue}, destination, timeout)

    def cancel_consumer(
        self, queue: str, destination: str | Sequence[str] | None = None, timeout: float = TIMEOUT
    ) -> Replies:
        """Serve this queue no longer, until the worker ends."""
        return self.ask("cancel_consumer", {"queue": queue}, destination, timeout)

    def shutdown(self, destination: str | Sequence[str] | None = None, timeout: float = TIMEOUT) -> Replies:
        """Finish what runs, and leave."""
        return self.ask("shutdown", {}, destination, timeout)

    def ask(
        self, method: str, args: dict[str, Any], destination: str | Sequence[str] | None, timeout: float
    ) -> Replies:
        """Send one message to each live worker that ``destination`` names; gives their answers. Raises StoreError."""
        workers = {worker.id: worker for worker in self.nodes(destination)}
        if not workers:
            return {}
        store, deadline = self._store(), self._clock.monotonic() + timeout
        listener = store.listen("replies")
        try:
            ids = store.send_control(list(workers), method, msgspec.json.encode(args), round(timeout * MICROS))
            replies = store.control_replies(ids)
            while _missing(replies) and (left := deadline - self._clock.monotonic()) > 0:
                listener.wait(min(left, 0.5))
                replies = store.control_replies(ids)
        finally:
            listener.close()
        answered = ((workers[reply.worker], reply.reply) for reply in replies if reply.reply is not None)
        return {node_name(worker): msgspec.json.decode(reply) for worker, reply in answered}

    def nodes(self, destination: str | Sequence[str] | None = None) -> list[WorkerInfo]:
        """The live workers that ``destination`` names, by name."""
        store = self._store()
        now = store.now()
        wanted = (destination,) if isinstance(destination, str) else destination
        alive = [worker for worker in store.workers() if worker.expires > now and matches(worker, wanted)]
        return sorted(alive, key=node_name)


def purge(store: Store, queues: Sequence[str] | None = None) -> int:
    """Cancel every job that waits in these queues, or in all, some at a time; how many."""
    which = Filter(states=("scheduled", "queued", "retrying"), queues=tuple(queues) if queues is not None else None)
    gone = 0
    while page := store.jobs(which, limit=_PURGE_AT_ONCE).jobs:
        answers = store.cancel(msgspec.structs.replace(which, ids=tuple(job.id for job in page)))
        gone += sum(answer.verdict == "prevented" for answer in answers)
    return gone


def matches(worker: WorkerInfo, wanted: Iterable[str] | None) -> bool:
    """Whether one of the names or patterns means this worker; None means all."""
    if wanted is None:
        return True
    node = node_name(worker)
    return any(fnmatchcase(node if "@" in pattern else worker.name, pattern) for pattern in wanted)


def _missing(replies: Sequence[Reply]) -> bool:
    return any(reply.reply is None for reply in replies)
