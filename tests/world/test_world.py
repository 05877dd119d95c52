"""The world itself: time, faults, determinism, and that its checker can see what it is there to see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from storm import storm

from duly import Duly
from duly.schedules import crontab
from duly.store.sqlite.sql import SQL
from duly.testing.world import BrokenPromise, World


def storms(seeds: int, first: int = 0) -> None:
    for seed in range(first, first + seeds):
        storm(seed)


def test_a_job_due_in_23_hours_runs_then_and_once() -> None:
    with World() as world:
        started: list[int] = []

        @world.app.task
        def attend(link: str) -> str:
            started.append(world.clock.now())
            return link

        world.worker(lease=10)
        begun = world.clock.now()
        job = attend.apply_async(("https://example.org",), countdown=23 * 3600)
        world.advance(hours=22, minutes=59)
        assert started == []
        world.advance(days=23)
        assert started == [begun + 23 * 3600 * 1_000_000]
        assert job.get() == "https://example.org"


def test_a_world_that_is_closed_leaves_nothing_open() -> None:
    with World() as world:  # what Python and the app open once
        world.worker()
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with World() as world:
            for _ in range(5):
                world.kill(world.worker(concurrency=4))
    assert len(os.listdir("/dev/fd")) <= before


def test_a_job_that_runs_longer_than_the_lease_runs_once() -> None:
    with World() as world:

        @world.app.task
        def long() -> None: ...

        world.takes(long.name, 3 * 10)
        world.worker(lease=10)
        world.worker(lease=10)
        job = long.delay()
        world.advance(minutes=5)
        assert job.successful()
        assert [event.what for event in world.history.of(job.id)] == ["started", "succeeded"]


def test_a_killed_workers_job_is_rescued_when_the_lease_has_lapsed() -> None:
    with World() as world:

        @world.app.task
        def work() -> None: ...

        world.takes(work.name, 5)
        first = world.worker(lease=10)
        job = work.delay()
        world.advance(1)
        second = world.worker(lease=10)
        world.kill(first)
        world.advance(8)
        assert job.state == "running"
        world.advance(12)
        assert job.successful()
        assert [(e.what, e.worker) for e in world.history.of(job.id)] == [
            ("started", first.name),
            ("killed", first.name),
            ("rescued", second.name),
            ("started", second.name),
            ("succeeded", second.name),
        ]


def test_a_partitioned_worker_ends_its_task_before_others_may_start_it() -> None:
    with World() as world:

        @world.app.task
        def work() -> None: ...

        world.takes(work.name, 60)
        first = world.worker(lease=10)
        job = work.delay()
        world.advance(1)
        world.worker(lease=10)
        world.partition(first)
        world.advance(30)
        whats = [event.what for event in world.history.of(job.id)]
        assert whats.index("fenced") < whats.index("rescued") < whats.index("started", 1)


def test_recurring_work_happens_once_an_hour_for_a_month_whoever_dies() -> None:
    with World(seed=3) as world:
        started: list[int] = []

        @world.app.periodic(crontab(minute=0))
        @world.app.task
        def read_calendar() -> None:
            started.append(world.clock.now())

        hour = 3600 * 1_000_000
        world.advance(minutes=30)  # so that nobody dies at the very moment of an occurrence
        begun = world.clock.now()
        for day in range(31):
            dying = world.worker()
            world.worker()
            world.advance(days=1)
            world.kill(dying if day % 2 else world.workers[0])
        expected = [hour_ * hour for hour_ in range(begun // hour + 1, (begun + 31 * 24 * hour) // hour + 1)]
        assert [moment - moment % hour for moment in started] == expected


def test_your_own_app_is_borrowed_and_given_back(tmp_path: Path) -> None:
    app = Duly("mine", store=f"sqlite:///{tmp_path}/mine.db")

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with World(app=app) as world:
        world.worker()
        job = add.delay(4, 4)
        world.advance(1)
        assert job.get() == 8
    assert app.jobs().jobs == []
    app.close()


def test_the_same_seed_gives_the_same_history() -> None:
    assert storm(7) == storm(7)


@pytest.mark.parametrize("block", range(4))
def test_no_promise_is_broken_in_a_storm(block: int) -> None:
    seeds = int(os.environ.get("DULY_SEEDS", "200")) // 4
    storms(seeds, block * seeds)


def test_the_checker_sees_a_store_that_does_not_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    unfenced = SQL["finish"].replace("AND token = ? AND state = 1", "AND ? IS NOT NULL")
    monkeypatch.setitem(SQL, "finish", unfenced)
    with pytest.raises(BrokenPromise, match=r"replay with World\(seed="):
        storms(300)


def test_the_checker_sees_a_store_that_is_early(monkeypatch: pytest.MonkeyPatch) -> None:
    early = SQL["due"].replace("due <= ?", "due <= ? + 5000000").replace("ORDER BY due, seq", "ORDER BY due DESC")
    monkeypatch.setitem(SQL, "due", early)
    with pytest.raises(BrokenPromise, match="before its due"):
        storms(50)


def test_the_plugin_gives_a_world_and_an_eager_app(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(
        """
import pytest
from duly import Duly
from duly.schedules import crontab

app = Duly("mine", store="sqlite:///nowhere/never.db")

@app.task
def add(x: int, y: int) -> int:
    return x + y

@pytest.fixture
def duly_app():
    return app

def test_world(duly_world):
    duly_world.worker()
    job = add.apply_async((4, 4), countdown=3600)
    duly_world.advance(hours=1, seconds=1)
    assert job.get() == 8

def test_eager(duly_eager):
    assert add.delay(1, 2).get() == 3
"""
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "2 passed" in run.stdout, run.stdout + run.stderr
