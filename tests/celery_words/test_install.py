"""``import celery`` resolved to duly: what is found, what is refused and how, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import duly.celery.resolving as resolving

SUBMODULES = [
    "app", "app.base", "app.control", "app.task", "canvas", "contrib", "contrib.abortable", "contrib.testing",
    "contrib.testing.app", "contrib.testing.worker", "contrib.pytest", "exceptions", "result", "schedules", "signals",
    "states", "utils", "utils.log",
]  # fmt: skip


def python(folder: Path, code: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    return subprocess.run(
        [sys.executable, *(words or ("-c", code))], cwd=folder, env={**outside, **env}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def test_every_module_is_one_under_both_names(tmp_path: Path) -> None:
    names = [f"celery.{each}" for each in SUBMODULES] + ["celery", "kombu", "kombu.exceptions"]
    code = f"""
import duly.celery, sys, importlib
duly.celery.install()
duly.celery.install()
for name in {names}:
    module = importlib.import_module(name)
    ours = "duly." + name if name.startswith("celery") else "duly.celery." + name
    assert module is importlib.import_module(ours), name
    assert module.__name__ == ours and module.__spec__.name == ours, module.__spec__
import celery.utils.log
from celery import Celery, shared_task, Task, current_app, current_task
from celery.utils.log import get_task_logger
assert celery.utils.log.get_task_logger is get_task_logger
import celery.app.task
assert celery.app.task.Task is Task
"""
    done = python(tmp_path, code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("celery.bootsteps", "a worker has no bootsteps; the signals"),
        ("celery.backends.redis", "results are in the store"),
        ("celery.worker.control", "there is app.control"),
        ("kombu.mixins", "write a task"),
        ("kombu.serialization", "accept_content"),
        ("celery.nowhere", "docs/from-celery.md lists what there is"),
        ("celery.app.nowhere", "docs/from-celery.md lists what there is"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_what_to_use(tmp_path: Path, module: str, said: str) -> None:
    done = python(tmp_path, f"import duly.celery; duly.celery.install()\nimport {module}")
    assert done.returncode == 1
    assert "NoCounterpart: duly has no " + ".".join(module.split(".")[:2]) in done.stderr
    assert said in done.stderr
    assert "NoCounterpart" in done.stderr
    caught = python(
        tmp_path, f"import duly.celery; duly.celery.install()\ntry:\n import {module}\nexcept ImportError: pass"
    )
    assert caught.returncode == 0, caught.stderr


def test_no_reason_is_given_for_what_there_is() -> None:
    for name in resolving._INSTEAD:
        root, _, rest = name.partition(".")
        assert not resolving._exists(f"{resolving._ROOTS[root]}.{rest}"), name


def test_too_late_is_said(tmp_path: Path) -> None:
    (tmp_path / "celery.py").write_text("VERSION = 5")
    done = python(tmp_path, "import celery, duly.celery; duly.celery.install()")
    assert done.returncode == 1
    assert "comes too late: celery was imported already, from" in done.stderr
    assert "DULY_AS_CELERY=1" in done.stderr


PROGRAM = """
import sys
from celery import Celery
app = Celery("prog", broker="pyamqp://guest@localhost//")

@app.task
def add(x, y):
    return x + y

if __name__ == "__main__":
    if "tasks" in sys.argv:
        app.start()
    print(add.delay(2, 2).status, sys.argv, __file__)
"""


def test_a_program_is_run_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(PROGRAM)
    done = python(tmp_path, "", "-m", "duly.celery", "prog.py", "--x")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "PENDING ['prog.py', '--x'] prog.py\n"
    assert "are not in its broker pyamqp://guest@localhost//" in done.stderr
    done = python(tmp_path, "", "prog.py", DULY_AS_CELERY="1")
    assert done.returncode == 0, done.stderr
    started = python(tmp_path, "", "prog.py", "tasks", DULY_AS_CELERY="1")
    assert started.stdout.startswith("prog.add"), started.stderr
    started = python(tmp_path, "", "-m", "prog", "tasks", DULY_AS_CELERY="1")
    assert started.stdout.startswith("prog.add"), started.stderr
    listed = python(tmp_path, "", "-m", "duly", "--as-celery", "-A", "prog", "jobs", "--json")
    assert '"task":"prog.add"' in listed.stdout, listed.stderr
    listed = python(tmp_path, "", "-m", "duly", "-A", "prog", "jobs", "--json", DULY_AS_CELERY="1")
    assert '"task":"prog.add"' in listed.stdout, listed.stderr
    without = python(tmp_path, "", "-m", "duly", "-A", "prog", "jobs", DULY_AS_CELERY="0")
    assert without.returncode == 2
    assert "No module named 'celery'" in without.stderr
