"""Weighted turns and reserved slots in real workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duly.ids import new_id
from duly.job import Job, State

sys.path.append(str(Path(__file__).parent.parent / "worker"))
from tests.waiting import eventually
from worker_kit import Shop, Worker


class Fair(Shop):
    def worker(self, **options: object) -> Worker:  # type: ignore[override]
        return super().worker(**{"app": "fair_tasks", "workdir": str(Path(__file__).parent)} | options)

    def put(self, name: str, *args: object, **job: object) -> str:
        return self.add(name, *args, **{"task": f"fair_tasks.{name}"} | job)


@pytest.fixture
def fair(tmp_path: Path, store_url: str) -> Iterator[Fair]:
    fair = Fair(tmp_path, store_url)
    yield fair
    fair.close()


def test_queues_are_served_by_weight(fair: Fair) -> None:
    for queue in ("crawl", "notify"):
        now, args = fair.store.now(), b'[["%s"],{}]' % queue.encode()
        fair.store.enqueue(
            [Job(id=new_id(), task="fair_tasks.say", due=now, queue=queue, args=args) for _ in range(60)]
        )
    fair.worker(queues=["crawl", "notify=4"])
    eventually(lambda: len(fair.notes()) == 120)
    assert fair.notes()[:50].count("notify") == 40
    assert fair.notes()[:10].count("notify") == 8


@pytest.mark.parametrize(("pool", "task"), [("process", "until"), ("thread", "until"), ("async", "auntil")])
def test_a_reserved_slot_is_free_for_its_queue(fair: Fair, pool: str, task: str) -> None:
    gate = fair.folder / "gate"
    fair.worker(queues=["crawl", "notify"], reserve=["notify=1"], concurrency=3, pool=pool)
    long = [fair.put(task, str(gate), queue="crawl") for _ in range(3)]
    eventually(lambda: fair.notes().count("began") == 2)
    quick = fair.put("say", "hello", queue="notify")
    assert fair.wait(quick).state == State.SUCCEEDED
    states = [fair.job(id).state for id in long]
    assert sorted(states) == [State.WAITING, State.RUNNING, State.RUNNING]
    gate.touch()
    assert {fair.wait(id).state for id in long} == {State.SUCCEEDED}


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_the_other_slots_serve_the_queue_with_the_reserve_too(fair: Fair, pool: str) -> None:
    gate = fair.folder / "gate"
    fair.worker(queues=["crawl", "notify"], reserve=["notify=1"], concurrency=3, pool=pool)
    for _ in range(3):
        fair.put("until", str(gate), queue="notify")
    eventually(lambda: fair.notes().count("began") == 3)
    gate.touch()


def test_a_reserve_beyond_the_slots_ends_the_worker_with_a_reason(fair: Fair) -> None:
    worker = fair.worker(queues=["crawl", "notify"], reserve=["notify=3"], concurrency=2, wait=False)
    assert worker.process.wait(15) == 1
    assert "3 reserved of 2 slots; start the worker with -c 4 or more" in worker.text()
    assert "Traceback" not in worker.text()


def test_a_job_of_a_quiet_queue_does_not_wait_for_the_batch_of_a_busy_one(fair: Fair) -> None:
    """One of a batch's first tasks enqueues a job of the quiet queue; that comes before most of the batch."""
    fair.worker(queues=["busy", "quiet"])
    fair.store.enqueue([busy(fair) for _ in range(1500)])  # so that it learns to take many at once
    eventually(lambda: fair.store.counts() == [])
    seed = Job(id=new_id(), task="fair_tasks.seed", due=fair.store.now(), queue="busy", args=b'[["quiet-job"],{}]')
    flood = [busy(fair) for _ in range(1500)]
    fair.store.enqueue([seed, *flood])
    eventually(lambda: fair.store.counts() == [])
    began, quiet = fair.job(seed.id).started or 0, fair.job("quiet-job").started or 0
    between = [job for job in (fair.job(one.id) for one in flood) if began < (job.started or 0) < quiet]
    assert len(between) < 150


def busy(fair: Fair) -> Job:
    return Job(id=new_id(), task="fair_tasks.tick", due=fair.store.now(), queue="busy")
