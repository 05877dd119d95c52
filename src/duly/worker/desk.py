"""The desk: where a worker's messages arrive, are obeyed and answered. It belongs to the supervisor's main thread.

The store carries messages and time limits; a wake-up on the channel "control" is the hint to look, and each
renewal of the lease is the guarantee. A message that expired is not obeyed: whoever sent it has given up on it.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import resource
from collections.abc import Callable
from typing import Any

import msgspec

from duly import turns
from duly.clock import Clock
from duly.errors import ConfigError, StoreError
from duly.messages import Control, TimeLimit
from duly.passwords import hidden
from duly.store import Store
from duly.worker.autoscale import Autoscale
from duly.worker.crew import Crew
from duly.worker.options import Plan

log = logging.getLogger("duly.worker")

Answer = dict[str, Any]


class Refused(Exception):
    """The message asks for what cannot be; its text is the answer."""


class Desk:
    """Reads messages for one worker, incarnation after incarnation.

    1. ``take_time_limits`` before the executors are told to go.
    2. ``hurry``: there may be something; so may be after each renewal.
    3. ``look`` obeys and answers what is there. What changes the plan goes to the crew and the registry.
    """

    def __init__(
        self,
        store: Store,
        crew: Crew,
        plan: Plan,
        clock: Clock,
        stop: Callable[[], None],
        autoscale: Autoscale | None = None,
    ) -> None:
        self.plan = plan
        self._autoscale = autoscale
        self._store = store
        self._crew = crew
        self._clock = clock
        self._stop = stop
        self._began = clock.monotonic()
        self._time_limits: list[TimeLimit] = []
        self._looked = -1.0  # monotonic; the renewal after which it last looked
        self._methods: dict[str, Callable[..., Answer]] = {
            "ping": lambda: {"ok": "pong"},
            "stats": self._stats,
            "report": self._report,
            "conf": self._conf,
            "tasks": self._tasks,
            "pool_grow": lambda n: self._resize(n),
            "pool_shrink": lambda n: self._resize(-n),
            "add_consumer": self._add_consumer,
            "cancel_consumer": self._cancel_consumer,
            "shutdown": self._shutdown,
        }

    def hurry(self) -> None:
        self._looked = -1.0

    def look(self, worker: int, renewed: float) -> None:
        """Obey what waits for this incarnation; ``renewed`` is when its lease was last renewed."""
        if renewed == self._looked:
            return
        self._looked = renewed
        try:
            self.take_time_limits()
            for message in self._store.controls(worker):
                log.info("told to %s", message.method)
                self._store.answer_control(message.id, msgspec.json.encode(self._obey(worker, message)))
        except StoreError as exc:
            log.debug("cannot read messages yet: %s", exc)

    def _obey(self, worker: int, message: Control) -> Answer:
        method = self._methods.get(message.method)
        if method is None:
            return {"error": f"this worker (duly {_version()}) knows no {message.method!r}"}
        before = self.plan
        try:
            answer = method(**msgspec.json.decode(message.args))
        except (Refused, TypeError, ValueError) as exc:
            return {"error": f"{message.method}: {exc}"}
        if self.plan != before:
            self._put_in_force(worker)
        return answer

    def _put_in_force(self, worker: int) -> None:
        self._crew.change(self.plan, self._time_limits)
        self._store.update_worker(worker, self.plan.queues, self.plan.concurrency)

    def scale(self, worker: int) -> None:
        """Have as many executors as are needed, if that is for this worker to decide."""
        if self._autoscale is None:
            return
        try:
            size = self._autoscale.wanted(self.plan.concurrency, self._crew.running(), self._is_waiting)
            if size != self.plan.concurrency:
                log.info("%d executors instead of %d", size, self.plan.concurrency)
                self.plan = msgspec.structs.replace(self.plan, concurrency=size)
                self._put_in_force(worker)
        except StoreError as exc:
            log.debug("cannot scale yet: %s", exc)

    def _is_waiting(self) -> bool:
        """Whether a due job waits in a queue that is served."""
        paused = self._store.paused()
        due = self._store.next_due([queue for queue in self.plan.queues if queue not in paused])
        return due is not None and due <= self._store.now()

    def take_time_limits(self) -> None:
        """Tell the crew what is in force now. Raises StoreError."""
        limits = self._store.time_limits()
        if limits != self._time_limits:
            self._time_limits = limits
            self._crew.change(self.plan, limits)

    # -- the messages --------------------------------------------------------------------------------

    def _resize(self, by: int) -> Answer:
        if self.plan.pool != "process":
            raise Refused(f"a {self.plan.pool} pool has a fixed size; start the worker with another -c")
        if self._autoscale is not None:
            bounds = f"{self._autoscale.least} to {self._autoscale.most} executors"
            raise Refused(f"this worker decides itself how many it needs ({bounds}, --autoscale)")
        size = self.plan.concurrency + by
        if size < 1:
            raise Refused(f"{-by} fewer than {self.plan.concurrency} leaves none; to end the worker: shutdown")
        try:
            turns.check_reserve(self.plan.reserve, self.plan.queues, size)
        except ConfigError as exc:
            raise Refused(str(exc)) from None
        self.plan = msgspec.structs.replace(self.plan, concurrency=size)
        return {"ok": f"{size} executor{'' if size == 1 else 's'}"}

    def _add_consumer(self, queue: str) -> Answer:
        if not queue:
            raise Refused("a queue needs a name")
        if queue not in self.plan.queues:
            self.plan = msgspec.structs.replace(self.plan, queues=(*self.plan.queues, queue))
        return self._serves()

    def _cancel_consumer(self, queue: str) -> Answer:
        if queue in self.plan.reserve:
            raise Refused(f"{queue!r} has reserved slots here; to stop taking from it: pause {queue}")
        left = tuple(name for name in self.plan.queues if name != queue)
        if not left:
            raise Refused(f"{queue!r} is the only queue; to stop taking from it: pause {queue}, or shutdown")
        self.plan = msgspec.structs.replace(self.plan, queues=left)
        return self._serves()

    def _serves(self) -> Answer:
        return {"ok": f"serves {', '.join(self.plan.queues)}"}

    def _shutdown(self) -> Answer:
        self._stop()
        return {"ok": "finishing what runs, then leaving"}

    def _stats(self) -> Answer:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "pid": os.getpid(),
            "uptime": round(self._clock.monotonic() - self._began),
            "version": _version(),
            "store": hidden(self.plan.store),
            "lease": self.plan.lease,
            "queues": self.plan.queues,
            "pool": {
                "implementation": self.plan.pool,
                "max-concurrency": self.plan.concurrency,
                "processes": self._crew.pids(),
                "running": self._crew.running(),
                "max-tasks-per-child": self.plan.max_tasks,
            },
            "rusage": {name.removeprefix("ru_"): getattr(own, name) for name in dir(own) if name.startswith("ru_")},
        }

    def _report(self) -> Answer:
        settings = "\n".join(f"{name}: {value!r}" for name, value in sorted(self._conf().items()))
        python = f"{platform.python_implementation()} {platform.python_version()}"
        system = f"{platform.system()} {platform.release()} {platform.machine()}"
        return {"ok": f"duly {_version()}, {python}, {system}\nstore: {hidden(self.plan.store)}\n\n{settings}\n"}

    def _tasks(self) -> Answer:
        """The options of each task that has some, as text."""
        return dict(self._crew.hello.options) if self._crew.hello is not None else {}

    def _conf(self) -> Answer:
        return dict(self._crew.hello.conf) if self._crew.hello is not None else {}


def _version() -> str:
    return importlib.metadata.version("duly")
