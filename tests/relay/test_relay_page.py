"""The code of docs/relay.md, as it is printed, with a real Celery on a real RabbitMQ."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.relay.kit import Fleet
from tests.relay.rabbit import Hands
from tests.servers.rabbitmq import RabbitServer

PAGE = (Path(__file__).parents[2] / "docs" / "relay.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"```sh\n(duly .*?)\n```", PAGE)


def test_the_page(shared_rabbitmq: RabbitServer, tmp_path: Path) -> None:
    url, store = shared_rabbitmq.new_vhost(), f"sqlite:///{tmp_path}/relay.db"

    def here(text: str) -> str:
        return text.replace("amqp://guest:guest@localhost:5672//", url).replace("sqlite:////var/lib/relay.db", store)

    def words(command: str) -> tuple[str, ...]:
        """The options of a ``duly relay`` of the page, without those that the kit gives."""
        return tuple(shlex.split(here(command).partition(url)[2]))

    relay, jobs, with_results = COMMANDS
    assert words(relay) == ("-Q", "celery")
    with Fleet(tmp_path, url, here(FILES["proj.py"])) as fleet, Hands(url) as hands:
        fleet.worker()
        fleet.celery.run(FILES["client.py"])
        assert hands.waiting("celery.later") == 1
        fleet.relay(*words(with_results))
        fleet.until(lambda: [job.task for job in fleet.jobs()] == ["proj.attend"])
        assert "proj.attend" in fleet.duly(*shlex.split(here(jobs))[3:])
        for name in ("tasks.py", "call.py"):
            (tmp_path / name).write_text(here(FILES[name]))
        done = subprocess.run(
            [sys.executable, "call.py"], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
        )
        assert done.stdout == "attended ISC2\n", done.stderr
        (fleet.celery.folder / "celeryconfig.py").write_text(FILES["celeryconfig.py"])
        fleet.celery.run(
            "bare = Celery('bare', broker=app.conf.broker_url); bare.config_from_object('celeryconfig');"
            "bare.send_task('proj.attend', ['routed'], countdown=3600)"
        )
        fleet.until(lambda: len(fleet.jobs()) == 3)
