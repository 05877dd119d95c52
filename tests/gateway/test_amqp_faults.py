"""What breaks between RabbitMQ and the store, step by step: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pika
import pytest
from gateway_kit import door_to, jobs, publish, taking, until
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

from duly import Duly
from duly.errors import ConfigError, StoreUnavailable
from duly.gateway.adopting import Adopter
from duly.gateway.amqp import AmqpDoor
from duly.gateway.following import Here
from duly.gateway.publishing import BrokerAway, RabbitPublisher
from duly.gateway.running import Gateways
from duly.gateway.wire import Message, encode
from duly.job import Enqueued, Gate, Job, WorkerInfo
from duly.relay.holding import to_job
from duly.relay.rabbitmq import AmqpForm

BASIC_ACK = b"\x00\x3c\x00\x50"
CONSUME_OK = b"\x00\x3c\x00\x15"


class Meddled:
    """A store, with something that happens at one step of its next ``enqueue``."""

    def __init__(self, store: Any, before: Callable[[], None] | None, after: Callable[[], None] | None) -> None:
        self._store = store
        self._before, self._after = before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def enqueue(self, jobs: Sequence[Job], gates: Sequence[Gate] = ()) -> list[Enqueued]:
        before, self._before = self._before, None
        after, self._after = self._after, None
        if before is not None:
            before()
        answer: list[Enqueued] = self._store.enqueue(jobs, gates)
        if after is not None:
            after()
        return answer


@pytest.fixture
def app(store_of: Callable[[str], str]) -> Iterator[Duly]:
    app = Duly("proj", store=store_of("sqlite"))
    yield app
    app.close()


@pytest.fixture
def proxy(shared_rabbitmq: RabbitServer) -> Iterator[Proxy]:
    with Proxy(shared_rabbitmq.port) as made:
        yield made


def through(proxy: Proxy, queue: str) -> AmqpDoor:
    return door_to([f"amqp://guest:guest@127.0.0.1:{proxy.port}/%2F"], queue)


def is_empty(server: RabbitServer, queue: str) -> bool:
    return not any(server.queues()[queue].values())


@pytest.mark.parametrize("step", ["before the commit", "after the commit", "at the ack", "after the ack"])
def test_the_connection_is_cut(step: str, app: Duly, proxy: Proxy, shared_rabbitmq: RabbitServer, queue: str) -> None:
    cut = threading.Event()

    def once(data: bytes) -> bool:
        """The first acknowledgement does not get through."""
        found = BASIC_ACK in data and not cut.is_set()
        if found:
            cut.set()
        return found

    def do_cut() -> None:
        cut.set()
        proxy.cut()

    before = do_cut if step == "before the commit" else None
    after = do_cut if step == "after the commit" else None
    if step == "at the ack":
        proxy.cut_call(once)
    publish(shared_rabbitmq.url(), queue, [f"{queue}-{i}" for i in range(500)])
    door = through(proxy, queue)
    if step == "after the ack":
        done = door.done

        def done_and_cut(taken: Any) -> None:
            done(taken)
            if not cut.is_set():
                do_cut()

        door.done = done_and_cut  # type: ignore[method-assign]
    with taking(app, door, Meddled(app.store, before, after)):
        until(lambda: cut.is_set() and len(jobs(app, queue)) == 500, "all jobs")
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")
    assert len(jobs(app, queue)) == 500


def test_what_comes_again_is_stored_once(app: Duly, shared_rabbitmq: RabbitServer, queue: str) -> None:
    """A gateway stores, and dies before it acknowledges."""
    publish(shared_rabbitmq.url(), queue, ["one", "two"])
    door = door_to([shared_rabbitmq.url()], queue)
    door.open()
    taken = door.take(5)
    while len(taken) < 2:
        taken += door.take(5)
    adopter = Adopter(Here(app, (), door.priority, False))
    app.store.enqueue([job for each in taken for job in adopter.adopted(each.envelope, each.queue, app.now()).jobs])
    door.give_back()
    with taking(app, door_to([shared_rabbitmq.url()], queue)):
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")
    assert len(jobs(app, queue)) == 2


def test_two_gateways_race(app: Duly, shared_rabbitmq: RabbitServer, proxy: Proxy, queue: str) -> None:
    ids = [f"{queue}-{i}" for i in range(900)]
    publish(shared_rabbitmq.url(), queue, ids[:300])
    with taking(app, through(proxy, queue)), taking(app, through(proxy, queue)):
        for start in (300, 600):
            proxy.cut()
            publish(shared_rabbitmq.url(), queue, ids[start : start + 300])
        until(lambda: len(jobs(app, queue)) == 900, "all jobs")
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")
    assert sorted(job.id for job in jobs(app, queue)) == sorted(ids)


def test_a_queue_that_is_deleted_is_declared_again(
    app: Duly, shared_rabbitmq: RabbitServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duly.gateway.amqp._LOOK_EVERY", 0.2)
    with taking(app, door_to([shared_rabbitmq.url()], queue)):
        until(lambda: queue in shared_rabbitmq.queues(), "the queue")
        with pika.BlockingConnection(pika.URLParameters(shared_rabbitmq.url())) as connection:
            connection.channel().queue_delete(queue)
        until(lambda: queue in shared_rabbitmq.queues(), "the queue again")
        publish(shared_rabbitmq.url(), queue, ["one"])
        until(lambda: len(jobs(app, queue)) == 1, "the job")


@pytest.mark.parametrize("what", ["memory", "disk"])
def test_an_alarm_stops_nobody_who_takes(what: str, app: Duly, shared_rabbitmq: RabbitServer, queue: str) -> None:
    publish(shared_rabbitmq.url(), queue, [f"{queue}-{i}" for i in range(500)])
    with shared_rabbitmq.alarm(what), taking(app, door_to([shared_rabbitmq.url()], queue)):
        until(lambda: len(jobs(app, queue)) == 500, "all jobs")
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")


@pytest.mark.parametrize("what", ["memory", "disk"])
def test_an_alarm_ends_a_publication_that_waits(what: str, shared_rabbitmq: RabbitServer, queue: str) -> None:
    """It is told what is wrong, and may try again; the one that was held may come through too."""
    publisher = RabbitPublisher(f"{shared_rabbitmq.url()}?blocked_connection_timeout=1")
    publish(shared_rabbitmq.url(), queue, ["one"])
    publisher.put(queue, encode(Message(id="two", task="proj.add")))
    with shared_rabbitmq.alarm(what), pytest.raises(BrokerAway, match="low on memory or disk"):
        publisher.put(queue, encode(Message(id="three", task="proj.add")))
    publisher.put(queue, encode(Message(id="four", task="proj.add")))
    publisher.close()
    until(lambda: shared_rabbitmq.queues()[queue]["ready"] in (3, 4), "the others")


def test_what_a_relay_of_the_same_store_put_is_kept_and_told(
    app: Duly, shared_rabbitmq: RabbitServer, queue: str
) -> None:
    """Its ids are those of jobs that are there: it would count as come again, and nobody would run it."""
    form = AmqpForm()
    message = Message(id="kept", task="proj.add", args=b"[[1],{}]")
    raw = form.new(encode(message), queue)
    app.store.enqueue(
        [
            to_job(message, raw, "other", app.now(), form),
            Job(id="remote", task="x", due=app.now(), queue=f"{queue}.later"),
        ]
    )
    app.store.enqueue([Job(id="ours", task="proj.add", due=app.now(), queue=queue)])
    publish(shared_rabbitmq.url(), queue, ["kept", "ours", "remote", "new"])
    with taking(app, door_to([shared_rabbitmq.url()], queue)):
        until(lambda: len(jobs(app, queue)) == 4, "four jobs")
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")
    told = [job for job in jobs(app, queue) if job.task == "duly.unreadable"]
    assert {id for job in told for id in ("kept", "remote", "ours", "new") if id.encode() in job.args} == {
        "kept",
        "remote",
    }
    assert all(b"a relay of the same store put it on this queue" in job.args for job in told)


def test_a_gateway_is_not_started_behind_a_relay_of_its_store(
    app: Duly, shared_rabbitmq: RabbitServer, queue: str
) -> None:
    app.conf.broker_url = shared_rabbitmq.url()
    relay = WorkerInfo(name="relay", host="here", pid=1, pool="relay", queues=(f"{queue}.later",))
    number = app.store.register(relay, 60_000_000)
    with pytest.raises(ConfigError, match="the relay relay@here of the same store serves it"):
        Gateways(app, [queue])
    app.store.unregister(number)
    gateways = Gateways(app, [queue])
    gateways.start()
    gateways.close(20)


def test_while_the_store_is_away_the_broker_keeps_what_comes(
    shared_rabbitmq: RabbitServer, queue: str, tmp_path: Path
) -> None:
    settings = {"appendonly": "yes", "appendfsync": "always"}
    with RedisServer(tmp_path / "store", settings) as far:
        app = Duly("proj", store=f"{far.url()}?timeout=0.2")
        with taking(app, door_to([shared_rabbitmq.url()], queue)):
            publish(shared_rabbitmq.url(), queue, [f"before-{i}" for i in range(100)])
            until(lambda: len(jobs(app, queue)) == 100, "the first jobs")
            far.kill()
            publish(shared_rabbitmq.url(), queue, [f"meanwhile-{i}" for i in range(100)])
            until(lambda: shared_rabbitmq.queues()[queue] == {"ready": 100, "unacknowledged": 0}, "given back")
            far.start()
            until(lambda: len(jobs(app, queue)) == 200, "all jobs")
            until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")
        app.close()


def test_the_next_url_is_tried(app: Duly, proxy: Proxy, shared_rabbitmq: RabbitServer, queue: str) -> None:
    proxy.refuse()
    urls = [f"amqp://guest:guest@127.0.0.1:{proxy.port}/%2F", shared_rabbitmq.url()]
    publish(shared_rabbitmq.url(), queue, ["one"])
    with taking(app, door_to(urls, queue)):
        until(lambda: len(jobs(app, queue)) == 1, "the job")
    assert proxy.refused


def test_what_no_store_keeps_is_kept_as_unreadable(app: Duly, shared_rabbitmq: RabbitServer, queue: str) -> None:
    class Picky(Meddled):
        def enqueue(self, jobs: Sequence[Job], gates: Sequence[Gate] = ()) -> list[Enqueued]:
            if any(job.id == "bad" for job in jobs):
                raise OverflowError("too much for a column")
            return super().enqueue(jobs, gates)

    publish(shared_rabbitmq.url(), queue, ["good", "bad", "better"])
    with taking(app, door_to([shared_rabbitmq.url()], queue), Picky(app.store, None, None)):
        until(lambda: len(jobs(app, queue)) == 3, "three jobs")
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")
    (kept,) = [job for job in jobs(app, queue) if job.task == "duly.unreadable"]
    assert b"too much for a column" in kept.args


@pytest.mark.parametrize("stored", [False, True])
def test_a_store_that_fails_once_loses_nothing(
    stored: bool, app: Duly, shared_rabbitmq: RabbitServer, queue: str
) -> None:
    """Whether it had stored them or not: its answer may be what was lost."""

    def fail() -> None:
        raise StoreUnavailable("not now")

    publish(shared_rabbitmq.url(), queue, [f"{queue}-{i}" for i in range(50)])
    meddled = Meddled(app.store, None if stored else fail, fail if stored else None)
    with taking(app, door_to([shared_rabbitmq.url()], queue), meddled):
        until(lambda: len(jobs(app, queue)) == 50, "all jobs")
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")


def test_what_cannot_be_read_and_comes_again_is_one_job(app: Duly, shared_rabbitmq: RabbitServer, queue: str) -> None:
    """A quorum queue has written into it how often it came, and sorted its headers."""

    def fail() -> None:
        raise StoreUnavailable("not now")

    with pika.BlockingConnection(pika.URLParameters(shared_rabbitmq.url())) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic_publish("", queue, b"?", pika.BasicProperties(headers={"b": 1, "a": 2}, delivery_mode=2))
    with taking(app, door_to([shared_rabbitmq.url()], queue), Meddled(app.store, None, fail)):
        until(lambda: len(jobs(app, queue)) > 0, "the job")
        until(lambda: is_empty(shared_rabbitmq, queue), "all acknowledged")
    (job,) = jobs(app, queue)
    assert (job.task, b"x-delivery-count" in job.args) == ("duly.unreadable", False)


def test_silence_is_noticed_by_heartbeats(app: Duly, proxy: Proxy, shared_rabbitmq: RabbitServer, queue: str) -> None:
    door = door_to([f"amqp://guest:guest@127.0.0.1:{proxy.port}/%2F?heartbeat=1"], queue)
    with taking(app, door):
        until(lambda: queue in shared_rabbitmq.queues(), "the queue")
        proxy.hold()
        publish(shared_rabbitmq.url(), queue, ["one"])
        proxy.refuse()
        until(lambda: proxy.refused > 0, "another connection is tried", 60)
        proxy.heal()
        until(lambda: len(jobs(app, queue)) == 1, "the job")
