"""The webinar that was lost: a job due further ahead than RabbitMQ waits for an acknowledgement.

A real Celery, producer and worker, on a real RabbitMQ whose patience (``consumer_timeout``, half an hour) is made as
short as it gets. Beside it the same fleet, with one line of configuration more and ``duly relay``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.relay.kit import Fleet
from tests.servers.rabbitmq import RabbitServer

PATIENCE = 3  # seconds that the broker waits
AHEAD = 10  # seconds


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RabbitServer]:
    settings = {"consumer_timeout": str(PATIENCE * 1000), "channel_tick_interval": "1000"}
    with RabbitServer(tmp_path / "broker", settings) as server:
        yield server


def test_with_a_relay_it_runs_once_and_at_its_time(broker: RabbitServer, tmp_path: Path) -> None:
    with (
        Fleet(tmp_path / "bare", broker.new_vhost()) as bare,
        Fleet(tmp_path / "relayed", broker.new_vhost()) as fleet,
    ):
        fleet.relay()
        lonely, worker = bare.worker(), fleet.worker()
        lost = bare.celery.run(f"print(later.apply_async(['ISC2'], queue='celery', countdown={AHEAD}).id)").strip()
        id = fleet.celery.run(f"print(later.apply_async(['ISC2'], countdown={AHEAD}, expires=3600).id)").strip()
        fleet.until(lambda: fleet.runs(id) > 0)
        assert lonely.poll() is not None, "this Celery outlives the broker's patience; the test shows nothing"
        assert bare.runs(lost) == 0
        (note,) = fleet.notes()
        assert note.eta is not None
        assert 0 <= note.at - datetime.fromisoformat(note.eta).timestamp() < 5
        assert (note.args, note.queue) == (["ISC2"], "celery")
        assert worker.poll() is None
        assert fleet.states() == ["succeeded"]
        fleet.celery.run("later.apply_async(['after'])")
        fleet.until(lambda: len(fleet.notes()) == 2)
        assert fleet.runs(id) == 1
