"""What a worker answers to Celery's remote control, in Celery's form.

Jobs, limits and queues are the store's, so an order about them is carried out there, and holds for every worker,
whichever of them hears it first. What concerns one worker's life is handed on to its supervisor. What has no meaning
here is refused with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from duly import describing
from duly.control import Control
from duly.errors import DulyError
from duly.inspection import Inspection
from duly.job import Filter, WorkerInfo

if TYPE_CHECKING:
    from duly.app import Duly

log = logging.getLogger("duly.gateway")

Answer = Any
"""What goes back, by JSON."""

_PATIENCE = 0.8  # seconds for the supervisor to answer: who asked waits for one
_REMEMBERED = 10_000  # revoked ids that no job has yet

_ALIASES = {
    "dump_active": "active",
    "dump_conf": "conf",
    "dump_reserved": "reserved",
    "dump_revoked": "revoked",
    "dump_schedule": "scheduled",
    "dump_tasks": "registered",
}
_REFUSED = {
    "autoscale": "the range is chosen when the worker is started (--autoscale)",
    "election": "there is no leader to elect: every worker makes the jobs of schedules",
    "memdump": "a worker of duly takes no samples of its memory; stats has what its process uses",
    "memsample": "a worker of duly takes no samples of its memory; stats has what its process uses",
    "objgraph": "a worker of duly draws no graphs of objects",
    "pool_restart": "restart the worker, or start it with --reload: jobs survive it",
    "revoke_by_stamped_headers": "jobs are not found by their stamps; cancel them by id, task or queue: duly cancel",
}


class Panel:
    """The orders that one worker's mailbox understands.

    ``watched`` says how many jobs it has told of, by task; ``events`` turns events about jobs on and off, and gives
    whether that was a change.
    """

    def __init__(
        self,
        app: Duly,
        node: str,
        control: Control,
        watched: Callable[[], dict[str, int]],
        events: Callable[[bool], bool],
        beat: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._app = app
        self._node = node
        self._control = control
        self._watched = watched
        self._events = events
        self._beat = beat
        self._clock = clock
        self._revoked: dict[str, None] = {}  # ids that were revoked before there was a job
        self._orders: dict[str, Callable[..., Answer]] = {
            name.removeprefix("on_"): getattr(self, name) for name in dir(self) if name.startswith("on_")
        }

    def obey(self, method: str, arguments: dict[str, Any]) -> Answer:
        """The answer; None if there is none to give. Raises nothing."""
        method = _ALIASES.get(method, method)
        try:
            order = self._orders.get(method)
            if order is None:
                why = _REFUSED.get(method, f"this worker (duly) knows no {method!r}")
                return {"error": why}
            return order(**arguments)
        except DulyError as exc:
            return {"error": str(exc)}
        except (TypeError, ValueError, LookupError) as exc:  # arguments of a wrong kind
            return {"error": f"{method}: {exc}"}

    def tend(self) -> None:
        """Carry out what was revoked before it came. Raises StoreError."""
        if self._revoked:
            answers = self._app.store.cancel(Filter(ids=tuple(self._revoked), states=_WAITING))
            known = self._app.store.results([answer.id for answer in answers])
            for answer, found in zip(answers, known, strict=True):
                if found is not None:
                    self._revoked.pop(answer.id, None)

    # -- asking ----------------------------------------------------------------------------------

    def on_ping(self, **_: Any) -> Answer:
        return self._ask("ping")

    def on_clock(self, **_: Any) -> Answer:
        return {"clock": self._clock()}

    def on_hello(self, from_node: str = "", revoked: Any = None, **_: Any) -> Answer:
        """A Celery worker comes up and wants to know what was revoked; ours is in the store."""
        return None if from_node == self._node else {"revoked": [], "clock": self._clock()}

    def on_report(self, **_: Any) -> Answer:
        return self._ask("report")

    def on_conf(self, with_defaults: bool = False, **_: Any) -> Answer:
        return self._app.conf.table(with_defaults=bool(with_defaults))

    def on_stats(self, **_: Any) -> Answer:
        conf = self._app.conf
        said = describing.stats(
            self._ask("stats"), self._app.brokers, (conf.task_soft_time_limit, conf.task_time_limit)
        )
        return {**said, "total": self._watched(), "clock": str(self._clock())}

    def on_active(self, safe: bool = False, **_: Any) -> Answer:
        return self._inspect().active(bool(safe)).get(self._node, [])

    def on_reserved(self, **_: Any) -> Answer:
        return self._inspect().reserved().get(self._node, [])

    def on_scheduled(self, **_: Any) -> Answer:
        """The jobs due ahead in the queues that it serves; they belong to no worker."""
        return self._inspect().ahead(self._worker().queues)

    def on_revoked(self, **_: Any) -> Answer:
        return [id for ids in self._inspect().revoked().values() for id in ids] + list(self._revoked)

    def on_registered(self, taskinfoitems: Sequence[str] = (), builtins: bool = False, **_: Any) -> Answer:
        return self._inspect().registered(*(taskinfoitems or ()), builtins=bool(builtins)).get(self._node, [])

    def on_query_task(self, ids: Any = (), **_: Any) -> Answer:
        found: dict[str, Any] = {}
        for job in self._app.store.jobs(Filter(ids=tuple(_listed(ids)))).jobs:
            state = describing.state(job.state_name(self._app.now()))
            if job.worker in (None, self._node):
                found[job.id] = [state, describing.request(job, state == "active")]
        return found

    def on_active_queues(self, **_: Any) -> Answer:
        return self._inspect().active_queues().get(self._node, [])

    # -- telling ---------------------------------------------------------------------------------

    def on_revoke(self, task_id: Any, terminate: bool = False, signal: Any = None, **_: Any) -> Answer:
        """``signal`` says how Celery would end the process; a job is ended with all that it has started."""
        ids = tuple(_listed(task_id))
        which = Filter(ids=ids) if terminate else Filter(ids=ids, states=_WAITING)
        self._app.store.cancel(which, terminate=bool(terminate))
        known = self._app.store.results(ids)
        for id in [id for id, found in zip(ids, known, strict=True) if found is None][:_REMEMBERED]:
            self._revoked[id] = None
        while len(self._revoked) > _REMEMBERED:
            del self._revoked[next(iter(self._revoked))]
        log.info("revoked by remote control: %s", ", ".join(ids))
        return {"ok": f"tasks {', '.join(ids)} flagged as revoked{', terminated if they run' if terminate else ''}"}

    def on_terminate(self, signal: Any = None, task_id: Any = (), **_: Any) -> Answer:
        return self.on_revoke(task_id, True, signal)

    def on_rate_limit(self, task_name: str, rate_limit: Any = None, **_: Any) -> Answer:
        self._check_task(task_name)
        self._control.rate_limit(task_name, rate_limit)
        return {"ok": "new rate limit set successfully" if rate_limit else "rate limit disabled successfully"}

    def on_time_limit(self, task_name: str, hard: Any = None, soft: Any = None, **_: Any) -> Answer:
        self._check_task(task_name)
        self._control.time_limit(task_name, soft=_seconds(soft), hard=_seconds(hard))
        return {"ok": "time limits set successfully"}

    def on_pool_grow(self, n: int = 1, **_: Any) -> Answer:
        return self._ask("pool_grow", n=int(n))

    def on_pool_shrink(self, n: int = 1, **_: Any) -> Answer:
        return self._ask("pool_shrink", n=int(n))

    def on_add_consumer(self, queue: str, **_: Any) -> Answer:
        said = self._ask("add_consumer", queue=queue)
        return {"ok": f"add consumer {queue}"} if "ok" in said else said

    def on_cancel_consumer(self, queue: str, **_: Any) -> Answer:
        said = self._ask("cancel_consumer", queue=queue)
        return {"ok": f"no longer consuming from {queue}"} if "ok" in said else said

    def on_shutdown(self, **_: Any) -> Answer:
        return self._ask("shutdown")

    def on_enable_events(self, **_: Any) -> Answer:
        return {"ok": "task events enabled" if self._events(True) else "task events already enabled"}

    def on_disable_events(self, **_: Any) -> Answer:
        return {"ok": "task events disabled" if self._events(False) else "task events already disabled"}

    def on_heartbeat(self, **_: Any) -> Answer:
        self._beat()
        return None

    # -- how -------------------------------------------------------------------------------------

    def _ask(self, method: str, **args: Any) -> dict[str, Any]:
        """What the supervisor says. Raises ValueError if it says nothing."""
        replies = self._control.ask(method, args, self._node, _PATIENCE)
        if self._node not in replies:
            raise ValueError(f"the supervisor of {self._node} did not answer within {_PATIENCE:g} s")
        found: dict[str, Any] = replies[self._node]
        return found

    def _inspect(self) -> Inspection:
        return self._control.inspect(self._node, _PATIENCE)

    def _worker(self) -> WorkerInfo:
        found = self._control.nodes(self._node)
        if not found:
            raise ValueError(f"worker {self._node} is not registered now")
        return found[0]

    def _check_task(self, name: str) -> None:
        if self._app.known(name) is None:
            raise ValueError("unknown task")


_WAITING = ("scheduled", "queued", "retrying", "held")


def _listed(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else list(value or ())
    if not all(isinstance(one, str) and one for one in found):
        raise ValueError(f"expected ids of tasks, got {value!r}")
    return found


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
