"""What is going on, in Celery's words: ``app.control.inspect().active()``. Everything is given by node.

What the store knows is read from it, also when no worker is alive. Jobs that wait belong to no worker: they are
listed under the node ``store``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from duly import builtin, celery_names, describing
from duly.bindings import Binding
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
        bindings: Callable[[], Iterable[Binding]] = tuple,
    ) -> None:
        """``bindings``: what leads to queues, by the asking app's settings."""
        self._store = store
        self._ask = ask
        self._nodes = nodes
        self._bindings = bindings

    def __getattr__(self, name: str) -> NoReturn:
        raise celery_names.remote("inspect()", name)

    # -- from the store --------------------------------------------------------------------------

    def active(self, safe: bool = False) -> ByNode:
        """The jobs that run; LIST_CAP of all at most. ``safe``: arguments as text."""
        return self._held(True, safe)

    def reserved(self, safe: bool = False) -> ByNode:
        """The jobs that workers have reserved and not started; each holds some for 20 ms at most."""
        return self._held(False, safe)

    def scheduled(self, safe: bool = False) -> ByNode:
        """The jobs due ahead, the next ones first, LIST_CAP at most. No worker holds them."""
        jobs = self.ahead(None, safe)
        return {STORE: jobs} if jobs else {}

    def ahead(self, queues: Sequence[str] | None, safe: bool = False) -> list[dict[str, Any]]:
        """The jobs due ahead in these queues, or in all."""
        which = Filter(states=("scheduled",), queues=None if queues is None else tuple(queues))
        page = self._store().jobs(which, order="due", limit=LIST_CAP)
        return [describing.appointment(job, safe) for job in page.jobs]

    def registered(self, *items: str, builtins: bool = False) -> ByNode:
        """The tasks each live worker knows, without those that every app has unless ``builtins``.

        Each is a text: its name and those of the options ``items`` that it has, as the worker's code has them:
        ``"tasks.add [rate_limit=10/m max_retries=3]"``. A rate limit is the one in force; it is shown if nothing
        is named, and the workers need not answer for it.
        """
        wanted = [item for item in items or (describing.RATE,) if not item.startswith("_")]
        said = self._ask("tasks", {}) if set(wanted) - {describing.RATE} else {}
        rates = describing.rates(self._store().limits())
        found: ByNode = {}
        for worker in self._nodes():
            names = worker.tasks if builtins else set(worker.tasks) - set(builtin.NAMES)
            options = {name: dict(said.get(node_name(worker), {}).get(name, {})) for name in sorted(names)}
            for name, its in options.items():
                its.pop(describing.RATE, None)
                its.update({describing.RATE: rates[name]} if name in rates else {})
            found[node_name(worker)] = [
                describing.task(name, {item: its[item] for item in wanted if item in its})
                for name, its in options.items()
            ]
        return found

    def active_queues(self) -> ByNode:
        """The queues each live worker serves, and what leads to them."""
        bindings = tuple(self._bindings())
        return {
            node_name(worker): [describing.queue(name, bindings) for name in worker.queues]
            for worker in self._nodes()
        }

    def revoked(self) -> ByNode:
        """Ids of the jobs that were cancelled, the newest first, LIST_CAP at most."""
        page = self._store().jobs(Filter(states=("cancelled",)), limit=LIST_CAP)
        return {STORE: [job.id for job in page.jobs]} if page.jobs else {}

    def query_task(self, *ids: str | Sequence[str]) -> ByNode:
        """``{id: [state, request]}`` by the node that runs or ran the job. Ids, or one list of them."""
        store = self._store()
        now = store.now()
        found: ByNode = {}
        for job in store.jobs(Filter(ids=_listed(ids)), limit=LIST_CAP).jobs:
            state = job.state_name(now)
            found.setdefault(job.worker or STORE, {})[job.id] = [state, describing.request(job, state == "running")]
        return found

    def _held(self, active: bool, safe: bool) -> ByNode:
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
            some = jobs[:at_once] if active else jobs[at_once:]
            found[node] += [describing.request(job, active, safe) for job in some]
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


def node_name(worker: WorkerInfo) -> str:
    return f"{worker.name}@{worker.host}"


def _listed(ids: Sequence[str | Sequence[str]]) -> tuple[str, ...]:
    """Each of what was given, and each of a list among it."""
    return tuple(one for given in ids for one in ((given,) if isinstance(given, str) else given))
