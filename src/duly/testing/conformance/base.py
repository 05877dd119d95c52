"""What the parts of the conformance suite share: fixtures, and short names for common steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from duly.clock import MICROS, Clock
from duly.ids import new_id
from duly.job import (
    Enqueued,
    ErrorInfo,
    Exchange,
    Filter,
    Job,
    JobView,
    Kind,
    Lease,
    Outcome,
    State,
    Verdict,
    WorkerInfo,
)
from duly.store.contract import Store
from duly.testing.clock import START, ManualClock

CAPABILITIES = ("shared", "fork", "processes", "moving")
"""What a store may declare as missing.

shared: two stores made at one place share their jobs. fork: a store may be used after a fork.
processes: wake-ups cross processes. moving: it can be emptied into another store, and filled from one.
"""

LEASE = 10 * MICROS
"""The worker lease of these tests, µs."""

SECOND = MICROS
T0 = START
BOOM = msgspec.json.encode(ErrorInfo(type="ValueError", message="boom"))
DIED = msgspec.json.encode(ErrorInfo(type="WorkerLost", message="killed by signal 9", module="duly.errors"))


class Base:
    """The fixtures. ``clock`` is given to the store and stands still until a test moves it."""

    missing: frozenset[str] = frozenset()
    stride = 1  # see test_an_exception_out_of_nowhere_leaves_nothing_open

    def make_store(self, clock: Clock, place: Path) -> Store:
        """Open the store kept at ``place``, reading ``clock``; made when it is not there yet."""
        raise NotImplementedError("a subclass of StoreConformance gives make_store(clock, place)")

    def need(self, capability: str) -> None:
        """Skip the test if the store declared that it lacks this."""
        assert capability in CAPABILITIES, capability
        if capability in self.missing:
            pytest.skip(f"the store declares that it lacks: {capability}")

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store"

    @pytest.fixture
    def store(self, clock: ManualClock, place: Path) -> Iterator[Store]:
        store = self.make_store(clock, place)
        yield store
        store.close()

    @pytest.fixture
    def worker(self, store: Store) -> int:
        return register(store, "w1")

    @pytest.fixture
    def other(self, store: Store) -> int:
        return register(store, "w2")


def register(store: Store, name: str = "w1", lease: int = LEASE) -> int:
    return store.register(WorkerInfo(name=name, host="h", pid=100, queues=("default",), slots=4), lease)


def job(**fields: Any) -> Job:
    """A job that is due at T0 unless told otherwise."""
    defaults: dict[str, Any] = {"id": new_id(), "task": "t", "due": T0}
    return Job(**defaults | fields)


def put(store: Store, **fields: Any) -> str:
    """Enqueue one job; gives its id."""
    made = job(**fields)
    assert store.enqueue([made]) == [Enqueued(id=made.id, stored=True)]
    return made.id


def reserve(
    store: Store,
    worker: int,
    want: int = 100,
    queues: Sequence[str] = ("default",),
    slot: int = 0,
    woken: bool = False,
) -> list[Lease]:
    return store.exchange(worker, slot, [], want, queues, woken).leases


def take(store: Store, worker: int, slot: int = 0, queue: str = "default") -> Lease:
    """Reserve one job, which must be there, as who was woken does."""
    leases = reserve(store, worker, 1, (queue,), slot, woken=True)
    assert len(leases) == 1
    return leases[0]


def ended(store: Store, lease: Lease, kind: Kind = Kind.SUCCEEDED, **fields: Any) -> Outcome:
    """An outcome of this lease that started and finished now."""
    times = {} if kind == Kind.RELEASED else {"started": store.now(), "finished": store.now()}
    return Outcome(lease=lease, kind=kind, **(times | fields))


def settle(store: Store, worker: int, lease: Lease, kind: Kind = Kind.SUCCEEDED, **fields: Any) -> bool:
    """Settle one lease and reserve nothing; True if it was accepted."""
    outcome = ended(store, lease, kind, **fields)
    answer = store.exchange(worker, 0, [outcome], 0, ())
    assert answer.leases == []
    assert answer.refused in ([], [outcome])
    return not answer.refused


def finish(store: Store, worker: int, kind: Kind = Kind.SUCCEEDED, **fields: Any) -> str:
    """Enqueue a job and bring it to an end of this kind; gives its id."""
    queue = f"finish-{new_id()}"  # a queue of its own, so that exactly this one is reserved
    id = put(store, queue=queue, due=store.now(), **fields)
    lease = take(store, worker, queue=queue)
    assert settle(store, worker, lease, kind, error=BOOM if kind == Kind.FAILED else None)
    return id


def view(store: Store, id: str) -> JobView:
    jobs = store.jobs(Filter(ids=(id,))).jobs
    assert [one.id for one in jobs] == [id], f"job {id} is not in the store"
    return jobs[0]


def state(store: Store, id: str) -> State:
    return view(store, id).state


def verdicts(answers: Sequence[Any]) -> dict[str, Verdict]:
    found = {answer.id: answer.verdict for answer in answers}
    assert len(found) == len(answers), f"a job answered twice: {answers}"
    return found


def history(store: Store, id: str) -> list[str]:
    """The outcomes of a job's attempts, oldest first."""
    return [attempt.outcome for attempt in store.attempts(id)]


def snapshot(store: Store) -> list[object]:
    """Everything to be seen of a store, to show that a refused call changed nothing."""
    jobs = everything(store)
    return [
        jobs,
        [store.attempts(one.id) for one in jobs],
        store.counts(),
        store.rollups(0, 2**60),
        store.workers(),
    ]


def everything(store: Store, which: Filter | None = None, limit: int = 100, **order: Any) -> list[JobView]:
    """All jobs that match, by as many pages as it takes."""
    seen: list[JobView] = []
    after = None
    while True:
        page = store.jobs(which or Filter(), after=after, limit=limit, **order)
        assert len(page.jobs) <= limit
        seen += page.jobs
        after = page.after
        if after is None:
            return seen


def result_of(exchange: Exchange) -> tuple[list[str], list[str]]:
    """The ids reserved and the ids refused."""
    return [lease.id for lease in exchange.leases], [outcome.lease.id for outcome in exchange.refused]
