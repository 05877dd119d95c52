"""A worker that is cut off from its store ends what it runs before anybody else may run it."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest
from chaos_log import Event, parse
from chaos_places import ServerPlace
from chaos_run import Run

from duly.ids import new_id
from duly.job import Filter, Job, State

LEASE = 2.0  # seconds
PATIENCE = 30.0


def until(what: Callable[[], bool]) -> float:
    """Wait for it; gives when it was seen, on the wall clock."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, f"did not happen within {PATIENCE} s"
        time.sleep(0.005)
    return time.time()


def lives(pid: int) -> bool:
    """A supervisor that waits for its store may bury its dead late."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def starts(run: Run) -> list[Event]:
    events, _ = parse(run.log_file.read_bytes())
    return [event for event in events if event.what == "start" and event["job"] is not None]


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_job_that_outlasts_a_partition_is_ended_and_runs_again_afterwards(kind: str) -> None:
    run = Run(0, kind)
    try:
        assert isinstance(run.place, ServerPlace)
        worker = run.start_worker("process", LEASE)
        job = Job(id=new_id(), task="chaos_tasks.nap", due=0, args=b'[["long",6.0],{}]')
        run.store.enqueue([job])
        until(lambda: len(starts(run)) == 1)
        [before] = run.store.workers()
        runs_it = starts(run)[0].pid
        assert runs_it in worker.executors()
        run.place.proxy.hold()
        until(lambda: not lives(runs_it))
        ended = run.store.now()
        [left] = [one for one in run.store.workers() if one.id == before.id]
        assert ended <= left.expires, "its lease had lapsed before its executor had ended"
        assert run.store.jobs(Filter(ids=(job.id,))).jobs[0].state == State.RUNNING
        run.place.proxy.heal()
        until(lambda: run.store.results([job.id])[0].state == State.SUCCEEDED)  # type: ignore[union-attr]
        first, *_, last = starts(run)  # a busy machine may miss its lease once more
        assert last.at > ended >= first.at
    finally:
        run.close(keep=False)
