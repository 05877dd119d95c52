"""A relay is killed between any two of its steps and another one goes on: each message is put once, at its time."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from tests.relay.kit import Fleet, until
from tests.relay.rabbit import Hands, call, id_of
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitServer

from duly.relay.broker import Raw

COMMIT = b"\x00\x00\x00\x04\x00\x5a\x00\x14\xce"  # frames of AMQP: Tx.Commit, its answer, the head of Basic.Ack
COMMITTED = b"\x00\x00\x00\x04\x00\x5a\x00\x15\xce"
ACK = b"\x00\x00\x00\x0d\x00\x3c\x00\x50"
DUE = 4.0  # seconds ahead


class Killer:
    """Watches what a relay says and hears, and kills it when it comes to a step."""

    def __init__(self, step: str, target: str) -> None:
        self.step = step
        self.relay: subprocess.Popen[bytes] | None = None
        self.struck = False
        self._target = bytes([len(target)]) + target.encode()  # as a routing key
        self._put = False  # the message was given to the broker
        self._put_done = False
        self._acking = False  # on the way into the store

    def call(self, data: bytes) -> bool:
        """Something is to be passed on to the broker."""
        self._put |= self._target in data
        if not self._put:
            self._acking |= ACK in data
        now = (
            (self.step == "before it is taken off the inbox" and self._acking)
            or (self.step == "before it is put" and self._put and COMMIT in data)
            or (self.step == "before the ledger is cleared" and self._put_done and ACK in data)
        )
        return now and self._strike()

    def answer(self, data: bytes) -> bool:
        """Something is to be passed on to the relay."""
        committed = COMMITTED in data
        now = (
            (self.step == "before it is stored" and b"proj.later" in data)
            or (self.step == "after it was taken off the inbox" and self._acking and committed)
            or (self.step == "after it was put" and self._put and committed)
        )
        self._put_done |= self._put and committed
        return now and self._strike()

    def _strike(self) -> bool:
        if not self.struck and self.relay is not None:
            os.kill(self.relay.pid, signal.SIGKILL)
            self.struck = True
        return True


STEPS = (
    "before it is stored",
    "before it is taken off the inbox",
    "after it was taken off the inbox",
    "before it is put",
    "after it was put",
    "before the ledger is cleared",
)


@pytest.fixture
def url(shared_rabbitmq: RabbitServer) -> str:
    return shared_rabbitmq.new_vhost()


@pytest.mark.timeout(300)  # two relays for each step, on a machine that may be busy
def test_killed_at_any_step_it_puts_each_message_once(
    shared_rabbitmq: RabbitServer, url: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        hands = stack.enter_context(Hands(url))
        parts = []
        for number, step in enumerate(STEPS):
            proxy = stack.enter_context(Proxy(shared_rabbitmq.port))
            fleet = stack.enter_context(Fleet(tmp_path / f"{number}", url))
            parts.append(Part(fleet, proxy, step, f"q{number}", hands))
        for part in parts:
            part.begin()
        for part in parts:
            part.send()
        for part in parts:
            part.wait(lambda part=part: part.killer.struck)
            part.go_on()
        for part in parts:
            part.wait(part.is_put)
            part.wait(part.is_quiet)
        assert {part.step: [id_of(raw) for raw in part.put] for part in parts} == {step: [step] for step in STEPS}
        early = {part.step: part.seconds_early for part in parts if part.seconds_early > 0}
        assert not early


@pytest.mark.timeout(300)  # a broker starts twice, on a machine that may be busy
def test_the_broker_is_killed_while_it_commits(tmp_path: Path) -> None:
    """It may have kept all, nothing, or some of each queue: what the relay was not told of is put again."""
    ids = [f"job{number:02}" for number in range(20)]
    with ExitStack() as stack:
        broker = stack.enter_context(RabbitServer(tmp_path / "broker"))
        fleet = stack.enter_context(Fleet(tmp_path, broker.url()))
        proxy = stack.enter_context(Proxy(broker.port))
        with Hands(broker.url()) as hands:
            hands.declare("celery", "celery.later")
            fleet.broker = f"amqp://guest:guest@127.0.0.1:{proxy.port}/%2F"
            fleet.relay()
            for id in ids:
                hands.send("celery.later", call(id, 4))
            fleet.until(lambda: len(fleet.jobs()) == len(ids))
        killer = threading.Timer(0.001, broker.kill)
        putting = []

        def commits(data: bytes) -> bool:
            """It is let through, and meets a broker that is about to die."""
            putting.append(b"\x06celery" in data)
            if any(putting) and COMMIT in data and not killer.is_alive() and not killer.finished.is_set():
                killer.start()
            return False

        proxy.cut_call(commits)
        until(killer.finished.is_set, fleet.logs)
        killer.join()
        broker.start()
        with Hands(broker.url()) as hands:
            fleet.until(lambda: set(fleet.states()) == {"succeeded"})
            fleet.until(lambda: hands.waiting("celery.later.ledger") == 0)
            assert set(map(id_of, hands.take("celery"))) == set(ids)


def test_what_was_being_put_when_the_broker_ended_is_put_again(url: str, tmp_path: Path) -> None:
    """The ledger's entries are of one life of the broker; only those of the present one tell what was put."""
    with Fleet(tmp_path, url) as fleet, Hands(url) as hands:
        hands.declare("celery", "celery.later")
        for id in ("sure", "doubtful"):
            hands.send("celery.later", call(id, 600))
        fleet.relay()
        fleet.until(lambda: len(fleet.jobs()) == 2)
        fleet.end_relay(0)
        hands.channel.queue_purge("celery.later.ledger.life")
        hands.channel.basic_publish("", "celery.later.ledger.life", b"now")
        for life, id in (("now", "sure"), ("then", "doubtful")):
            entry = pika.BasicProperties(message_id=life, delivery_mode=2, headers={"life": life})
            hands.channel.basic_publish("", "celery.later.ledger", f'["{id}"]'.encode(), entry)
        fleet.relay()
        fleet.duly("move", "--queue", "celery.later", "--eta", "now", "--yes")
        fleet.until(lambda: fleet.states() == ["succeeded"] * 2)
        assert list(map(id_of, hands.take("celery"))) == ["doubtful"]
        assert "1 messages were being put on celery when the broker ended" in fleet.log(1)


class Part:
    """One message, whose id is the step, one relay that is killed there, and one that goes on."""

    def __init__(self, fleet: Fleet, proxy: Proxy, step: str, queue: str, hands: Hands) -> None:
        self.step = step
        self.killer = Killer(step, queue)
        self.put: list[Raw] = []
        self.seconds_early = 0.0
        self._fleet = fleet
        self._proxy = proxy
        self._queue = queue
        self._hands = hands
        self._due = 0.0

    def begin(self) -> None:
        self._hands.declare(self._queue, f"{self._queue}.later")
        broker, self._fleet.broker = self._fleet.broker, self._through_the_proxy()
        self.killer.relay = self._fleet.relay("-Q", self._queue)
        self._fleet.broker = broker

    def send(self) -> None:
        self._proxy.cut_call(self.killer.call)
        self._proxy.cut_answer(self.killer.answer)
        self._due = time.time() + DUE
        self._hands.send(f"{self._queue}.later", call(self.step, DUE))

    def go_on(self) -> None:
        self._fleet.relay("-Q", self._queue, wait=False)

    def is_put(self) -> bool:
        self.put += self._hands.take(self._queue)
        if self.put and not self.seconds_early:
            self.seconds_early = self._due - time.time()
        return bool(self.put)

    def is_quiet(self) -> bool:
        """Nothing is left that could be put once more."""
        self.put += self._hands.take(self._queue)
        states = set(self._fleet.states())
        nothing_taken = self._hands.waiting(f"{self._queue}.later") == 0
        return states <= {"succeeded"} and nothing_taken and self._ledger_is_empty()

    def wait(self, what: Callable[[], bool]) -> None:
        until(what, lambda: f"{self.step}\n{self._fleet.logs()}")

    def _ledger_is_empty(self) -> bool:
        """Nobody's entry is left: it is in use, so what is in it has to be asked of the broker."""
        return self._hands.waiting(f"{self._queue}.later.ledger") == 0

    def _through_the_proxy(self) -> str:
        where = urlsplit(self._fleet.broker)
        return where._replace(netloc=f"guest:guest@127.0.0.1:{self._proxy.port}").geturl()
