"""One producer of a chaos run: ``python chaos_producer.py MANNER STORE SEED``; calls tasks until TERM, or its death.

Every call that was acknowledged is logged; what was asked for and not acknowledged may be stored or not.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import chaos_tasks as tasks
from chaos_tasks import LOG, app

from duly import DuplicateKey
from duly.call import Call
from duly.errors import StoreUnavailable

MIX: list[tuple[float, Callable[[random.Random], tuple[Any, tuple[Any, ...]]]]] = [
    (40, lambda rng: (tasks.noop, ())),
    (8, lambda rng: (tasks.nap, (round(rng.uniform(0.01, 0.3), 2),))),
    (8, lambda rng: (tasks.anap, (round(rng.uniform(0.01, 0.3), 2),))),
    (0.5, lambda rng: (tasks.nap, (2.5,))),
    (0.5, lambda rng: (tasks.hold_gil, (round(rng.uniform(0.1, 2.5), 1),))),
    (0.5, lambda rng: (tasks.crash, (rng.choice(["exit", "segfault"]), rng.choice([1, 1, 2, 9])))),
    (6, lambda rng: (tasks.boom, ())),
    (8, lambda rng: (tasks.again, (rng.randint(1, 3),))),
    (8, lambda rng: (tasks.pay, ())),
    (8, lambda rng: (tasks.once, (rng.choice([0.0, 0.0, 0.1]),))),
    (2, lambda rng: (tasks.brood, ())),
    (3, lambda rng: (tasks.mind, (round(rng.uniform(0.1, 0.5), 1),))),
]


class Producer:
    """Calls tasks in one manner: threads, bulk or loop."""

    def __init__(self, seed: int) -> None:
        self.over = threading.Event()
        self._seed = seed
        self._serials = itertools.count()

    def run(self, manner: str) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self.over.set())
        LOG.write("producing", manner=manner)
        {"threads": self.threads, "bulk": self.bulk, "loop": self.loop}[manner]()
        app.close()

    def threads(self) -> None:
        """Four callers that share commits."""
        callers = [threading.Thread(target=self._delay, args=(random.Random(self._seed + i),)) for i in range(4)]
        for caller in callers:
            caller.start()
        while not self.over.wait(0.2):  # not join(): the signal is handled here
            pass
        for caller in callers:
            caller.join()

    def bulk(self) -> None:
        rng = random.Random(self._seed)
        while not self.over.wait(rng.uniform(0.1, 0.5)):
            self._patiently(self._batch, rng)
            for _ in range(rng.randint(0, 4)):
                self._patiently(self._with_key, rng)

    def loop(self) -> None:
        asyncio.run(self._loop(random.Random(self._seed)))

    async def _loop(self, rng: random.Random) -> None:
        while not self.over.is_set():
            calls = [self._call(rng) for _ in range(rng.randint(1, 5))]
            found = await asyncio.gather(*(task.adelay(*args) for task, args in calls), return_exceptions=True)
            for (task, args), result in zip(calls, found, strict=True):
                if not isinstance(result, BaseException):
                    self._acknowledged(result.id, task, args, 0.0)
                elif not isinstance(result, StoreUnavailable):
                    raise result
            await asyncio.sleep(rng.uniform(0, 0.4))

    def _delay(self, rng: random.Random) -> None:
        while not self.over.wait(rng.uniform(0, 0.4)):
            self._patiently(self._one, rng)

    def _one(self, rng: random.Random) -> None:
        task, args = self._call(rng)
        countdown = rng.choice([0.0, 0.0, round(rng.uniform(0.05, 4), 3)])
        if countdown:
            asked = app.now()
            self._acknowledged(task.apply_async(args, countdown=countdown).id, task, args, countdown, asked)
        else:
            self._acknowledged(task.delay(*args).id, task, args, 0.0)

    def _batch(self, rng: random.Random) -> None:
        calls = [self._serial() for _ in range(rng.choice([10, 30, 60]))]
        asked, ahead = app.now(), round(rng.uniform(0, 3), 2)
        found = tasks.noop.enqueue_many(
            Call(args, countdown=ahead) if i % 2 else args for i, args in enumerate(calls)
        )
        for i, (args, result) in enumerate(zip(calls, found, strict=True)):
            self._acknowledged(result.id, tasks.noop, args, ahead if i % 2 else 0.0, asked)

    def _with_key(self, rng: random.Random) -> None:
        key = rng.choice(["solo1", "solo2", "turn1", "turn2"])
        conflict = rng.choice(["skip", "error"] if key.startswith("solo") else ["skip", "replace"])
        args = (*self._serial(), key, round(rng.uniform(0, 0.3), 2))
        try:
            result = tasks.keyed.apply_async(args, key=key, on_conflict=conflict)
        except DuplicateKey:
            return
        self._acknowledged(result.id, tasks.keyed, args, 0.0)

    def _patiently(self, what: Callable[[random.Random], None], rng: random.Random) -> None:
        try:
            what(rng)
        except StoreUnavailable:  # locked for too long: not acknowledged
            LOG.write("unavailable")

    def _call(self, rng: random.Random) -> tuple[Any, tuple[Any, ...]]:
        [(_, make)] = rng.choices(MIX, [weight for weight, _ in MIX])
        task, args = make(rng)
        return task, (*self._serial(), *args)

    def _serial(self) -> tuple[str]:
        return (f"{os.getpid()}-{next(self._serials)}",)

    @staticmethod
    def _acknowledged(job: str, task: Any, args: tuple[Any, ...], countdown: float, asked: int = 0) -> None:
        not_before = asked + round(countdown * 1_000_000) if countdown else 0
        LOG.write("ack", job=job, task=task.name, serial=args[0], not_before=not_before)


if __name__ == "__main__":
    app.conf.store = sys.argv[2]
    Producer(int(sys.argv[3])).run(sys.argv[1])
