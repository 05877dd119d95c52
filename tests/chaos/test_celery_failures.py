"""How Celery fails where duly does not (``test_two_failures.py``): ``make test-celery``.

*eta demo*: on Redis, kombu gives a message that has been held unacknowledged for longer than ``visibility_timeout``
to somebody else, and a worker holds a job with an eta unacknowledged until then. With the defaults it looks for such
messages every 100 s (``unacked_restore_interval`` times ``unacked_restore_throttle``), and the timeout is an hour.

*webinars*: RabbitMQ closes the channel of a consumer that has not acknowledged for ``consumer_timeout`` (30 minutes;
it looks every ``channel_tick_interval``, a minute), and Celery's worker ends with that.

Here all of these are made short, so that the same happens in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers.celery import CeleryProgram
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.celery, pytest.mark.timeout(180)]

PATIENCE = 3  # seconds that the broker waits for an acknowledgement
AHEAD = 15  # seconds

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
"""


class Demo(CeleryProgram):
    """A Celery worker on a broker, and one job with an eta."""

    def __init__(self, folder: Path, broker: str) -> None:
        self._notes = folder / "notes"
        super().__init__(folder, _APP, {"DEMO_BROKER": broker, "DEMO_NOTES": str(self._notes)})
        self.worker = self.start("worker", "-c", "2", "-l", "WARNING")

    def send(self) -> str:
        """Send the job, due in AHEAD seconds; gives its id."""
        return self.run(
            f"print(eta_test.apply_async(countdown={AHEAD}).id); later.apply_async(countdown={AHEAD + 3})"
        ).strip()

    def notes(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []


def until(what: Callable[[], bool], patience: float) -> None:
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, f"did not happen within {patience} s"
        time.sleep(0.05)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis server of our own; its URL."""
    with RedisServer(tmp_path / "redis") as server:
        yield server.url()


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[str]:
    """A RabbitMQ server of our own, with little patience; its URL."""
    settings = {"consumer_timeout": str(PATIENCE * 1000), "channel_tick_interval": "1000"}
    with RabbitServer(tmp_path / "rabbitmq", settings) as server:
        yield server.url()


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
