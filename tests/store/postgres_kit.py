"""What the tests of the PostgreSQL store share."""

from __future__ import annotations

import itertools
import os

from duly.ids import new_id
from duly.job import Exchange, Filter, Job, Kind, Lease, Outcome, State, WorkerInfo
from duly.store import Store

MINUTE = 60_000_000  # µs
_names = itertools.count()


def new_schema() -> str:
    """A name that no other test has."""
    return f"s{os.getpid()}_{next(_names)}"


def worker(store: Store, lease: int = 10 * MINUTE) -> int:
    return store.register(WorkerInfo(name="w", host="h", pid=os.getpid()), lease)


def put(store: Store, n: int = 1, **fields: object) -> list[str]:
    """Enqueue jobs that are due; gives their ids."""
    jobs = [Job(id=new_id(), task="t", due=store.now(), **fields) for _ in range(n)]  # type: ignore[arg-type]
    assert all(answer.stored for answer in store.enqueue(jobs))
    return [job.id for job in jobs]


def succeeded(store: Store, leases: list[Lease]) -> list[Outcome]:
    now = store.now()
    return [Outcome(lease, Kind.SUCCEEDED, now, now, b"1") for lease in leases]


def states(store: Store) -> list[State]:
    return [job.state for job in store.jobs(Filter(), limit=1000).jobs]


def take(store: Store, holder: int, want: int = 10, outcomes: list[Outcome] | None = None, slot: int = 0) -> Exchange:
    return store.exchange(holder, slot, outcomes or [], want, ["default"])
