"""A relay is killed between any two of its steps and another one goes on: each message is put once, at its time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

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
