"""``app.sync``: appointments, the report, and two programs at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from duly import Appointment, Duly
from duly.clock import MICROS, from_micros
from duly.errors import TaskNotRegistered
from duly.job import Filter
from duly.testing.clock import START, ManualClock

NOON = from_micros(START) + timedelta(hours=4)


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[Duly]:
    app = Duly("cal", store=f"sqlite:///{tmp_path}/duly.db", timezone="Europe/Berlin", clock=clock)

    @app.task(name="attend", queue="browser", limit_key=lambda event, url="": event[0])
    def attend(event: str, url: str = "") -> None:
        """Nothing."""

    yield app
    app.close()


def test_a_calendar_read_twice_is_one_job_an_event(app: Duly) -> None:
    attend = app.find("attend")
    wanted = {
        "e1": Appointment(attend, ("e1",), eta=NOON, priority=5, headers={"from": "calendar"}, expires=600),
        "e2": Appointment("attend", ("e2",), {"url": "x"}, eta=NOON + timedelta(hours=1)),
    }
    report = app.sync("calendar", wanted)
    assert str(report) == "calendar: 2 created"
    assert report.changed
    assert [answer.key for answer in report] == ["e1", "e2"]
    [job] = app.jobs(Filter(ids=(str(report[0].id),))).jobs
    assert (job.queue, job.priority, job.limit_key) == ("browser", 5, "e")
    assert job.expires == job.due + 600 * MICROS

    wanted["e1"] = Appointment(attend, ("e1",), eta=NOON + timedelta(minutes=5), priority=5,
                               headers={"from": "calendar"}, expires=600)  # fmt: skip
    del wanted["e2"]
    report = app.sync("calendar", wanted)
    assert report.counts == {"moved": 1, "cancelled": 1}
    assert str(report) == "calendar: 1 moved, 1 cancelled"
    assert report.of("cancelled")[0].key == "e2"

    report = app.sync("calendar", wanted)
    assert str(report) == "calendar: 1 unchanged"
    assert not report.changed


def test_a_naive_eta_is_the_apps_and_the_same_instant_is_no_change(app: Duly) -> None:
    local = NOON.astimezone(app.zone).replace(tzinfo=None)
    app.sync("c", {"k": Appointment("attend", ("e",), eta=local)})
    assert str(app.sync("c", {"k": Appointment("attend", ("e",), eta=NOON)})) == "c: 1 unchanged"


def test_an_appointment_has_a_time_of_its_own() -> None:
    for name in ("countdown", "key", "task_id", "on_conflict"):
        with pytest.raises(TypeError, match=f"takes no {name}"):
            Appointment("attend", eta=NOON, **{name: "x"})
    with pytest.raises(TypeError, match="did you mean 'queue'"):
        Appointment("attend", eta=NOON, que="x")


def test_one_wrong_appointment_changes_nothing(app: Duly) -> None:
    good = Appointment("attend", ("e",), eta=NOON)
    wrong: dict[type[Exception], object] = {
        TaskNotRegistered: Appointment("atend", ("e",), eta=NOON),
        ValueError: Appointment("attend", ("e",), eta=NOON, priority=99),
        TypeError: ("attend", NOON),
    }
    for error, appointment in wrong.items():
        with pytest.raises(error):
            app.sync("c", {"a": good, "b": appointment})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="late='maybe'"):
        app.sync("c", {"a": good}, late="maybe")  # type: ignore[arg-type]
    assert app.jobs().jobs == []


RACER = """
import sys
from datetime import UTC, datetime, timedelta
from duly import Appointment, Duly

app = Duly("race", store=sys.argv[1])

@app.task(name="t")
def t(n: int) -> None: ...

eta = datetime(2100, 1, 1, tzinfo=UTC)
me = int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for round in range(12):
    wanted = {str(n): Appointment(t, (n,), eta=eta + timedelta(hours=me * 100 + round)) for n in range(20)}
    report = app.sync("ns", wanted)
    assert sum(report.counts[v] for v in ("created", "moved", "unchanged")) == 20, str(report)
print("done", flush=True)
"""


def test_programs_that_reconcile_at_once_leave_one_job_a_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/race.db"
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, url, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    for program in programs:
        said, _ = program.communicate(timeout=60)
        assert said == "done\n"
        assert program.returncode == 0
    app = Duly("race", store=url)
    jobs = app.jobs(limit=1000).jobs
    assert len(jobs) == 20
    assert {job.args for job in jobs} == {b"[[%d],{}]" % n for n in range(20)}
    assert len({job.due for job in jobs}) == 1  # the last one's hour, and of it alone
    assert from_micros(jobs[0].due) >= datetime(2100, 1, 1, tzinfo=UTC) + timedelta(hours=11)
    app.close()
