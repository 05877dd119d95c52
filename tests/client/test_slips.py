"""Slips of the pen that are no errors yet: said in the log, or refused where nobody would look."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from duly import ConfigError, Duly, EncodeError, JobCancelled, call
from duly.schedules import every


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock is Tokyo's, and nothing was said yet."""
    monkeypatch.setattr(call, "_zone_was_said", False)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.usefixtures("tokyo")
def test_a_naive_eta_in_another_zone_is_warned_of_once(app: Duly, caplog: pytest.LogCaptureFixture) -> None:
    @app.task
    def add() -> None: ...

    tomorrow = datetime(2030, 1, 2, 9, 0)
    add.apply_async(eta=tomorrow)
    add.apply_async(eta=tomorrow)
    [warning] = said(caplog)
    assert "eta=2030-01-02 09:00:00 has no time zone and is read in the app's, UTC" in warning
    assert "2030-01-02 09:00:00+00:00" in warning


@pytest.mark.usefixtures("tokyo")
def test_no_warning_when_nothing_can_be_misread(app: Duly, caplog: pytest.LogCaptureFixture) -> None:
    @app.task
    def add() -> None: ...

    add.apply_async(eta=datetime.now(UTC) + timedelta(days=1))
    add.apply_async(countdown=3)
    app.conf.timezone = "Asia/Tokyo"
    add.apply_async(eta=datetime(2030, 1, 2, 9, 0))
    assert said(caplog) == []


def test_send_task_warns_of_a_name_that_is_nearly_one(app: Duly, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="tasks.add")
    def add() -> None: ...

    for _ in range(2):
        assert app.send_task("tasks.ad").state == "queued"
    app.send_task("billing.invoice")
    app.send_task("tasks.add")
    [warning] = said(caplog)
    assert "no task 'tasks.ad' in app shop; did you mean 'tasks.add'?" in warning


def test_a_module_whose_tasks_are_known_has_no_others(app: Duly, caplog: pytest.LogCaptureFixture) -> None:
    @app.task
    def add() -> None: ...

    app.send_task(f"{__name__}.invoice")
    assert len(said(caplog)) == 1


def test_schedules_refuse_such_names(app: Duly) -> None:
    @app.task(name="tasks.add")
    def add() -> None: ...

    with pytest.raises(ConfigError, match=r"schedule 'n': no task 'tasks.ad'.*did you mean 'tasks.add'"):
        app.schedules.add("n", "tasks.ad", every(5))
    app.schedules.add("other", "billing.invoice", every(5))
    app.conf.beat_schedule = {"m": {"task": "tasks.ad", "schedule": 5}}
    with pytest.raises(ConfigError, match=r"schedule 'm': no task 'tasks.ad'"):
        app.check()


def test_arguments_and_timeouts_of_the_wrong_kind_are_named(app: Duly) -> None:
    @app.task
    def add(x: object) -> None: ...

    for args in (4, "abc"):
        for call_it in (lambda a=args: add.apply_async(a), lambda a=args: app.send_task("other", a)):
            with pytest.raises(TypeError, match=r"args=.*expected a list or tuple.*\(x,\)"):
                call_it()
    with pytest.raises(TypeError, match="kwargs=4: expected a dict"):
        add.apply_async((1,), 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout='x': expected a number of seconds"):
        add.delay(1).get(timeout="x")  # type: ignore[arg-type]


def test_what_contains_itself_is_told_in_a_line(app: Duly) -> None:
    @app.task
    def add(x: object) -> None: ...

    knot: list[object] = []
    knot.append(knot)
    with pytest.raises(EncodeError, match="contains itself") as told:
        add.delay(knot)
    assert len(str(told.value)) < 150


def test_a_cancelled_job_says_so_once(app: Duly) -> None:
    found = app.send_task("other")
    found.cancel()
    with pytest.raises(JobCancelled) as told:
        found.get()
    assert str(told.value) == f"job {found.id} was cancelled"
