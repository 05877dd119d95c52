"""A Celery project with two lines more: what it publishes far ahead goes to the relay, retries included."""

from __future__ import annotations

from pathlib import Path

from tests.relay.kit import PROJECT, Fleet
from tests.relay.rabbit import Hands
from tests.servers.rabbitmq import RabbitServer

TEXT = (
    PROJECT.replace('app.conf.task_routes = {"proj.later": {"queue": "celery.later"}}\n', "").replace(
        "\ndef note", "\nfrom duly.contrib.celery import use_relay\nuse_relay(app)\n\ndef note"
    )
    + """
@app.task(bind=True)
def again(self):
    if self.request.retries == 0:
        raise self.retry(countdown=3600)
    note(
        id=self.request.id, args=[], kwargs={}, eta=self.request.eta, expires=None, headers=None,
        queue=self.request.delivery_info["routing_key"], priority=0, retries=self.request.retries,
    )
"""
)


def test_what_is_far_ahead_goes_to_the_relay_and_the_rest_does_not(
    shared_rabbitmq: RabbitServer, tmp_path: Path
) -> None:
    assert "use_relay(app)" in TEXT
    assert "celery.later" not in TEXT
    with Fleet(tmp_path, shared_rabbitmq.new_vhost(), TEXT) as fleet, Hands(fleet.broker) as hands:
        hands.declare("celery")
        fleet.celery.run(
            "later.apply_async(['near'], countdown=2); later.delay('now');"
            "later.apply_async(['far'], countdown=3600);"
            "app.send_task('proj.later', ['other'], countdown=3600, queue='other');"
            "(later.si('step') | later.si('last')).apply_async(countdown=3600)",
        )
        assert hands.waiting("celery") == 2
        assert hands.waiting("celery.later") == 2
        assert hands.waiting("other.later") == 1


def test_a_retry_far_ahead_waits_in_the_store(shared_rabbitmq: RabbitServer, tmp_path: Path) -> None:
    with Fleet(tmp_path, shared_rabbitmq.new_vhost(), TEXT) as fleet:
        fleet.worker()
        fleet.relay()
        id = fleet.celery.run("print(again.delay().id)").strip()
        fleet.until(lambda: [job.id for job in fleet.jobs()] == [f"{id}.retry1"])
        fleet.duly("move", f"{id}.retry1", "--eta", "now")
        fleet.until(lambda: fleet.runs(id) == 1)
        (note,) = fleet.notes()
        assert (note.retries, note.queue) == (1, "celery")
