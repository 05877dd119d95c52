"""``duly relay`` on RabbitMQ, beside queues as Celery uses them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.relay.kit import Fleet
from tests.relay.rabbit import Hands, call, id_of
from tests.servers.rabbitmq import RabbitServer

from duly.clock import MICROS
from duly.gateway import wire
from duly.relay.rabbitmq import AmqpForm


@pytest.fixture
def fleet(shared_rabbitmq: RabbitServer, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, shared_rabbitmq.new_vhost()) as fleet:
        yield fleet


@pytest.fixture
def hands(fleet: Fleet) -> Iterator[Hands]:
    with Hands(fleet.broker) as hands:
        hands.declare("celery", "celery.later")
        yield hands


def read(raw: object) -> wire.Message:
    return wire.decode(AmqpForm().envelope(raw))  # type: ignore[arg-type]


def test_a_far_message_is_a_job_until_it_is_put_unchanged_at_its_time(fleet: Fleet, hands: Hands) -> None:
    """As a real Celery wrote it, to the last byte of its properties and body."""
    fleet.relay()
    hands.declare("draft")
    fleet.celery.run(
        "later.apply_async([1, 'ü'], {'a': None}, countdown=9, priority=3, expires=3600, headers={'mine': [1.5, {}]},"
        "queue='draft')"
    )
    (sent,) = hands.take("draft")
    hands.send("celery.later", sent)
    fleet.until(lambda: len(fleet.jobs()) == 1)
    (job,) = fleet.jobs()
    assert hands.waiting("celery.later") == 0
    assert (job.task, job.queue, job.priority) == ("proj.later", "celery.later", 3)
    assert msgspec.json.decode(job.args) == [[1, "ü"], {"a": None}]
    assert fleet.states() == ["scheduled"]
    assert "a message for a broker" in fleet.duly("show", job.id)
    due = read(sent).eta
    assert due is not None
    assert job.due == due
    fleet.until(lambda: hands.waiting("celery") > 0)
    assert time.time() >= due / MICROS
    assert hands.take("celery") == [sent]
    fleet.until(lambda: fleet.states() == ["succeeded"])


def test_what_is_due_soon_or_no_call_goes_straight_on(fleet: Fleet, hands: Hands) -> None:
    strange = call()
    strange = type(strange)(body=b"\x00hello", properties=strange.properties)
    sent = [call("now"), call("soon", 1.5), call("late", -60), strange]
    for raw in sent:
        hands.send("celery.later", raw)
    fleet.relay()
    fleet.until(lambda: hands.waiting("celery") == len(sent))
    assert hands.take("celery") == sent
    assert fleet.jobs() == []


def test_what_is_changed_in_the_job_is_changed_in_the_message(fleet: Fleet, hands: Hands) -> None:
    """A message that comes sooner than it says would be held by Celery's worker until then."""
    for id in ("sooner", "other", "cancelled"):
        hands.send("celery.later", call(id, 600, args=b'[[1],{"a":2}]', headers={"mine": "kept"}))
    fleet.relay()
    fleet.until(lambda: len(fleet.jobs()) == 3)
    fleet.duly("cancel", "cancelled")
    fleet.duly("move", "other", "--eta", "now", "--args", "[5]", "--priority", "7")
    fleet.duly("move", "sooner", "--eta", "now")
    fleet.until(lambda: hands.waiting("celery") == 2)
    put = {read(raw).id: read(raw) for raw in hands.take("celery")}
    assert sorted(put) == ["other", "sooner"]
    assert all(message.eta and message.eta <= time.time() * MICROS for message in put.values())
    assert put["sooner"].args == b'[[1],{"a":2}]'
    assert put["other"].args.startswith(b"[[5],")
    assert put["other"].priority == 7
    assert all(message.headers == {"mine": "kept"} for message in put.values())


def test_a_message_whose_queue_is_not_there_waits_for_it(fleet: Fleet, hands: Hands) -> None:
    hands.channel.queue_delete("celery")
    hands.send("celery.later", call("near"))
    hands.send("celery.later", call("far", 3))
    fleet.relay()
    fleet.until(lambda: fleet.log().count("there is no queue 'celery'") >= 2)
    hands.declare("celery")
    fleet.until(lambda: hands.waiting("celery") == 2)
    assert sorted(map(id_of, hands.take("celery"))) == ["far", "near"]


def test_the_same_id_twice(fleet: Fleet, hands: Hands) -> None:
    """A message that comes twice is one; a retry, and another call under the same id, are others."""
    fleet.relay()
    first = call("x", 600)
    for raw in (first, first, call("x", 605, retries=1), call("x", 610), first):
        hands.send("celery.later", raw)
    fleet.until(lambda: len(fleet.jobs()) == 3 and hands.waiting("celery.later") == 0)
    fleet.duly("move", "--queue", "celery.later", "--eta", "now", "--yes")
    fleet.until(lambda: hands.waiting("celery") == 3)
    assert len(fleet.jobs()) == 3


def test_two_relays_and_a_broker_that_restarts(tmp_path: Path) -> None:
    with RabbitServer(tmp_path / "broker") as broker, Fleet(tmp_path, broker.url()) as fleet:
        ids = [f"job{number:02}" for number in range(60)]
        with Hands(fleet.broker) as hands:
            hands.declare("celery", "celery.later")
            fleet.relay()
            fleet.relay(wait=False)
            for number, id in enumerate(ids):
                hands.send("celery.later", call(id, 4 + number / 20))
        broker.restart()
        with Hands(fleet.broker) as hands:
            fleet.until(lambda: hands.waiting("celery") >= len(ids))
            fleet.until(lambda: set(fleet.states()) == {"succeeded"})
            assert sorted(map(id_of, hands.take("celery"))) == ids
