"""``duly dashboard`` and ``duly up`` as processes: what they print, refuse, and leave behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from web_kit import Client, wait_for

TASKS = """
from duly import Duly
app = Duly("shop")

@app.task
def add(x: int, y: int) -> int:
    return x + y
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``duly`` in a folder with an app; whatever still runs at the end is killed."""
    (tmp_path / "shop.py").write_text(TASKS)
    running: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, **environment: str) -> subprocess.Popen[bytes]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        with open(tmp_path / f"out{len(running)}", "wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "duly", *words], cwd=tmp_path, env={**outside, **environment}, stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def said(tmp_path: Path, n: int = 0) -> str:
    return (tmp_path / f"out{n}").read_text()


def address(tmp_path: Path) -> str:
    found = wait_for(lambda: re.search(r"Dashboard: (http://\S+)/", said(tmp_path)), 40)
    return str(found[1])


def test_a_dashboard_is_served_until_it_is_told_to_end(start: Start, tmp_path: Path) -> None:
    process = start("-A", "shop", "dashboard", "--port", "0")
    assert Client(address(tmp_path)).get("/").status == 200
    assert "nobody is asked who they are" in said(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) in (0, -signal.SIGTERM)
    assert "Traceback" not in said(tmp_path)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("dashboard", "--host", "0.0.0.0"), "nobody would be asked who they are"),
        (("dashboard", "--users", "none"), "No such file"),
        (("dashboard", "--port", "70000"), "70000"),
        (("dashboard", "--user-header", "X-User"), "--allow-host"),
        (("dashboard", "--host", "203.0.113.1", "--users", "users"), "cannot listen on 203.0.113.1"),
        (("up", "-D"), "up stays in the foreground"),
        (("dashbord",), "Did you mean 'dashboard'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    start: Start, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "users").write_text("ann:read:scrypt$00$00\n")
    process = start("-A", "shop", *words)
    assert process.wait(40) != 0
    assert complaint in said(tmp_path).replace("\n", " ")
    assert "Traceback" not in said(tmp_path)


def test_a_store_that_is_not_there_is_not_made_by_looking(start: Start, tmp_path: Path) -> None:
    process = start("--store", f"sqlite:///{tmp_path}/none.db", "dashboard", "--port", "0")
    assert process.wait(40) == 74
    assert not (tmp_path / "none.db").exists()


def test_up_runs_a_worker_and_a_dashboard_and_ends_both(start: Start, tmp_path: Path) -> None:
    process = start("-A", "shop", "up", "-c", "1", "--port", "0")
    client = Client(address(tmp_path))
    wait_for(lambda: "Ready" in said(tmp_path), 40)
    job = subprocess.run(
        [sys.executable, "-m", "duly", "-A", "shop", "call", "shop.add", "-a", "[1, 2]"], cwd=tmp_path,
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    wait_for(lambda: client.get(f"/api/v1/job?id={job}").json.get("state") == "succeeded", 30)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))


def test_a_dashboard_does_not_outlive_the_worker_that_was_killed(start: Start, tmp_path: Path) -> None:
    process = start("-A", "shop", "up", "-c", "1", "--port", "0")
    address(tmp_path)
    wait_for(lambda: "Ready" in said(tmp_path), 40)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children), 30)
