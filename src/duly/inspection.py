"""What is going on, in Celery's words: ``app.control.inspect().active()``. Everything is given by node.

What the store knows is read from it, also when no worker is alive. Jobs that wait belong to no worker: they are
listed under the node ``store``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec

from duly import builtin, celery_names
from duly.clock import MICROS, from_micros
from duly.job import Filter, JobView, WorkerInfo
from duly.store.contract import Store

STORE = "store"
"""The node under which jobs are listed that no worker holds."""

LIST_CAP = 1000
"""Jobs a list stops at; ``duly jobs`` pages through all."""

ByNode = dict[str, Any]


class Inspection:
    """Questions about the workers named when it was made."""

    def __init__(
        self,
        store: Callable[[], Store],
        ask: Callable[[str, dict[str, Any]], ByNode],
        nodes: Callable[[], list[WorkerInfo]],
    ) -> None:
        self._store = store
        self._ask = ask
        self._nodes = nodes

    def __getattr__(self, name: str) -> NoReturn:
        raise celery_names.remote("inspect()", name)

    # -- from the store --------------------------------------------------------------------------

    def active(self) -> ByNode:
        """The jobs that run; LIST_CAP of all at most."""
        return self._held(active=True)

    def reserved(self) -> ByNode:
        """The jobs that workers have reserved and not started; each holds some for 20 ms at most."""
        return self._held(active=False)

    def scheduled(self) -> ByNode:
        """The jobs due ahead, the next ones first, LIST_CAP at most. No worker holds them."""
        page = self._store().jobs(Filter(states=("scheduled",)), order="due", limit=LIST_CAP)
        jobs = [
            {"eta": from_micros(job.due).isoformat(), "priority": job.priority, "request": request(job)}
            for job in page.jobs
        ]
        return {STORE: jobs} if jobs else {}

    def registered(self) -> ByNode:
        """The tasks each live worker knows, without those that every app has."""
        return {node_name(worker): sorted(set(worker.tasks) - set(builtin.NAMES)) for worker in self._nodes()}

    def active_queues(self) -> ByNode:
        """The queues each live worker serves."""
        return {node_name(worker): [{"name": queue} for queue in worker.queues] for worker in self._nodes()}

    def revoked(self) -> ByNode:
        """Ids of the jobs that were cancelled, the newest first, LIST_CAP at most."""
        page = self._store().jobs(Filter(states=("cancelled",)), limit=LIST_CAP)
        return {STORE: [job.id for job in page.jobs]} if page.jobs else {}

    def query_task(self, ids: str | Sequence[str]) -> ByNode:
        """``{id: [state, request]}`` by the node that runs or ran the job."""
        store = self._store()
        which = Filter(ids=(ids,) if isinstance(ids, str) else tuple(ids))
        now = store.now()
        found: ByNode = {}
        for job in store.jobs(which, limit=LIST_CAP).jobs:
            found.setdefault(job.worker or STORE, {})[job.id] = [job.state_name(now), request(job)]
        return found

    def _held(self, active: bool) -> ByNode:
        workers = {node_name(worker): worker for worker in self._nodes()}
        found: ByNode = {node: [] for node in workers}
        seats: dict[tuple[str | None, int | None], list[JobView]] = {}
        for job in self._store().jobs(Filter(states=("running",)), limit=LIST_CAP).jobs:
            seats.setdefault((job.worker, job.slot), []).append(job)
        for (node, _), jobs in seats.items():
            if node not in workers:
                continue
            jobs.sort(key=lambda job: (job.started or 0, -job.priority, job.due, job.id))  # as the seat runs them
            at_once = 1 if workers[node].pool == "process" else workers[node].slots
            found[node] += [request(job) for job in (jobs[:at_once] if active else jobs[at_once:])]
        return found

    # -- from the workers ------------------------------------------------------------------------

    def ping(self) -> ByNode:
        return self._ask("ping", {})

    def stats(self) -> ByNode:
        """Process, pool, lease and what they use."""
        return self._ask("stats", {})

    def report(self) -> ByNode:
        """Versions and settings as text, for a bug report."""
        return self._ask("report", {})

    def conf(self) -> ByNode:
        """The app's settings as the worker has them."""
        return self._ask("conf", {})


def request(job: JobView) -> dict[str, Any]:
    """A job as Celery's inspect shows one."""
    args, kwargs = _arguments(job.args)
    return {
        "id": job.id,
        "name": job.task,
        "type": job.task,
        "args": args,
        "kwargs": kwargs,
        "hostname": job.worker,
        "time_start": None if job.started is None else job.started / MICROS,
        "delivery_info": {"routing_key": job.queue, "priority": job.priority, "redelivered": job.attempt > 1},
    }


def node_name(worker: WorkerInfo) -> str:
    return f"{worker.name}@{worker.host}"


def _arguments(stored: bytes) -> tuple[Any, Any]:
    try:
        args, kwargs = msgspec.json.decode(stored)
    except (msgspec.DecodeError, ValueError, TypeError):  # not written by duly: show what is there
        return [stored.decode("utf-8", "backslashreplace")], {}
    return args, kwargs
