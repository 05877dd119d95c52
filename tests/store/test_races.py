"""Several real processes on one store, some of them killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import KINDS

import duly.store
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Outcome, State, WorkerInfo
from duly.store import Store

PREAMBLE = """
import json, os, sys
import duly.store
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Outcome, WorkerInfo
store = duly.store.open(sys.argv[1])
me = int(sys.argv[2])
def say(what):
    os.write(1, (json.dumps(what) + "\\n").encode())
def go():  # everybody starts at once
    say("ready")
    sys.stdin.readline()
"""


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, store_of: Callable[[str], str]) -> str:
    return store_of(request.param)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = duly.store.open(url)
    yield store
    store.close()


def start(url: str, code: str, n: int) -> list[subprocess.Popen[str]]:
    """``n`` processes that run ``code`` up to its ``go()``, and then wait to be told."""
    script = PREAMBLE + textwrap.dedent(code)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for i in range(n)
    ]
    for process in processes:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def heard(process: subprocess.Popen[str]) -> list[object]:
    """What it says until its end; it must end well unless it was killed."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL)
    whole = out[: out.rfind("\n") + 1]  # the last line of a killed process may be cut
    return [json.loads(line) for line in whole.splitlines()]


def check(store: Store, url: str) -> None:
    store.close()
    if not url.startswith("sqlite:"):
        return
    with sqlite3.connect(url.removeprefix("sqlite:///")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_of_many_processes_with_one_key_one_is_stored(store: Store, url: str) -> None:
    processes = start(
        url,
        """
        go()
        for turn in range(30):
            job = Job(id=new_id(), task="t", due=0, key=f"k{turn}")
            say([turn, store.enqueue([job])[0].stored, store.enqueue([job])[0].id])
        """,
        4,
    )
    answers = [answer for process in processes for answer in heard(process)]
    for turn in range(30):
        mine = [(stored, id) for r, stored, id in answers if r == turn]  # type: ignore[misc]
        assert sorted(stored for stored, _ in mine) == [False, False, False, True]
        holders = {v.id for v in store.jobs(Filter(key=f"k{turn}")).jobs}
        assert len(holders) == 1
    check(store, url)


def test_many_processes_open_a_new_store_at_once(store: Store, url: str) -> None:
    processes = start(url, 'go(); say(store.enqueue([Job(id=new_id(), task="t", due=0)])[0].stored)', 6)
    assert [heard(process) for process in processes] == [[True]] * 6
    assert len(store.jobs(Filter()).jobs) == 6


def test_of_many_processes_that_reserve_at_once_each_job_goes_to_one(store: Store, url: str) -> None:
    ids = [e.id for e in store.enqueue([Job(id=new_id(), task="t", due=0) for _ in range(600)])]
    processes = start(
        url,
        """
        worker = store.register(WorkerInfo(name=f"w{me}", host="h", pid=os.getpid()), 60_000_000)
        go()
        done = []
        while True:
            answer = store.exchange(worker, 0, done, 7, ["default"])
            assert not answer.refused
            if not answer.leases:
                break
            say([lease.id for lease in answer.leases])
            done = [Outcome(lease=x, kind=Kind.SUCCEEDED, started=1, finished=2) for x in answer.leases]
        """,
        4,
    )
    taken = [id for process in processes for batch in heard(process) for id in batch]  # type: ignore[attr-defined]
    assert sorted(taken) == sorted(ids)
    assert {r.state for r in store.results(ids) if r} == {State.SUCCEEDED}
    check(store, url)


def test_a_settle_and_a_rescue_at_once_agree_on_who_won(store: Store, url: str) -> None:
    """Each job has an outcome accepted, or was rescued; never both, never neither."""
    store.enqueue([Job(id=f"j{i}", task="t", due=0) for i in range(60)])
    workers = [store.register(WorkerInfo(name="w", host="h", pid=1), 60_000_000) for _ in range(60)]
    leases = [store.exchange(worker, 0, [], 1, ["default"]).leases[0] for worker in workers]
    [rescuer] = start(
        url,
        f"""
        go()
        for worker in {workers!r}:
            say([one.id for one in store.rescue(3, [worker])])
        """,
        1,
    )
    settled = set()
    for worker, lease in zip(workers, leases, strict=True):
        outcome = Outcome(lease=lease, kind=Kind.SUCCEEDED, started=1, finished=2, result=b"1")
        if not store.exchange(worker, 0, [outcome], 0, ()).refused:
            settled.add(lease.id)
    rescued = {id for batch in heard(rescuer) for id in batch}  # type: ignore[attr-defined]
    assert settled.isdisjoint(rescued)
    assert settled | rescued == {lease.id for lease in leases}
    for lease in leases:
        [seen] = store.jobs(Filter(ids=(lease.id,))).jobs
        assert seen.state == (State.SUCCEEDED if lease.id in settled else State.WAITING)
        assert seen.lost == (lease.id in rescued)


def test_what_a_killed_producer_was_told_is_there(store: Store, url: str) -> None:
    rnd = random.Random(11)
    acknowledged: list[str] = []
    processes = start(
        url,
        """
        go()
        while True:
            batch = [Job(id=new_id(), task="t", due=0, args=b"x" * 3000, key=new_id()) for _ in range(8)]
            say([one.id for one in store.enqueue(batch)])
        """,
        6,
    )
    for process in processes:
        time.sleep(rnd.uniform(0.01, 0.1))  # not a wait for something: the moment of death is to be random
        process.kill()
        acknowledged += [id for batch in heard(process) for id in batch]  # type: ignore[attr-defined]
    assert len(acknowledged) > 50
    assert None not in store.results(acknowledged)
    after = None
    total = 0
    while True:
        page = store.jobs(Filter(), after=after, limit=1000)
        total += len(page.jobs)
        after = page.after
        if after is None:
            break
    assert total % 8 == 0, "half of a batch was stored"
    check(store, url)


def test_what_a_killed_worker_was_told_is_settled_and_the_rest_comes_back(store: Store, url: str) -> None:
    rnd = random.Random(5)
    ids = [e.id for e in store.enqueue([Job(id=new_id(), task="t", due=0) for _ in range(4000)])]
    [process] = start(
        url,
        """
        worker = store.register(WorkerInfo(name="w", host="h", pid=os.getpid()), 60_000_000)
        go()
        done = []
        while True:
            answer = store.exchange(worker, 0, done, 5, ["default"])
            say([outcome.lease.id for outcome in done])
            done = [Outcome(lease=x, kind=Kind.SUCCEEDED, started=1, finished=2, result=b"1") for x in answer.leases]
        """,
        1,
    )
    time.sleep(rnd.uniform(0.1, 0.2))  # as above
    process.kill()
    told = {id for batch in heard(process) for id in batch}  # type: ignore[attr-defined]
    [worker] = [w.id for w in store.workers()]
    rescued = {one.id for one in store.rescue(3, [worker])}
    results = {r.id: r for r in store.results(ids) if r}
    assert len(results) == 4000
    assert all(results[id].state == State.SUCCEEDED and results[id].result == b"1" for id in told)
    assert not rescued & told
    assert {r.state for r in results.values()} == {State.SUCCEEDED, State.WAITING}
    successor = store.register(WorkerInfo(name="w2", host="h", pid=os.getpid()), 60_000_000)
    left = len(store.exchange(successor, 0, [], 5000, ["default"]).leases)
    assert left == sum(r.state == State.WAITING for r in results.values())
    check(store, url)
