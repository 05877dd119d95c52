"""The verbs that need an app, and a real worker under them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Duly, Ran
from duly.job import Filter
from duly.store.contract import Store

TASKS = '''
import logging
import time
from datetime import datetime, timedelta
from duly import Duly

app = Duly("shop", timezone="Europe/Berlin")
app.conf.beat_schedule = {"hourly": {"task": "shop.add", "schedule": timedelta(hours=1), "args": [1]}}

@app.task
def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y

@app.task(bind=True, queue="crawl", priority=4, time_limit=60)
def nap(self, seconds: float) -> str:
    self.progress(1, 2, "half way")
    time.sleep(seconds)
    return "slept"

@app.task(max_retries=0)
def fail(what: str) -> None:
    logging.getLogger("shop").warning("about to fail")
    raise ValueError(what)

@app.task
def at(when: datetime) -> str:
    return when.isoformat()
'''


@pytest.fixture
def app(tmp_path: Path) -> str:
    (tmp_path / "shop.py").write_text(TASKS)
    return "shop"


@pytest.fixture
def worker(app: str, tmp_path: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "duly", "-A", app, "worker", "-c", "2", "-P", "threads", "-Q", "default,crawl"]
    with subprocess.Popen(
        words, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


def until_ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("Ready."):
            return lines
    raise AssertionError("\n".join(lines))


def test_tasks_and_config(duly: Duly, app: str, url: str) -> None:
    ran = duly("tasks", "-A", app)
    assert ran.status == 0
    for wanted in ("shop.add(x: int, y: int = 1) -> int", "Add two numbers.", "shop.nap(seconds: float) -> str",
                   "queue crawl, priority 4, time limit 60 s"):  # fmt: skip
        assert wanted in ran.out
    assert [one["name"] for one in duly("-A", app, "tasks", "--json").json] == [
        "shop.add",
        "shop.at",
        "shop.fail",
        "shop.nap",
    ]
    rows = {row["name"]: (row["value"], row["source"]) for row in duly("config", "-A", app, "--json").json}
    assert rows["timezone"] == ("Europe/Berlin", "app")
    assert rows["store"] == (url, "DULY_STORE")
    assert "shop.add" in rows["beat_schedule"][0]["hourly"]
    assert rows["worker_lease"] == (10.0, "default")
    other = duly("config", "-A", app, "--store", "sqlite:///other.db", "--json").json
    assert {"name": "store", "value": "sqlite:///other.db", "source": "--store"} in other
    assert "worker_lease" in duly("config", "-A", app).out


def test_call_checks_the_arguments_and_takes_the_tasks_own_defaults(duly: Duly, app: str, store: Store) -> None:
    ran = duly("call", "-A", app, "shop.nap", "-k", '{"seconds": 1.5}', "--eta", "2030-01-02 09:00")
    [job] = store.jobs(Filter(ids=(ran.out.strip(),))).jobs
    assert (job.queue, job.priority, job.args) == ("crawl", 4, b'[[],{"seconds":1.5}]')
    assert job.due == 1_893_571_200_000_000  # nine in Berlin is eight in UTC
    assert duly("call", "-A", app, "shop.at", "-a", '["2026-01-01T00:00:00"]').status == 0
    for words, wanted in (
        (["shop.add"], "missing a required argument: 'x'"),
        (["shop.add", "-a", '["one"]'], "'x' does not fit its annotation int"),
        (["shop.ad"], "did you mean 'shop.add'?"),
    ):
        ran = duly("call", "-A", app, *words)
        assert ran.status == 2
        assert wanted in ran.err


def test_an_app_that_is_not_there_or_broken_is_told(duly: Duly, app: str, tmp_path: Path) -> None:
    ran = duly("tasks", "-A", "shpo")
    assert ran.status == 2
    assert "did you mean 'shop'?" in ran.err
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "broken.py").write_text("nonsense\n")
    ran = duly("tasks", "-A", "broken", "--workdir", "elsewhere")
    assert ran.status == 2
    assert "NameError: name 'nonsense' is not defined" in ran.err


def test_times_are_shown_in_the_apps_zone(duly: Duly, app: str) -> None:
    job = duly("call", "-A", app, "shop.add", "-a", "[1]", "--eta", "2030-07-02T09:00:00Z").out.strip()
    assert "2030-07-02 11:00:00.000 +02:00" in duly("show", "-A", app, job).out
    assert "2030-07-02 09:00:00.000 +00:00" in duly("show", "-A", app, job, "--tz", "UTC").out


def test_a_worker_from_banner_to_ctrl_c(duly: Duly, app: str, url: str, worker: subprocess.Popen[str]) -> None:
    banner = "\n".join(until_ready(worker))
    for wanted in ("Pool 'threads' is 'thread' here.", "duly 0.", f"pid {worker.pid}", url, "survives",
                   "default, crawl", "thread, 2 at once", ". shop.add"):  # fmt: skip
        assert wanted in banner
    assert max(map(len, banner.splitlines())) <= max(80, len(url) + 10)
    added = called(duly, app, "shop.add", "-a", "[4, 4]")
    failed = called(duly, app, "shop.fail", "-a", '["no \\u001b[31mway"]')
    nap = called(duly, app, "shop.nap", "-a", "[30]", "--priority", "9")
    ran = duly("result", added, "--timeout", "30")
    assert (ran.status, ran.out) == (0, "8\n")
    ran = duly("result", failed, "--timeout", "30", "--traceback")
    assert ran.status == 1
    assert "failed: ValueError: no \\x1b[31mway" in ran.err
    assert "shop.py" in ran.err
    shown = duly("show", failed).out
    assert "about to fail" in shown
    assert "raise ValueError(what)" in shown
    status = duly("status")
    assert status.status == 0
    assert "shop.nap" in status.out
    answer = duly("cancel", nap, "--terminate")
    assert (answer.status, "signalled" in answer.out) == (0, True)
    assert duly("result", nap, "--timeout", "30").err.startswith("cancelled")
    worker.send_signal(signal.SIGINT)
    assert worker.stdout is not None
    worker.stdout.read()
    assert worker.wait(30) == 0
    assert duly("status").status == 69


def called(duly: Duly, app: str, *words: str) -> str:
    ran: Ran = duly("call", "-A", app, *words)
    assert ran.status == 0, ran.err
    return ran.out.strip()
