"""How Celery fails where duly does not (``test_two_failures.py``): ``make test-celery``.

*eta demo*: on Redis, kombu gives a message that has been held unacknowledged for longer than ``visibility_timeout``
to somebody else, and a worker holds a job with an eta unacknowledged until then. With the defaults it looks for such
messages every 100 s (``unacked_restore_interval`` times ``unacked_restore_throttle``), and the timeout is an hour.

*webinars*: RabbitMQ closes the channel of a consumer that has not acknowledged for ``consumer_timeout`` (30 minutes;
it looks every ``channel_tick_interval``, a minute), and Celery's worker ends with that.

Here all of these are made short, so that the same happens in seconds. Needs ``redis-server`` (and for the second test
``rabbitmq-server``) and, in ``DULY_CELERY_PYTHON``, a Python that has ``celery[redis]``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.celery, pytest.mark.timeout(180)]

PATIENCE = 3  # seconds that the broker waits for an acknowledgement
AHEAD = 15  # seconds
_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"

_APP = f"""
import os
from celery import Celery

app = Celery("demo", broker=os.environ["DEMO_BROKER"])
app.conf.broker_connection_retry_on_startup = True
if app.conf.broker_url.startswith("redis"):
    app.conf.broker_transport_options = {{
        "visibility_timeout": {PATIENCE}, "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
    }}

def note(text):
    fd = os.open(os.environ["DEMO_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
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


class Demo:
    """A Celery worker on a broker, and one job with an eta."""

    def __init__(self, folder: Path, broker: str) -> None:
        python = os.environ.get("DULY_CELERY_PYTHON")
        assert python, "DULY_CELERY_PYTHON names no Python with celery[redis]; use make test-celery"
        (folder / "demo.py").write_text(_APP)
        self._notes = folder / "notes"
        self._python = os.path.abspath(python)
        self._folder = folder
        self._environment = os.environ | {"DEMO_BROKER": broker, "DEMO_NOTES": str(self._notes)}
        self.worker = subprocess.Popen(
            [self._python, "-m", "celery", "-A", "demo", "worker", "-c", "2", "-l", "WARNING"],
            cwd=folder,
            env=self._environment,
        )

    def send(self) -> str:
        """Send the job, due in AHEAD seconds; gives its id."""
        made = subprocess.run(
            [self._python, "demo.py"],
            cwd=self._folder,
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return made.stdout.strip()

    def notes(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []

    def close(self) -> None:
        self.worker.terminate()
        self.worker.wait(60)


def until(what: Callable[[], bool], patience: float) -> None:
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, f"did not happen within {patience} s"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis server of our own; its URL."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(port), 10)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[str]:
    """A RabbitMQ server of our own, with little patience; its URL."""
    if not os.path.exists(_RABBITMQ):
        pytest.skip("there is no rabbitmq-server here (apt-get install rabbitmq-server)")
    port, epmd = free_port(), free_port()
    settings = f"[{{rabbit, [{{consumer_timeout, {PATIENCE * 1000}}}, {{channel_tick_interval, 1000}}]}}].\n"
    (tmp_path / "advanced.config").write_text(settings)
    (tmp_path / "plugins").write_text("[].\n")
    environment = os.environ | {
        "HOME": str(tmp_path),
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_NODENAME": f"duly{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_CONFIG_FILE": str(tmp_path / "none"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(tmp_path / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "plugins"),
    }
    with open(tmp_path / "rabbitmq.out", "wb") as output:
        server = subprocess.Popen([_RABBITMQ], env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        until(lambda: answers(port), 60)
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
        subprocess.run(["epmd", "-port", str(epmd), "-kill"], check=False, capture_output=True)


def test_celery_on_redis_runs_a_job_with_an_eta_twice(redis: str, tmp_path: Path) -> None:
    demo = Demo(tmp_path, redis)
    try:
        job = demo.send()
        until(lambda: "later" in demo.notes(), 90)
        ran = demo.notes().count(f"ran {job}")
        assert ran > 1, f"ran {ran} times: this Celery no longer does what docs/surviving.md says of it"
    finally:
        demo.close()


def test_celery_on_rabbitmq_loses_its_worker_over_a_job_with_an_eta(rabbitmq: str, tmp_path: Path) -> None:
    demo = Demo(tmp_path, rabbitmq)
    try:
        demo.send()
        began = time.monotonic()
        status = demo.worker.wait(90)
        assert status != 0
        assert time.monotonic() - began < AHEAD  # before its due
        until(lambda: time.monotonic() > began + AHEAD + 5, 60)
        assert demo.notes() == [], "this Celery no longer does what docs/surviving.md says of it"
    finally:
        demo.close()
