"""How Celery fails where duly does not (``test_two_failures.py``): ``make test-celery``.

The eta demo: on Redis, kombu gives a message that has been held unacknowledged for longer than ``visibility_timeout``
to somebody else, and a worker holds a job with an eta unacknowledged until then. With the defaults it looks for such
messages every 100 s (``unacked_restore_interval`` times ``unacked_restore_throttle``), and the timeout is an hour;
here both are made short, so that the same happens in seconds.

Needs ``redis-server`` and, in ``DULY_CELERY_PYTHON``, a Python that has ``celery[redis]``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.celery, pytest.mark.timeout(180)]

VISIBILITY = 3  # seconds
AHEAD = 15  # seconds

_APP = f"""
import os, time
from celery import Celery

app = Celery("demo", broker=os.environ["DEMO_BROKER"])
app.conf.broker_transport_options = {{
    "visibility_timeout": {VISIBILITY}, "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
}}
app.conf.broker_connection_retry_on_startup = True

def note(text):
    fd = os.open(os.environ["DEMO_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (text + chr(10)).encode())
    os.close(fd)

@app.task(bind=True)
def eta_test(self):
    note("ran " + self.request.id)

@app.task
def later():
    note("later")

if __name__ == "__main__":
    print(eta_test.apply_async(countdown={AHEAD}).id)
    later.apply_async(countdown={AHEAD + 3})
"""


def until(what: Callable[[], bool], patience: float) -> None:
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, f"did not happen within {patience} s"
        time.sleep(0.05)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A Redis server of our own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(answers, 10)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def test_celery_on_redis_runs_a_job_with_an_eta_twice(broker: str, tmp_path: Path) -> None:
    python = os.environ.get("DULY_CELERY_PYTHON")
    assert python, "DULY_CELERY_PYTHON names no Python with celery[redis]; use make test-celery"
    (tmp_path / "demo.py").write_text(_APP)
    notes = tmp_path / "notes"
    environment = os.environ | {"DEMO_BROKER": broker, "DEMO_NOTES": str(notes)}
    worker = subprocess.Popen(
        [os.path.abspath(python), "-m", "celery", "-A", "demo", "worker", "-c", "2", "-l", "WARNING"],
        cwd=tmp_path,
        env=environment,
    )
    try:
        made = subprocess.run(
            [os.path.abspath(python), "demo.py"],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        until(lambda: notes.exists() and "later" in notes.read_text().split("\n"), 90)
        ran = notes.read_text().split("\n").count(f"ran {made.stdout.strip()}")
        assert ran > 1, f"ran {ran} times: this Celery no longer does what docs/surviving.md says of it"
    finally:
        worker.terminate()
        worker.wait(60)
