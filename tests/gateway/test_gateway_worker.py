"""Whole workers with a broker: a Celery client calls, duly runs, and signals end what they should."""

from __future__ import annotations

import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from gateway_kit import until
from tests.servers.celery import CeleryProgram
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitServer

from duly import Duly
from duly.errors import ConfigError
from duly.gateway.running import Gateways
from duly.job import Filter, State, WorkerInfo

APP = """
import os
from duly import Duly

app = Duly("proj", store=os.environ["STORE"], broker=os.environ["BROKER"])

@app.task
def add(x, y=0):
    return x + y
"""


class Site:
    """A folder with an app of duly's, whose workers serve ``queue``."""

    def __init__(self, folder: Path, store: str, broker: str, queue: str) -> None:
        (folder / "proj.py").write_text(APP)
        self.app = Duly("proj", store=store)
        self.queue = queue
        self.broker = broker
        self._folder = folder
        self._environment = {**os.environ, "STORE": store, "BROKER": broker}
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with open(self._folder / "log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "duly", "-A", "proj", *words, "-Q", self.queue],
                cwd=self._folder, env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        self.running.append(process)
        return process

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def gatekeepers(self, worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
        try:
            children = psutil.Process(worker.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [each for each in children if "gatekeeper" in " ".join(each.cmdline())]

    def succeeded(self) -> int:
        return sum(job.state == State.SUCCEEDED for job in self.app.jobs(Filter(queues=(self.queue,))).jobs)

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        self.app.close()


@pytest.fixture
def site(tmp_path: Path, shared_rabbitmq: RabbitServer, queue: str, store_of: Callable[[str], str]) -> Iterator[Site]:
    made = Site(tmp_path, store_of("sqlite"), shared_rabbitmq.url(), queue)
    yield made
    made.close()


def test_a_worker_runs_what_a_celery_client_calls(site: Site, celery: CeleryProgram) -> None:
    worker = site.start("worker", "-c", "1")
    celery.run(f'for i in range(20): add.apply_async((i, i), queue="{site.queue}")')
    until(lambda: site.succeeded() == 20, "twenty results")
    results = sorted(int(job.result or b"-1") for job in site.app.jobs(Filter(queues=(site.queue,))).jobs)
    assert results == [2 * i for i in range(20)]
    (keeper,) = site.gatekeepers(worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0, site.log()
    assert not keeper.is_running()


def test_a_gateway_that_dies_is_started_again(site: Site, celery: CeleryProgram) -> None:
    worker = site.start("worker", "-c", "1")
    until(lambda: len(site.gatekeepers(worker)) == 1, "a gateway")
    (keeper,) = site.gatekeepers(worker)
    keeper.kill()
    celery.run(f'add.apply_async((1, 1), queue="{site.queue}")')
    until(lambda: site.succeeded() == 1, "the result")
    assert "it is started again" in site.log()


def test_other_queues_are_served_without_a_new_gateway(site: Site, celery: CeleryProgram) -> None:
    """One that came up anew would hear no order meanwhile."""
    worker = site.start("worker", "-c", "1", "-n", "changes")
    node, more = f"changes@{socket.gethostname()}", f"{site.queue}-more"
    until(lambda: node in celery.command("status").stdout, "its answer")
    (keeper,) = site.gatekeepers(worker)
    said = celery.run(f"""
inspect = app.control.inspect(destination=["{node}"], timeout=30, limit=1)
for change in (app.control.add_consumer, app.control.cancel_consumer) * 3 + (app.control.add_consumer,):
    change("{more}", destination=["{node}"])
    print(sum("{node}" in (inspect.ping() or {{}}) for _ in range(5)))
add.apply_async((1, 2), queue="{more}", task_id="{more}")
""")
    assert said.split() == ["5"] * 7, site.log()
    until(lambda: site.app.store.results([more]) != [None], "the job that came through the new queue")
    until(lambda: site.app.jobs(Filter(ids=(more,))).jobs[0].state == State.SUCCEEDED, "its end")
    assert site.gatekeepers(worker) == [keeper]


def test_a_queue_that_cannot_be_served_leaves_the_gateway_as_it_was(site: Site, celery: CeleryProgram) -> None:
    app = site.app
    app.conf.broker_url = site.broker
    gateways = Gateways(app, [site.queue])
    gateways.start()
    app.store.register(WorkerInfo(name="r", host="h", pid=1, queues=("relayed",), pool="relay"), 600_000_000)
    with pytest.raises(ConfigError, match="the relay r@h of the same store serves it"):
        gateways.serve([site.queue, "relayed"])
    celery.run(f'add.apply_async((1, 1), queue="{site.queue}", task_id="{site.queue}")')
    until(lambda: app.store.results([site.queue]) != [None], "the job")
    gateways.close(20)


def test_a_gateway_does_not_outlive_its_worker(site: Site) -> None:
    worker = site.start("worker", "-c", "1")
    until(lambda: len(site.gatekeepers(worker)) == 1, "a gateway")
    (keeper,) = site.gatekeepers(worker)
    worker.kill()
    until(lambda: not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE, "its end")


def test_a_worker_that_is_stopped_as_it_starts_promises_no_new_gateway(site: Site) -> None:
    worker = site.start("worker", "-c", "1")
    until(lambda: len(site.gatekeepers(worker)) == 1, "a gateway")  # it has not got to its handlers of signals
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0, site.log()
    assert "it is started again" not in site.log()


def test_a_broker_that_is_not_there_is_one_line_that_says_why(tmp_path: Path, store_of: Callable[[str], str]) -> None:
    nobody = free_port()
    site = Site(tmp_path, store_of("sqlite"), f"amqp://guest:secret@127.0.0.1:{nobody}//", "default")
    try:
        gateway = site.start("gateway", "-l", "INFO")
        until(lambda: "nothing is taken from" in site.log(), "what is wrong")
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(20) == 0
        (line,) = [line for line in site.log().splitlines() if "refused" in line]
        assert f"nothing is taken from amqp://guest:********@127.0.0.1:{nobody}//" in line
        assert line.endswith("Connection refused")
        assert "Traceback" not in site.log()
    finally:
        site.close()


def test_a_gateway_alone(site: Site, celery: CeleryProgram) -> None:
    gateway = site.start("gateway")
    celery.run(f'add.apply_async((1, 1), queue="{site.queue}", task_id="one")')
    until(lambda: site.app.store.results(["one"]) != [None], "the job")
    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait(20) == 0
    assert f"Taking in {site.queue} from amqp://guest:********@" in site.log()


def test_a_store_that_nobody_chose_is_named(
    shared_rabbitmq: RabbitServer, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.delenv("DULY_STORE", raising=False)
    (tmp_path / "mine.py").write_text(
        f"from duly import Duly\napp = Duly('mine', broker={shared_rabbitmq.url()!r})\n"
    )
    app = runpy.run_path(str(tmp_path / "mine.py"))["app"]
    gateways = Gateways(app, [queue])
    gateways.start()
    gateways.close(20)
    app.close()
    assert f"becomes jobs in sqlite:///{tmp_path}/mine.duly.db, which only workers of this host share" in caplog.text
