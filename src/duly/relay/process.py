"""The process of ``duly relay``: a worker incarnation of its own, and two threads.

1. It registers with the store, and its heartbeat and maintenance run as in any worker.
2. ``keeping`` takes messages in, ``putting`` puts what is due.
3. If the store gave its jobs away (the process was frozen, the store was away for longer than the lease), it
   registers anew. Nothing is lost by that, or done twice: the ledger says what was put.
4. Told to stop, it finishes the batches it has, and leaves.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import socket
import threading
from collections.abc import Callable, Collection, Mapping

import msgspec

from duly import store as stores
from duly.clock import MICROS, SYSTEM, Clock
from duly.config import broker_kind, urls_of
from duly.errors import StoreError
from duly.gateway.publishing import KOMBU, Lists, needed
from duly.job import Filter, WorkerInfo
from duly.relay.answers import open_answers
from duly.relay.broker import Intake, Putter
from duly.relay.keeping import Keeping
from duly.relay.putting import Putting, PuttingSeat
from duly.store import Store
from duly.worker import presence, proctree
from duly.worker.heartbeat import Heartbeat
from duly.worker.maintenance import Maintenance, Terms

log = logging.getLogger("duly.relay")

LEASE = 10.0  # seconds
NEAR = 2.0  # seconds; what is due within them goes straight on
KEEP = 86_400.0  # seconds that the record of a message is kept that was put or cancelled
_NEVER_GIVE_UP = 1 << 30  # a message is no poison to the relay, however often one dies
_LEAVE = 10.0  # seconds that the threads have to finish
_LOOK = 0.5  # seconds between two looks whether the lease was lost
_FORGET_EVERY, _FORGET_AT_ONCE = 60.0, 500  # seconds, jobs
_RETRY_STORE = 0.5  # seconds


class RelayOptions(msgspec.Struct, frozen=True, kw_only=True):
    store: str  # URL
    broker: str  # URL
    targets: Mapping[str, str]  # the queue that each inbox is for
    results: str | None = None  # URL; where Celery's workers put them
    name: str = "relay"
    lists: Lists = KOMBU  # of a broker on Redis
    near: float = NEAR  # seconds


class Relay:
    """One relay; ``run`` it once."""

    def __init__(self, options: RelayOptions, clock: Clock = SYSTEM) -> None:
        """Raises ConfigError, and StoreError for a store that cannot be used."""
        self._options = options
        self._clock = clock
        self._store = self._open()
        self._inboxes = tuple(options.targets)
        self._intake, self._putter = at_broker(options.broker, self._inboxes, options.lists)
        self._answers = open_answers(options.results, options.broker) if options.results else None
        self._heartbeat = Heartbeat(self._open(), LEASE, clock, lambda: None)
        terms = Terms(lease=LEASE, max_lost=_NEVER_GIVE_UP, keep=None, keep_failed=None)
        self._maintenance = Maintenance(self._open(), terms, clock)
        self._failed = False
        self._next_forget = 0.0
        self._worker = self._register()

    def run(self, stop: threading.Event) -> bool:
        """Be a relay until ``stop`` is set; False if it could not go on, or not finish what it had begun."""
        keeping = Keeping(self._open(), self._intake, self._options.targets, self._options.near)
        taking = self._start("keeping", keeping.run, stop, stop)
        self._heartbeat.start()
        self._maintenance.start()
        while not stop.is_set():
            self._put(stop)
            if not stop.is_set():
                self._register_again(stop)
        taking.join(_LEAVE)
        self._maintenance.close()
        self._heartbeat.close()
        self._leave()
        return not self._failed and not taking.is_alive()

    def _put(self, stop: threading.Event) -> None:
        """Put, as this incarnation, until told to stop or its lease is lost."""
        over = threading.Event()
        seat = PuttingSeat(self._store, self._worker, self._inboxes, self._clock)
        putting = Putting(
            self._store, seat, self._putter, self._options.targets, self._answers, lambda: self._heartbeat.cancels
        )
        thread = self._start("putting", putting.run, over, stop)
        while not stop.wait(_LOOK) and not self._heartbeat.lost:
            self._forget()
        if self._heartbeat.lost:
            log.warning(
                "the store did not hear from this relay for %g s and gave its jobs back; it begins anew", LEASE
            )
        over.set()
        seat.listener.poke()
        thread.join(_LEAVE if stop.is_set() else None)
        self._failed |= thread.is_alive()
        seat.listener.close()

    def _start(
        self, name: str, loop: Callable[[threading.Event], None], over: threading.Event, stop: threading.Event
    ) -> threading.Thread:
        """A thread that runs a loop until ``over``; one that ends by a mistake ends the relay."""

        def guarded() -> None:
            try:
                loop(over)
            except Exception:
                log.exception("the relay cannot go on")
                self._failed = True
                stop.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _forget(self) -> None:
        """Delete old records of messages, and of nothing else in this store."""
        if self._clock.monotonic() < self._next_forget:
            return
        self._next_forget = self._clock.monotonic() + _FORGET_EVERY
        old = Filter(states=("succeeded", "cancelled"), queues=self._inboxes, due_before=self._store_before(KEEP))
        try:
            while ids := [job.id for job in self._store.jobs(old, limit=_FORGET_AT_ONCE).jobs]:
                if not self._store.forget(ids):
                    return
        except StoreError as exc:
            log.warning("old records are not deleted: %s", exc)

    # -- in the registry of workers --------------------------------------------------------------

    def _register(self) -> int:
        begun = self._clock.monotonic()
        info = WorkerInfo(
            name=self._options.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            boot=presence.namespace(),
            born=proctree.birth(os.getpid()),
            queues=self._inboxes,
            pool="relay",
            version=importlib.metadata.version("duly"),
            started=self._store.now(),
        )
        worker = self._store.register(info, int(LEASE * MICROS))
        self._heartbeat.adopt(worker, begun)
        return worker

    def _register_again(self, stop: threading.Event) -> None:
        self._heartbeat.drop()
        while not stop.is_set():
            try:
                self._worker = self._register()
                return
            except StoreError:  # the heartbeat says so
                stop.wait(_RETRY_STORE)

    def _leave(self) -> None:
        with contextlib.suppress(StoreError):
            self._store.unregister(self._worker)

    def _open(self) -> Store:
        return stores.open(self._options.store, clock=self._clock)

    def _store_before(self, seconds: float) -> int:
        return self._clock.now() - int(seconds * MICROS)


def at_broker(url: str, inboxes: Collection[str], lists: Lists) -> tuple[Intake, Putter]:
    """The two halves of a broker. Raises ConfigError for one that is not known."""
    with needed(url):
        if broker_kind(urls_of(url)[0]) == "rabbitmq":
            from duly.relay import rabbitmq

            return rabbitmq.RabbitIntake(url, inboxes), rabbitmq.RabbitPutter(url, inboxes)
        from duly.relay import redis

        return redis.RedisIntake(url, inboxes, lists), redis.RedisPutter(url, inboxes, lists)
