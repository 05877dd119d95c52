"""``duly relay`` on RabbitMQ, beside queues as Celery uses them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.relay.kit import Fleet
from tests.relay.rabbit import Hands, call, id_of
from tests.servers.rabbitmq import RabbitServer

from duly import store as stores
from duly.clock import MICROS
from duly.errors import StoreUnavailable
from duly.gateway import wire
from duly.job import Enqueued, Job
from duly.relay.holding import raw_of
from duly.relay.keeping import Keeping
from duly.relay.rabbitmq import AmqpForm, RabbitIntake
from duly.store import Store


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


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_the_same_id_twice(fleet: Fleet, hands: Hands, at_once: bool) -> None:
    """A message that comes twice is one; a retry, and other calls under the same id, are others."""
    if not at_once:
        fleet.relay()
    first, other, retry = call("x", 600), call("x", 610), call("x", 605, retries=1)
    same_due = type(other)(body=other.body + b" ", properties=other.properties)
    for number, raw in enumerate((first, first, retry, other, same_due, first), start=1):
        hands.send("celery.later", raw)
        if not at_once:
            fleet.until(lambda number=number: len(fleet.jobs()) == (1, 1, 2, 3, 4, 4)[number - 1])
    if at_once:  # they come to the relay in one batch
        fleet.relay()
    fleet.until(lambda: len(fleet.jobs()) == 4)
    fleet.duly("move", "--queue", "celery.later", "--eta", "now", "--yes")
    fleet.until(lambda: hands.waiting("celery") == 4)
    fleet.end_relay(0)
    assert hands.waiting("celery.later") == 0
    assert len(fleet.jobs()) == 4


def test_a_disk_alarm_of_the_broker_delays_and_doubles_nothing(
    shared_rabbitmq: RabbitServer, fleet: Fleet, hands: Hands
) -> None:
    """What is put is not read by the broker, and the relay breaks off; when there is room, it is read after all."""
    ids = [f"job{number}" for number in range(5)]
    fleet.broker += "?blocked_connection_timeout=1"
    fleet.relay()
    for id in ids:
        hands.send("celery.later", call(id, 5))
    fleet.until(lambda: len(fleet.jobs()) == len(ids))
    with shared_rabbitmq.alarm("disk"):
        fleet.until(lambda: "nothing is put: the broker takes no messages" in fleet.log())
    with Hands(fleet.broker) as hands:
        fleet.until(lambda: hands.waiting("celery") >= len(ids))
        fleet.until(lambda: set(fleet.states()) == {"succeeded"})
        fleet.until(lambda: hands.waiting("celery.later.ledger") == 0)
        assert sorted(map(id_of, hands.take("celery"))) == ids


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


class Away:
    """A store that does not answer, until it was asked often enough."""

    def __init__(self, store: Store, refusals: int) -> None:
        self._store = store
        self.refusals = refusals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        self._answer()
        return self._store.enqueue(jobs)

    def next_due(self, queues: Sequence[str]) -> int | None:
        self._answer()
        return self._store.next_due(queues)

    def _answer(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("not now")


def test_a_quorum_queue_that_counts_deliveries(fleet: Fleet, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the number into the message, and drops one that was given back too often."""
    monkeypatch.setattr("duly.relay.keeping._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("duly.relay.keeping._LONGEST_PAUSE", 0.1)
    hands.declare("q.later", **{"x-queue-type": "quorum", "x-delivery-limit": 3})
    sent = call("x", 600)
    hands.send("q.later", sent)
    store = stores.open(fleet.store)
    away, stop = Away(store, 8), threading.Event()
    keeping = Keeping(away, RabbitIntake(fleet.broker, ["q.later"]), {"q.later": "q"}, 2.0)  # type: ignore[arg-type]
    thread = threading.Thread(target=keeping.run, args=(stop,))
    thread.start()
    try:
        fleet.until(lambda: len(fleet.jobs()) == 1)
    finally:
        stop.set()
        thread.join()
        store.close()
    kept = raw_of(fleet.jobs()[0].headers)
    assert kept is not None
    assert AmqpForm().envelope(kept) == AmqpForm().envelope(sent)
    assert away.refusals == 0
