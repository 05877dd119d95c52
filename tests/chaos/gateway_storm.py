"""RabbitMQ, gateways, workers and connections killed while calls come in: ``python tests/chaos/gateway_storm.py``.

What publishes is told by the broker what it has (publisher confirms), and logs just that as acknowledged; what was
not confirmed is published again under the same id, as Celery's clients do. The rest is the checker's: every
acknowledged call is a job, every job ran to its end, and no body ran twice that was not interrupted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sys
import threading
import time

import pika
import psutil
from chaos_run import Run, Worker
from tests.servers.process import Server
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitServer

from duly.gateway.publishing import BrokerAway, RabbitPublisher
from duly.gateway.wire import Message, encode
from duly.ids import new_id

QUEUE = "default"
WORKERS = 2
ENOUGH = 200  # calls, for a run to say something


class Storm(Run):
    """One run; see the module's text."""

    def __init__(self, seed: int, kind: str = "sqlite") -> None:
        super().__init__(seed, kind)
        self.server = RabbitServer(self.folder / "rabbitmq").start()
        self.proxy = Proxy(self.server.port).start()
        with pika.BlockingConnection(pika.URLParameters(self.server.url())) as connection:
            connection.channel().queue_declare(QUEUE, durable=True)
        self.deeds: dict[str, int] = {}
        self._serials = 0

    def play(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        publisher = threading.Thread(target=self._publish_until, args=[end, end + 3 * seconds])
        publisher.start()
        restarter = threading.Thread(target=self._restart_server_until, args=[end])
        restarter.start()
        acts = [self._kill_gateway] * 4 + [self._cut] * 6 + [self._kill_worker] * 2 + [self._kill_executor] * 2
        acts += [self._freeze_gateway, self._refuse, self._hold]
        while publisher.is_alive():
            self.staff()
            self.rng.choice(acts)()
            time.sleep(self.rng.uniform(0.05, 0.3))
        self.proxy.heal()
        restarter.join()
        self.staff()
        self._wait_for_queue(60)
        self._drain(60)
        self._end_workers(30)

    def staff(self) -> None:
        self.workers = [worker for worker in self.workers if worker.alive()]
        for _ in range(WORKERS - len(self.workers)):
            self.start_worker("process", 1.0)

    def start_worker(self, pool: str, lease: float) -> Worker:
        """A worker with a gateway, whose connection goes through the proxy."""
        broker = f"amqp://guest:guest@127.0.0.1:{self.proxy.port}/%2F?heartbeat=10"
        command = ["-m", "duly", "-A", self.tasks, "--store", self.url, "-b", broker, "worker", "-l", "INFO"]
        command += ["--pool", pool, "-c", "2", "--lease", f"{lease}s"]
        self.workers.append(Worker(self.start("worker", command), pool, lease))
        return self.workers[-1]

    def close(self, keep: bool) -> None:
        super().close(keep)
        self.proxy.stop()
        self.server.kill()

    # -- what publishes ------------------------------------------------------------------------------

    def _publish_until(self, end: float, at_last: float) -> None:
        """Longer, on a slow machine, until it is ENOUGH. Through no proxy: the client's connection is another's."""
        rng = random.Random(self.seed)
        publisher = RabbitPublisher(self.server.url())
        while time.monotonic() < (end if self._serials > ENOUGH else at_last):
            message, serial = self._call(rng)
            while True:  # until it is confirmed
                try:
                    publisher.put(QUEUE, encode(message))
                    break
                except BrokerAway:
                    time.sleep(0.1)
            not_before = message.eta or 0
            self.log.write("ack", job=message.id, task=message.task, serial=serial, not_before=not_before)
            time.sleep(rng.uniform(0, 0.02))
        publisher.close()

    def _call(self, rng: random.Random) -> tuple[Message, str]:
        self._serials += 1
        serial = f"gateway-{self._serials}"
        args: list[object] = [serial]
        task = rng.choice(["noop", "noop", "noop", "nap", "pay"])
        if task == "nap":
            args.append(round(rng.uniform(0.01, 0.2), 2))
        eta = time.time_ns() // 1000 + rng.randrange(3_000_000) if rng.random() < 0.3 else None
        return Message(id=new_id(), task=f"chaos_tasks.{task}", args=json.dumps([args, {}]).encode(), eta=eta), serial

    # -- what is done to them ------------------------------------------------------------------------

    def _gateways(self) -> list[psutil.Process]:
        found = []
        for worker in self.workers:
            try:
                children = psutil.Process(worker.pid).children()
                found += [child for child in children if "duly.worker.gatekeeper" in child.cmdline()]
            except psutil.Error:
                continue
        return found

    def _did(self, deed: str) -> None:
        self.deeds[deed] = self.deeds.get(deed, 0) + 1

    def _kill_gateway(self) -> None:
        if victims := self._gateways():
            self._did("gateway killed")
            self.rng.choice(victims).kill()

    def _freeze_gateway(self) -> None:
        """For longer than another waits before it takes over."""
        if victims := self._gateways():
            self._did("gateway frozen")
            victim = self.rng.choice(victims)
            try:
                victim.suspend()
                time.sleep(0.5)
                victim.resume()
            except psutil.Error:
                return

    def _cut(self) -> None:
        self._did("connections cut")
        self.proxy.cut()

    def _refuse(self) -> None:
        self._did("connections refused")
        self.proxy.refuse()
        self.proxy.cut()
        time.sleep(0.3)
        self.proxy.heal()

    def _hold(self) -> None:
        self._did("connections silent")
        self.proxy.hold()
        time.sleep(0.5)
        self.proxy.cut()
        self.proxy.heal()

    def _kill_worker(self) -> None:
        self._kill(self.rng.choice(self.workers).pid, "supervisor")

    def _kill_executor(self) -> None:
        if victims := self.rng.choice(self.workers).executors():
            self._kill(self.rng.choice(victims), "executor")

    def _kill(self, pid: int, role: str) -> None:
        self.log.write("kill", victim=pid, role=role)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _restart_server_until(self, end: float) -> None:
        """Stopped and killed in turn, a quarter of the run between."""
        pause = (end - time.monotonic()) / 4
        for how, ending in itertools.cycle([("stopped", Server.stop), ("killed", Server.kill)]):
            time.sleep(pause)
            if time.monotonic() + pause > end:
                return
            self._did(f"server {how}")
            ending(self.server)
            self.server.start()

    def _wait_for_queue(self, patience: float) -> None:
        end = time.monotonic() + patience
        while any(self.server.queues().get(QUEUE, {"ready": 1}).values()):
            if time.monotonic() > end:
                self.problems.append(f"messages that nobody takes: {self.server.queues()}")
                return
            time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description="One storm.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--store", default="sqlite")
    options = parser.parse_args()
    storm = Storm(options.seed, options.store)
    keep = True
    try:
        storm.play(options.seconds)
        report = storm.check()
        keep = bool(report.problems)
        print(report.text(f"gateways, {options.store}, seed {options.seed}{f', {storm.folder}' if keep else ''}"))
        print(f"  done to them: {storm.deeds}")
    finally:
        storm.close(keep)
    return int(keep)


if __name__ == "__main__":
    sys.exit(main())
