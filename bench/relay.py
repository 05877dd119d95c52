"""How late a relay is: messages with an eta, spread over some seconds, from the inbox through the store to the queue.

``make .celery/.stamp && .celery/bin/python -m bench.relay``. Lateness is when the queue's consumer has the message,
minus its eta; a real RabbitMQ, SQLite, one relay, nothing else to do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from tests.relay.rabbit import Hands, call
from tests.servers.rabbitmq import RabbitServer

from bench import kit
from bench.tables import progress
from duly.gateway import amqp, wire

FIRST, SPREAD = 15.0, 20.0  # seconds ahead of the first eta; and from there to the last


def measure(n: int, folder: Path) -> list[float]:
    """Lateness in seconds, sorted."""
    with RabbitServer(folder / "rabbitmq") as server, Hands(server.url()) as hands:
        hands.declare("celery", "celery.later")
        words = ["--store", f"sqlite:///{folder}/relay.db", "relay", "-b", server.url()]
        relay = subprocess.Popen([sys.executable, "-m", "duly", *words], stderr=subprocess.DEVNULL)
        try:
            for number in range(n):
                hands.send("celery.later", call(f"job{number}", FIRST + SPREAD * number / n))
            late: list[float] = []
            for method, properties, body in hands.channel.consume("celery", auto_ack=True, inactivity_timeout=60):
                if method is None:
                    raise SystemExit(f"{n - len(late)} messages did not come")
                now = time.time()
                eta = wire.decode(amqp.envelope(properties, body)).eta
                late.append(now - (eta or 0) / 1e6)
                if len(late) == n:
                    return sorted(late)
        finally:
            relay.terminate()
            relay.wait(30)
    raise SystemExit("the queue ended")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1_000, help="messages")
    n = parser.parse_args().n
    progress(f"relay: {n} messages with an eta")
    with kit.fresh_folder() as folder:
        late = measure(n, folder)
    for name, part in (("p50", 0.5), ("p99", 0.99), ("longest", 1.0)):
        print(f"{name:<8}{late[min(int(len(late) * part), len(late) - 1)] * 1e3:8.1f} ms late")


if __name__ == "__main__":
    main()
