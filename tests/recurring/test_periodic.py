"""What an app says of its recurring work, what is wrong with it, and that workers and ``duly beat`` follow it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import duly.store
from duly import Duly
from duly.errors import ConfigError
from duly.job import Filter, State
from duly.scheduler import rule_of
from duly.schedules import cron, crontab, every

HERE = Path(__file__).parent


@pytest.fixture
def app() -> Duly:
    app = Duly("tasks", store="sqlite:///:memory:", timezone="Europe/Paris")

    @app.task(queue="mail", expires=30)
    def add(x: int, y: int) -> int:
        return x + y

    return app


ADD = "test_periodic.add"


def test_beat_schedule_takes_celerys_keys(app: Duly) -> None:
    app.conf.beat_schedule = {
        "nine": {"task": ADD, "schedule": crontab(minute=0, hour=9), "args": (1, 2), "options": {"priority": 4}},
        "often": {"task": "else.where", "schedule": 30.0, "kwargs": {"a": 1}, "relative": True},
    }
    app.conf.beat_schedule["delta"] = {
        "task": ADD, "schedule": timedelta(hours=1), "args": (1, 2), "options": {"expires": 60, "queue": "q"},
        "deadline": 5, "overlap": "skip", "jitter": timedelta(seconds=2), "catch_up": "none",
    }  # fmt: skip
    nine, often, delta = app.declared_schedules()
    assert (nine.queue, nine.priority, nine.expires_after, nine.args) == ("mail", 4, 30_000_000, b"[[1,2],{}]")
    assert rule_of(nine.rule) == crontab(minute=0, hour=9, tz="Europe/Paris")
    assert (often.task, often.queue, often.args) == ("else.where", "default", b'[[],{"a":1}]')
    assert (delta.queue, delta.expires_after, delta.deadline) == ("q", 60_000_000, 5_000_000)
    assert (delta.overlap, delta.jitter, delta.catch_up) == ("skip", 2_000_000, "none")


def test_periodic_stands_above_or_below_task_and_more_than_once() -> None:
    app = Duly("tasks")

    @app.periodic(every(10), name="a")
    @app.periodic(every(20))
    @app.task
    def above() -> None: ...

    @app.task(name="low")
    @app.periodic(cron("0 * * * *"), tz="Asia/Tokyo", overlap="queue")
    def below() -> None: ...

    found = {one.name: one for one in app.declared_schedules()}
    assert {name: one.task for name, one in found.items()} == {
        "a": "test_periodic.above", "test_periodic.above": "test_periodic.above", "low": "low",
    }  # fmt: skip
    assert rule_of(found["low"].rule).tz == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"schedule": 3}, r"\['x'\] needs the key 'task'"),
        ({"task": ADD}, "needs the key 'schedule'"),
        ({"task": ADD, "schedule": 3, "ags": (1, 2)}, "no key 'ags'; did you mean 'args'"),
        ({"task": ADD, "schedule": 3, "args": (1,)}, "missing a required argument: 'y'"),
        ({"task": ADD, "schedule": "daily", "args": (1, 2)}, "schedule='daily' is not a schedule"),
        ({"task": ADD, "schedule": 3, "args": "ab"}, "args='ab'"),
        ({"task": ADD, "schedule": 3, "args": (1, 2), "options": {"eta": 3}}, "option 'eta' makes one call"),
        ({"task": ADD, "schedule": 3, "args": (1, 2), "options": {"quue": "q"}}, "'quue'; did you mean 'queue'"),
        ({"task": ADD, "schedule": 3, "args": (1, 2), "catch_up": "lats"}, "'lats'; did you mean 'last'"),
        ({"task": ADD, "schedule": 3, "args": (1, 2), "jitter": -1}, "jitter=-1"),
        ({"task": ADD, "schedule": 3, "args": (1, 2), "options": {"expires": datetime(2030, 1, 1)}}, "expires="),
        ({"task": ADD, "schedule": crontab(tz="UTC"), "args": (1, 2), "tz": "Asia/Tokyo"}, "give one of them"),
        ({"task": ADD, "schedule": crontab(), "args": (1, 2), "tz": "Europe/Pariss"}, "did you mean 'Europe/Paris'"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused_in_words(app: Duly, entry: dict[str, Any], message: str) -> None:
    app.conf.beat_schedule = {"x": entry}
    with pytest.raises(ConfigError, match=message) as caught:
        app.declared_schedules()
    assert "'x'" in str(caught.value)


def test_two_of_a_name_and_what_is_no_task_are_refused(app: Duly) -> None:
    app.periodic(every(5), args=(1, 2), name="x")(app.tasks[ADD])
    app.conf.beat_schedule = {"x": {"task": ADD, "schedule": 3, "args": (1, 2)}}
    with pytest.raises(ConfigError, match="two schedules of app tasks are named 'x'"):
        app.declared_schedules()
    app.periodic(every(5))(print)
    with pytest.raises(ConfigError, match=r"no task of app tasks; add @app\.task"):
        app.declared_schedules()


def test_schedules_are_changed_at_run_time(app: Duly) -> None:
    app.schedules.add("hourly", ADD, every(5), (1, 2))
    assert [one.name for one in app.schedules.list()] == ["hourly"]
    after = datetime(2027, 1, 1, tzinfo=UTC)
    times = app.schedules.next("hourly", 2, after)
    assert times == [after + timedelta(seconds=5), after + timedelta(seconds=10)]
    assert str(times[0].tzinfo) == "Europe/Paris"
    assert len(app.schedules.history("hourly")) > 5
    job = app.schedules.run_now("hourly")
    assert job.state == "queued"
    app.schedules.pause("hourly")
    assert app.schedules.get("hourly").paused
    app.schedules.resume("hourly")
    app.schedules.remove("hourly")
    assert app.schedules.list() == []
    app.close()


# -- real processes --------------------------------------------------------------------------------


def start(url: str, notes: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "duly", "-A", "beat_app", "--store", url, *words], cwd=HERE,
        env=os.environ | {"NOTES": str(notes)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_workers_and_beat_together_run_each_occurrence_once(tmp_path: Path, store_url: str) -> None:
    url, notes = store_url, tmp_path / "notes"
    processes = [start(url, notes, "beat"), *(start(url, notes, "worker", "-c", "1") for _ in range(2))]
    store = duly.store.open(url)
    try:
        deadline = time.monotonic() + 30
        while not notes.exists() or len(notes.read_text().splitlines()) < 5:
            assert time.monotonic() < deadline, "the schedule was not followed"
            assert all(process.poll() is None for process in processes)
            time.sleep(0.02)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        statuses = [process.wait(15) for process in processes]
    assert statuses == [0, 0, 0]
    made = store.occurrences("often", 1000)
    jobs = {job.id: job for job in store.jobs(Filter(), limit=1000).jobs}
    assert {one.job for one in made} == set(jobs)
    done = sorted(one.nominal for one in made if jobs[one.job].state == State.SUCCEEDED)
    assert len(done) == len(notes.read_text().splitlines())
    assert done == list(range(done[0], done[-1] + 1, 500_000))
    assert all(jobs[one.job].due == one.nominal for one in made)
    assert store.schedules()[0].owner == "beat_app"
    store.close()
