"""What docs/gateways.md shows, with a real RabbitMQ in place of its URL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from gateway_kit import until
from tests.servers.celery import celery_python
from tests.servers.rabbitmq import RabbitServer

from duly import store as stores
from duly.job import Filter

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gateways.md").read_text()


def test_what_the_page_shows(shared_rabbitmq: RabbitServer, tmp_path: Path) -> None:
    files = re.findall(r"```python\n# (\w+\.py).*?\n(.*?)```", PAGE, re.DOTALL)
    for name, text in files:
        (tmp_path / name).write_text(text.replace("amqp://guest:guest@localhost:5672//", shared_rabbitmq.url()))
    worker, gateway = (
        line.split()[1:] for line in re.findall(r"^duly .*$", PAGE, re.MULTILINE) if "-A tasks" in line
    )
    environment = {**os.environ, "DULY_STORE": f"sqlite:///{tmp_path}/duly.db"}
    store = stores.open(environment["DULY_STORE"])
    running = [
        subprocess.Popen([sys.executable, "-m", "duly", *words], cwd=tmp_path, env=environment)
        for words in (worker, gateway)
    ]
    try:
        subprocess.run([celery_python(), "client.py"], cwd=tmp_path, check=True)
        until(lambda: len(store.jobs(Filter()).jobs) == 2, "two jobs")
        until(lambda: any(job.result == b"8" for job in store.jobs(Filter()).jobs), "the result")
        states = {job.state_name(store.now()) for job in store.jobs(Filter()).jobs}
        assert states == {"succeeded", "scheduled"}
    finally:
        for process in running:
            process.terminate()
        for process in running:
            assert process.wait(20) == 0
