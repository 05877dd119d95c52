"""``celery.contrib``: the testing fixtures as Celery's documentation uses them, and abortable tasks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from duly.celery import Celery, states
from duly.celery.contrib.abortable import ABORTED, AbortableTask
from duly.celery.contrib.testing.app import TestApp
from duly.celery.contrib.testing.worker import start_worker
from duly.worker.interrupt import exception_for

SUITE = """
import pytest
from celery import shared_task
from celery.contrib.testing.tasks import ping

@shared_task
def double(x):
    return 2 * x

@pytest.fixture(scope="session")
def celery_config():
    return {"timezone": "Europe/Berlin"}

def test_a_task_of_the_test(celery_app, celery_worker):
    @celery_app.task
    def mul(x, y):
        return x * y

    celery_worker.reload()
    assert mul.delay(4, 4).get(timeout=10) == 16
    assert double.delay(3).get(timeout=10) == 6
    assert celery_app.conf.timezone == "Europe/Berlin"
    assert ping.delay().get(timeout=10) == "pong"

@pytest.mark.celery(task_default_queue="other")
def test_settings_by_a_mark(celery_app):
    assert celery_app.conf.task_default_queue == "other"

def test_one_for_all(celery_session_app, celery_session_worker):
    @celery_session_app.task
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError):
        fail.delay().get(timeout=10)
"""


def test_the_fixtures_of_celery(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import duly.celery\nduly.celery.install()\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "duly.celery.contrib.pytest", "-W", "error"],
        cwd=tmp_path, env=os.environ | {"PYTEST_ADDOPTS": ""}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.fixture
def app() -> Any:
    with TestApp("tested") as app:
        yield app


def test_abort_lets_a_task_end_by_itself(app: Celery) -> None:
    began, aborted = threading.Event(), threading.Event()

    @app.task(bind=True, base=AbortableTask)
    def convert(self: AbortableTask[..., Any]) -> str:
        began.set()
        aborted.wait(10)
        return "stopped" if self.is_aborted() else "done"

    with start_worker(app):
        job: Any = convert.delay()  # as Celery gives it: one that can be aborted
        began.wait(10)
        assert not job.is_aborted()
        job.abort()
        assert job.state == ABORTED
        assert job.is_aborted()
        aborted.set()
        assert job.get(timeout=10) == "stopped"
        assert job.state == states.SUCCESS
    waiting: Any = convert.AsyncResult(convert.apply_async(countdown=60).id)  # type: ignore[attr-defined]
    waiting.abort()
    assert waiting.state == states.REVOKED
    assert not convert.is_aborted()  # type: ignore[attr-defined]


def test_cancelling_interrupts_any_other_task(app: Celery) -> None:
    began = threading.Event()

    @app.task
    def spin() -> None:
        began.set()
        while True:
            pass

    with start_worker(app):
        job = spin.delay()
        began.wait(10)
        job.revoke()
        with pytest.raises(type(exception_for("cancel"))):
            job.get(timeout=10)


def test_a_task_that_does_not_return_is_said(app: Celery) -> None:
    began, end = threading.Event(), threading.Event()

    @app.task
    def stay() -> None:
        began.set()
        end.wait(30)

    worker = start_worker(app, shutdown_timeout=0.2)
    worker.__enter__()
    stay.delay()
    began.wait(10)
    with pytest.raises(TimeoutError, match=r"has not returned within 0\.2 s"):
        worker.__exit__(None, None, None)
    end.set()
