"""The two failures that duly was made because of (docs/surviving.md) cannot happen here.

*webinars*: a job due in 23 hours was held by a worker until then; the broker lost patience and the job was lost.
*eta demo*: a job due in two minutes was held for longer than the visibility timeout, and ran twice.

What stands for a broker's patience here is the lease, and it is not about jobs: nobody holds one before its due.
``test_celery_failures.py`` has the same two cases with Celery.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from typing import Any

from chaos_log import Event, parse
from chaos_run import POOLS, Run
from tests.waiting import eventually

from duly.clock import MICROS
from duly.ids import new_id
from duly.job import Filter, Job, JobView, State
from duly.testing import World

LEASE = 1.0  # seconds
AHEAD = 3.5  # seconds; several leases
_serials = itertools.count()


def call(run: Run, task: str, *args: Any, ahead: float = 0) -> Job:
    """Store a job, due in ``ahead`` seconds."""
    data = json.dumps([[f"serial-{next(_serials)}", *args], {}]).encode()
    job = Job(id=new_id(), task=f"chaos_tasks.{task}", args=data, due=run.store.now() + int(ahead * MICROS))
    run.store.enqueue([job])
    return job


def view(run: Run, job: Job) -> JobView:
    return run.store.jobs(Filter(ids=(job.id,))).jobs[0]


def wait_for(run: Run, job: Job) -> None:
    eventually(lambda: view(run, job).state == State.SUCCEEDED)


def starts(run: Run, job: Job) -> list[Event]:
    events, _ = parse(run.log_file.read_bytes())
    return [event for event in events if event.what == "start" and event["job"] == job.id]


def ready(run: Run) -> None:
    """Wait until every worker has registered."""
    pids = {worker.pid for worker in run.workers}
    eventually(lambda: pids <= {worker.pid for worker in run.store.workers()})


def test_nobody_holds_a_job_until_its_due(run: Run) -> None:
    """webinars: and so nobody can lose patience; the worker that was there when it was stored is not needed."""
    first = run.start_worker("process", LEASE)
    ready(run)
    job = call(run, "noop", ahead=AHEAD)
    os.kill(first.pid, signal.SIGKILL)
    run.start_worker("process", LEASE)
    while run.store.now() < job.due - 100_000:
        found = view(run, job)
        assert (found.state, found.worker, found.attempt) == (State.WAITING, None, 0)
        time.sleep(0.02)
    wait_for(run, job)
    [start] = starts(run, job)
    assert 0 <= start.at - job.due < MICROS


def test_a_job_due_several_leases_ahead_runs_once(run: Run) -> None:
    """eta demo: with workers of every kind that look for lapsed leases all the time."""
    for pool in POOLS:
        run.start_worker(pool, LEASE)
    ready(run)
    jobs = [call(run, "noop", ahead=AHEAD) for _ in range(30)]
    later = call(run, "noop", ahead=AHEAD + 2 * LEASE)
    wait_for(run, later)
    assert [len(starts(run, job)) for job in jobs] == [1] * 30
    assert all(start.at >= job.due for job in jobs for start in starts(run, job))


def test_a_job_that_runs_for_several_leases_runs_once(run: Run) -> None:
    """eta demo, with acks_late: the time a task takes is nobody's patience either."""
    for _ in range(2):
        run.start_worker("process", LEASE)
    ready(run)
    jobs = [call(run, task, AHEAD) for task in ("nap", "anap", "hold_gil")]
    for job in jobs:
        wait_for(run, job)
    wait_for(run, call(run, "noop", ahead=2 * LEASE))
    assert [len(starts(run, job)) for job in jobs] == [1, 1, 1]
    assert [view(run, job).attempt for job in jobs] == [1, 1, 1]


def test_a_webinar_in_23_hours_with_a_lease_of_seconds() -> None:
    """The real distance, on a clock that is driven; every 50 minutes the worker dies, and another comes."""
    attended = []
    with World(seed=23) as world:

        @world.app.task
        def attend(link: str) -> None:
            attended.append((link, world.clock.now()))

        worker = world.worker(lease=10)
        job = attend.apply_async(("https://example.org/webinar",), countdown=23 * 3600)
        due = view_due(world, job.id)
        for n in range(30):
            world.kill(worker)
            worker = world.worker(f"worker{n}", lease=10)
            world.advance(minutes=50)
        assert job.successful()
    assert len(attended) == 1
    assert 0 <= attended[0][1] - due < 2 * MICROS


def view_due(world: World, id: str) -> int:
    return world.store.jobs(Filter(ids=(id,))).jobs[0].due
