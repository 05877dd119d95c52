"""Short names for what the tests of this folder do to a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from duly.clock import MICROS
from duly.ids import new_id
from duly.job import Filter, Job, JobView, Kind, Lease, Outcome, State, WorkerInfo
from duly.store.contract import Store
from duly.testing.clock import START

LEASE = 10 * MICROS


def job(**fields: Any) -> Job:
    return Job(**{"id": new_id(), "task": "t", "due": START} | fields)


def put(store: Store, **fields: Any) -> str:
    made = job(**fields)
    store.enqueue([made])
    return made.id


def register(
    store: Store, name: str = "w1", queues: Sequence[str] = ("default",), tasks: Sequence[str] = ("t",),
    slots: int = 1, lease: int = LEASE, **fields: Any,
) -> int:  # fmt: skip
    info = WorkerInfo(name=name, host="h", pid=1, queues=tuple(queues), tasks=tuple(tasks), slots=slots, **fields)
    return store.register(info, lease)


def reserve(store: Store, worker: int, want: int = 1, queue: str = "default", slot: int = 0) -> list[Lease]:
    return store.exchange(worker, slot, [], want, [queue]).leases


def settle(store: Store, worker: int, lease: Lease, kind: Kind, **fields: Any) -> None:
    now = store.now()
    outcome = Outcome(lease=lease, kind=kind, **{"started": now, "finished": now} | fields)
    assert store.exchange(worker, 0, [outcome], 0, []).refused == []


def view(store: Store, id: str) -> JobView:
    [found] = store.jobs(Filter(ids=(id,))).jobs
    return found


def state(store: Store, id: str) -> State:
    return view(store, id).state
