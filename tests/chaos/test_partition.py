"""A worker that is cut off from its store ends what it runs before anybody else may run it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from chaos_log import Event, parse
from chaos_places import ServerPlace
from chaos_run import LIVE, Run
from tests.servers.proxy import Proxy

from duly.ids import new_id
from duly.job import Filter, Job, State

LEASE = 2.0  # seconds
PATIENCE = 60.0


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


@pytest.fixture
def run() -> Iterator[Run]:
    """On PostgreSQL, with nobody at work yet."""
    run = Run(0, "postgres")
    try:
        yield run
    finally:
        run.close(keep=False)


_serials = itertools.count()


def put(run: Run, task: str, n: int = 1, seconds: float | None = None) -> list[str]:
    """Enqueue jobs; gives their ids."""
    more = [] if seconds is None else [seconds]
    calls = [json.dumps([[f"{task}{next(_serials)}", *more], {}]).encode() for _ in range(n)]
    jobs = [Job(id=new_id(), task=f"chaos_tasks.{task}", due=0, args=args) for args in calls]
    run.store.enqueue(jobs)
    return [job.id for job in jobs]


def have_ended(run: Run) -> bool:
    return not run.store.jobs(Filter(states=LIVE), limit=1).jobs


def keeps_every_promise(run: Run) -> None:
    run.finish()
    report = run.check()
    assert not report.problems, report.text("partition")


def test_while_a_worker_is_cut_off_another_does_its_work_and_none_of_it_twice_at_once(run: Run) -> None:
    """The one that is cut off is in the middle of many jobs, and stays away for several leases."""
    assert isinstance(run.place, ServerPlace)
    cut_off = run.start_worker("process", LEASE)
    put(run, "nap", 2, 4.0)
    put(run, "nap", 20, 0.2)
    until(lambda: len(starts(run)) >= 2)
    run.start_worker("thread", LEASE, slots=4, url=run.place.sure_url)
    run.place.proxy.hold()
    until(lambda: have_ended(run))
    others = [event for event in starts(run) if event["parent"] != cut_off.pid]
    assert {event["job"] for event in others} >= {event["job"] for event in starts(run)[:2]}
    run.place.proxy.heal()
    back = time.monotonic()

    def is_back() -> bool:
        put(run, "nap", 8, 0.1)
        until(lambda: have_ended(run))
        return any(event["parent"] == cut_off.pid and event.mono > back for event in starts(run))

    until(is_back)
    keeps_every_promise(run)


class Confirms:
    """Takes the network away from a worker at the moment when it asks whether a reserve is on the disk."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.seen = False
        proxy.cut_call(self._watch)

    def _watch(self, data: bytes) -> bool:
        if b"SET token = token" not in data:
            return False
        self._proxy.refuse()
        self.seen = True
        return True


def test_a_job_whose_reserve_the_store_may_have_forgotten_is_ended_and_runs_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(run.place, ServerPlace)
    monkeypatch.setenv("CHAOS_ALL_SHORT", "1")
    run.start_worker("process", 10.0, slots=1)
    confirms = Confirms(run.place.proxy)
    [job] = put(run, "nap", 1, 3.0)
    until(lambda: confirms.seen)
    [first] = [event for event in starts(run) if event["job"] == job]
    until(lambda: not lives(first.pid))
    run.place.proxy.heal()
    until(lambda: run.store.results([job])[0].state == State.SUCCEEDED)  # type: ignore[union-attr]
    assert [event["attempt"] for event in starts(run) if event["job"] == job] == [1, 2]
    keeps_every_promise(run)
