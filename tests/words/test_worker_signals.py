"""The signals of a worker's life, from real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import worker_run
from tests.waiting import eventually

APP = """
import logging, os
from duly import Duly, signals

app = Duly("signalled", store="sqlite:///jobs.db")
app.conf.worker_concurrency = 2
app.conf.worker_max_lost = 1

def note(text):
    with open("notes", "a") as file:
        file.write(f"{text} {os.getpid()}\\n")

for name in ("celeryd_init", "celeryd_after_setup", "worker_init", "worker_ready", "worker_process_init",
             "worker_process_shutdown", "worker_shutting_down", "worker_shutdown", "import_modules"):
    signals.ALL[name].connect(lambda signal, sender, **told: note(f"{signal.name} {getattr(sender, 'name', sender)}"))

@signals.worker_ready.connect
def hello(sender, **_):
    sender.app.send_task("signalled.greet")

@app.task
def greet():
    note("greeted task")

@app.task
def die():
    os._exit(1)
"""

LOGGING = """
import logging
from duly import Duly, signals

app = Duly("logged", store="sqlite:///jobs.db")

@signals.setup_logging.connect
def configure(loglevel, format, **_):
    assert isinstance(loglevel, int)
    logging.basicConfig(filename="own.log", level=loglevel, format="MINE %(message)s", force=True)

@app.task
def speak():
    logging.getLogger(__name__).info("spoken")
"""


def test_what_a_worker_says_in_its_life(tmp_path: Path) -> None:
    (tmp_path / "signalled.py").write_text(APP)
    notes = tmp_path / "notes"

    def told() -> list[str]:
        return [line.rsplit(" ", 1)[0] for line in notes.read_text().splitlines()] if notes.exists() else []

    with worker_run.worker(tmp_path, "-A", "signalled", "worker", "-n", "w1"):
        eventually(lambda: "greeted task" in told())
        run = worker_run.environment(tmp_path)
        subprocess.run(
            [sys.executable, "-c", "from signalled import die; die.apply_async(max_retries=0)"],
            cwd=tmp_path, env=run, check=True,
        )  # fmt: skip
        eventually(lambda: told().count("worker_process_init None") >= 3)  # two, and one after a death
    lines = [line.partition("@")[0] for line in told()]
    once = ["celeryd_init w1", "celeryd_after_setup w1", "worker_init w1", "worker_ready w1"]
    assert [line for line in lines if line in once] == once
    assert lines.index("worker_init w1") < lines.index("worker_process_init None") < lines.index("worker_ready w1")
    assert lines.count("worker_shutting_down w1") == 1
    assert lines.count("worker_shutdown w1") == 1
    assert lines.count("worker_process_shutdown None") == 2  # the one that died said nothing
    assert lines[0] == "import_modules signalled"


def test_a_program_may_set_up_logging_itself(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(LOGGING)
    own = tmp_path / "own.log"
    with worker_run.worker(tmp_path, "-A", "logged", "worker", "-c", "1", "-l", "INFO") as log:
        eventually(own.exists)
        subprocess.run(
            [sys.executable, "-c", "from logged import speak; speak.delay()"],
            cwd=tmp_path, env=worker_run.environment(tmp_path), check=True,
        )  # fmt: skip
        eventually(lambda: "MINE spoken" in own.read_text())
        assert "spoken" not in log.read_text()
