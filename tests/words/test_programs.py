"""The programs of examples/, as written for duly and as written for Celery: what they print, with a real worker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import worker_run
from tests.waiting import eventually

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CELERY = {"DULY_AS_CELERY": "1"}


def folder(tmp_path: Path, name: str) -> Path:
    place = tmp_path / "program"
    shutil.copytree(EXAMPLES / name, place, ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    return place


def run(place: Path, *words: str, **env: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *words], cwd=place, env=worker_run.environment(place, **env), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


FIRST = [
    "asked for 4 + 4: 8",
    "ready: True state: {}",
    "the same, found again by its id: 8",
    "divided by zero: ZeroDivisionError('division by zero') state: {}",
    "its traceback ends: ZeroDivisionError: division by zero",
    "mails: ['sent to ada', 'sent to grace', 'sent to mary']",
]


def filled(lines: list[str], *states: str) -> list[str]:
    rest = iter(states)
    return [line.format(next(rest)) if "{}" in line else line for line in lines]


def test_first_steps(tmp_path: Path) -> None:
    place = folder(tmp_path, "first_steps")
    with worker_run.worker(place, "-A", "duly_tasks", "worker", "-c", "1"):
        assert run(place, "duly_tasks.py") == filled(FIRST, "succeeded", "failed")


def test_first_steps_as_celery(tmp_path: Path) -> None:
    place = folder(tmp_path, "first_steps")
    with worker_run.worker(place, "--as-celery", "-A", "celery_tasks", "worker", "-c", "1"):
        assert run(place, "celery_tasks.py", **CELERY) == filled(FIRST, "SUCCESS", "FAILURE")


STARTED = [
    "2 + 2: 4",
    "called as a function: 4",
    "in its queue: 15",
    "by its route: 20",
    "chained: 32",
    "a sum: 6",
    "refused or failed: TypeError",
    "not propagated: {} True False",
]


def test_getting_started(tmp_path: Path) -> None:
    place = folder(tmp_path, "getting_started/as_duly")
    with worker_run.worker(
        place, "-A", "proj.app", "worker", "-Q", "default,low-priority", "-c", "1", "-l", "INFO"
    ) as log:
        assert run(place, "use.py") == filled(STARTED, "ValueError")
        assert "adding 2 and 2" in log.read_text()


def test_getting_started_as_celery(tmp_path: Path) -> None:
    place = folder(tmp_path, "getting_started/as_celery")
    words = ("--as-celery", "-A", "proj", "worker", "--loglevel=INFO", "-Q", "celery,low-priority", "-c", "1")
    with worker_run.worker(place, *words) as log:
        assert run(place, "use.py", **CELERY) == filled(STARTED, "TypeError")
        assert "adding 2 and 2" in log.read_text()
    assert run(place, "-m", "celeryconfig") == []
    listed = run(place, "-m", "celery", "-A", "proj", "jobs", "--json", **CELERY)
    assert len(listed) == 7  # one was forgotten


def test_eta_demo(tmp_path: Path) -> None:
    place = folder(tmp_path, "eta_demo")
    with worker_run.worker(place, "-A", "duly_demo", "worker", "-c", "1"):
        lines = run(place, "duly_demo.py", "2.5")
    assert lines[0].endswith("state scheduled")
    assert lines[1:] == ["ran at its time: True", "runs: 1"]


def test_eta_demo_as_celery(tmp_path: Path) -> None:
    place = folder(tmp_path, "eta_demo")
    with worker_run.worker(place, "--as-celery", "-A", "celery_demo", "worker", "-c", "1"):
        lines = run(place, "celery_demo.py", "2.5", **CELERY)
    assert lines[0].endswith("state PENDING")
    assert lines[1:] == ["ran at its time: True", "runs: 1"]


TOLD = [f"{reader}: {title}" for reader in ("ada", "grace") for title in ("Closed", "New book", "Open day")]


def test_crawl_and_notify(tmp_path: Path) -> None:
    place = folder(tmp_path, "crawl_and_notify")
    with worker_run.worker(place, "-A", "duly_crawl", "worker", "-c", "2"):
        assert run(place, "duly_crawl.py") == [*TOLD, "the long crawl has ended: False"]


def test_crawl_and_notify_as_celery(tmp_path: Path) -> None:
    place = folder(tmp_path, "crawl_and_notify")
    words = ("--as-celery", "-A", "celery_crawl", "worker", "-Q", "crawl_tasks,notify_tasks", "-c", "2")
    with worker_run.worker(place, *words):
        assert run(place, "celery_crawl.py", **CELERY) == [*TOLD, "the long crawl has ended: False"]


def webinars(place: Path, seconds: float) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=seconds)
    later = datetime.now(UTC) + timedelta(hours=23)
    events = [("w1", "Threats of today", soon), ("w2", "Cloud audits", later)]
    text = json.dumps([{"id": id, "title": title, "start": start.isoformat()} for id, title, start in events])
    (place / "webinars.json").write_text(text)


def attended(place: Path) -> str:
    file = place / "attended.txt"
    return file.read_text() if file.exists() else ""


def test_webinar_poll(tmp_path: Path) -> None:
    place = folder(tmp_path, "webinar_poll")
    webinars(place, 3)
    with worker_run.worker(place, "-A", "duly_poll", "worker", "-c", "1"):
        assert run(place, "duly_poll.py") == ["found 2", "and again 2"]
        eventually(lambda: attended(place))
    assert attended(place) == "Threats of today\n"
    assert "read the calendar" in "".join(
        run(place, "-m", "duly", "-A", "duly_poll", "schedule", "list", COLUMNS="200")
    )
    words = ("jobs", "--json", "--state", "scheduled", "--task", "*attend")
    [waiting] = run(place, "-m", "duly", "-A", "duly_poll", *words)
    assert "Cloud audits" in waiting


def test_webinar_poll_as_celery(tmp_path: Path) -> None:
    place = folder(tmp_path, "webinar_poll")
    webinars(place, 3)
    with worker_run.worker(place, "--as-celery", "-A", "celery_poll", "worker", "-c", "1"):
        assert run(place, "celery_poll.py", **CELERY) == ["found 2", "and again 2"]
        eventually(lambda: attended(place))
    assert attended(place) == "Threats of today\n"
    celery = ("-m", "celery", "-A", "celery_poll")
    assert "read the calendar" in "".join(run(place, *celery, "schedule", "list", COLUMNS="200", **CELERY))
    assert run(place, *celery, "show", "webinar-w2", **CELERY)
