"""The door to RabbitMQ, with a real one behind it: what comes in, and what becomes of it when things break."""

from __future__ import annotations

from collections.abc import Callable

import pika
from gateway_kit import jobs, taking, until
from tests.servers.celery import CeleryProgram
from tests.servers.rabbitmq import RabbitServer

from duly import Duly
from duly.gateway.amqp import AmqpDoor


def test_calls_of_a_celery_client_become_jobs(
    shared_rabbitmq: RabbitServer, celery: CeleryProgram, queue: str, store_of: Callable[[str], str]
) -> None:
    app = Duly("proj", store=store_of("sqlite"))

    @app.task(name="proj.add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    with taking(app, AmqpDoor([shared_rabbitmq.url()], [queue])):
        celery.run(f"""
for i in range(3): add.apply_async((i,), {{"y": 1}}, queue="{queue}", priority=i, headers={{"who": "me"}})
add.apply_async((7,), queue="{queue}", countdown=3600, expires=7200, task_id="later")
note.apply_async((b"1",), queue="{queue}", serializer="pickle", task_id="pickled")
""")
        until(lambda: len(jobs(app, queue)) == 5, "five jobs")
        until(lambda: not any(shared_rabbitmq.queues()[queue].values()), "all acknowledged")
    found = {job.id: job for job in jobs(app, queue)}
    assert found["later"].state_name(app.now()) == "scheduled"
    assert (
        found["later"].expires == found["later"].due + 3600_000_000
        or abs(
            found["later"].expires - found["later"].due - 3600_000_000  # type: ignore[operator]
        )
        < 1_000_000
    )
    assert sorted(job.priority for job in found.values() if job.task == "proj.add") == [0, 0, 1, 2]
    unreadable = next(job for job in found.values() if job.task == "duly.unreadable")
    assert b"not in accept_content" in unreadable.args


def test_what_is_no_message_of_celerys_is_kept_with_its_bytes(
    shared_rabbitmq: RabbitServer, queue: str, store_of: Callable[[str], str]
) -> None:
    app = Duly("proj", store=store_of("sqlite"))
    with taking(app, AmqpDoor([shared_rabbitmq.url()], [queue])):
        connection = pika.BlockingConnection(pika.URLParameters(shared_rabbitmq.url()))
        until(lambda: queue in shared_rabbitmq.queues(), "the door has declared its queue")
        connection.channel().basic_publish("", queue, b"\xff\x00 nonsense", pika.BasicProperties(headers={"a": 1}))
        until(lambda: len(jobs(app, queue)) == 1, "one job")
        connection.close()
    (job,) = jobs(app, queue)
    assert job.task == "duly.unreadable"
