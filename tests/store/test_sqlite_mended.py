"""What a hostile review found in the SQLite store, each as a test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import duly.store
from duly.clock import MICROS
from duly.errors import StoreUnavailable
from duly.job import Change, Filter, Job, Kind, Limit, Outcome, State, WorkerInfo
from duly.store import Store
from duly.testing.clock import START, ManualClock

DAY = 86_400 * MICROS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> Store:
    return duly.store.open("sqlite:///:memory:", clock=clock)


def register(store: Store) -> int:
    return store.register(WorkerInfo(name="w", host="h", pid=1), 500 * DAY)


def put(store: Store, id: str, task: str = "t", **fields: object) -> None:
    store.enqueue([Job(**{"id": id, "task": task, "due": START} | fields)])  # type: ignore[arg-type]


def run(store: Store, worker: int) -> list[str]:
    """Reserve and end what may start now."""
    leases = store.exchange(worker, 0, [], 10, ["default"]).leases
    done = [Outcome(lease=one, kind=Kind.SUCCEEDED, started=store.now(), finished=store.now()) for one in leases]
    store.exchange(worker, 0, done, 0, ["default"])
    return [one.id for one in leases]


def state(store: Store, id: str) -> State:
    return store.jobs(Filter(ids=(id,))).jobs[0].state


def test_a_clock_that_was_ahead_shuts_no_lane_for_long(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    store.set_limit(Limit(scope="task", name="t", rate=10, per=60 * MICROS))
    for id in "abc":
        put(store, id)
    clock.set(START + 400 * DAY)
    assert run(store, worker) == ["a"]
    clock.set(START)
    store.maintain()
    assert run(store, worker) == []
    assert all(lane.next_start <= START + 6 * MICROS for lane in store.lanes_of("b"))
    clock.advance(6)
    assert run(store, worker) == ["b"]
    clock.advance(6)
    assert run(store, worker) == ["c"]


def test_a_parked_job_expires_and_gives_back_its_key(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    store.set_limit(Limit(scope="task", name="t", rate=1, per=DAY))
    put(store, "first")
    put(store, "second", key="k", expires=START + 5 * MICROS)
    run(store, worker)
    run(store, worker)
    clock.advance(5)
    store.maintain()
    assert state(store, "second") == State.CANCELLED
    assert store.enqueue([Job(id="third", task="t", due=START, key="k")])[0].stored


def test_keys_and_tasks_with_colons_have_lanes_of_their_own(store: Store) -> None:
    worker = register(store)
    for task in ("a", "a:b", "a%3Ab"):
        store.set_limit(Limit(scope="key", name=task, concurrency=1))
    put(store, "one", "a", limit_key="b:c")
    put(store, "two", "a:b", limit_key="c")
    put(store, "three", "a%3Ab", limit_key="c")
    assert len(store.exchange(worker, 0, [], 10, ["default"]).leases) == 3
    assert [lane.name for lane in store.lanes_of("two")] == ["key:a:b:c"]


def test_a_job_moved_beyond_its_expiry_has_as_long_as_before(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    put(store, "a", expires=START + 60 * MICROS)
    store.move(Filter(ids=("a",)), Change(due=START + 3600 * MICROS))
    assert store.jobs(Filter()).jobs[0].expires == START + 3660 * MICROS
    clock.advance(3600)
    assert run(store, worker) == ["a"]


def test_a_job_with_no_time_left_that_is_moved_runs(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    put(store, "a", expires=START - 1)
    store.move(Filter(ids=("a",)), Change(due=START + 1))
    clock.advance(1)
    assert run(store, worker) == ["a"]


@pytest.mark.parametrize("end", ["left", "rescued"])
def test_a_worker_is_remembered_from_when_it_ended(store: Store, clock: ManualClock, end: str) -> None:
    worker = register(store)
    clock.advance(90 * 86_400)
    if end == "left":
        store.unregister(worker)
    else:
        store.rescue(3, [worker])
    store.prune(clock.now() - DAY, clock.now() - DAY, 100)
    assert [one.id for one in store.workers()] == [worker]
    clock.advance(2 * 86_400)
    store.prune(clock.now() - DAY, clock.now() - DAY, 100)
    assert store.workers() == []


def test_a_link_to_the_file_has_the_same_wake_ups(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.db").symlink_to(tmp_path / "jobs.db")
    by_name = duly.store.open(f"sqlite:///{tmp_path}/jobs.db")
    by_link = duly.store.open(f"sqlite:///{tmp_path}/elsewhere/link.db")
    listener = by_name.listen("work")
    by_link.notify("work")
    assert listener.wait(5)
    listener.close()
    by_name.close()
    by_link.close()


def test_a_long_path_costs_no_descriptors(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    store = duly.store.open(f"sqlite:///{folder}/jobs.db")

    def once() -> int:
        store.listen("work").close()
        store.notify("work")
        store.close()
        return len(os.listdir("/proc/self/fd"))

    assert len({once() for _ in range(5)}) == 1


def test_who_only_looks_makes_no_store(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    looking = duly.store.open(f"sqlite:///{path}", create=False)
    with pytest.raises(StoreUnavailable, match="there is no store at"):
        looking.counts()
    assert not path.exists()
    path.touch()
    with pytest.raises(StoreUnavailable, match="there is no store at"):
        looking.counts()
    assert path.stat().st_size == 0
    put(duly.store.open(f"sqlite:///{path}"), "a")
    assert looking.jobs(Filter()).jobs[0].id == "a"
