"""Maintenance: a thread of each supervisor that does for the store what somebody has to do.

Every worker does all of it; each step is one that many may do at once.
"""

from __future__ import annotations

import logging
import re
import threading

import msgspec

from duly import scheduler
from duly.clock import MICROS, Clock
from duly.errors import ConfigError, StoreError
from duly.job import Rescued, Schedule, WorkerInfo
from duly.store import Store
from duly.worker import presence, proctree

log = logging.getLogger("duly.worker")

_RESCUE_EVERY = 0.5  # seconds: with nothing to rescue it is one short read
_JUMP = 1.0  # seconds that wall and monotonic clock may differ by between two rounds
_PRUNE_EVERY = 60.0  # seconds
_PRUNE_AT_ONCE = 1000  # jobs per transaction, so that nobody waits long for the write lock


class Terms(msgspec.Struct, frozen=True):
    """What maintenance has to know."""

    lease: float  # seconds
    max_lost: int
    keep: float | None  # seconds to keep succeeded and cancelled jobs; None: for ever
    keep_failed: float | None
    app: str = ""  # its name, and what its code says of recurring work
    schedules: tuple[Schedule, ...] = ()


class Maintenance:
    """Rescues, prunes, makes the jobs of schedules and keeps the store in shape.

    1. ``start``: at once it gives back the jobs of workers of this host whose process is gone, and declares the
       app's schedules.
    2. Twice a second a look at the clocks, a rescue and the store's own housekeeping; each minute a prune; the
       scheduler when it has something to do, and at least every 10 s.
    3. ``close``.
    """

    def __init__(self, store: Store, terms: Terms, clock: Clock) -> None:
        self._store = store
        self._terms = terms
        self._clock = clock
        self._scheduler = scheduler.Scheduler(store)
        self._clocks = clock.now(), clock.monotonic()
        self._quiet_until = self._clocks[1] + self._time_to_renew
        self._buried: set[int] = set()  # dead workers that were seen to
        self._declared = False
        self._closed = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    @property
    def _time_to_renew(self) -> float:
        """Seconds in which every worker that lives has renewed its lease."""
        return self._terms.lease / 3 + 1.0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.ident is not None:  # what went wrong may have come before the start
            self._thread.join(timeout=1)

    def _run(self) -> None:
        next_prune, next_tick = 0.0, 0.0
        while True:
            now = self._clock.monotonic()
            try:
                self._watch_clocks()
                self._rescue()
                if now >= next_prune:
                    self._prune()
                    next_prune = now + _PRUNE_EVERY
                if now >= next_tick:
                    next_tick = now + self._tick()
                self._store.maintain()
                self._failing = False
            except StoreError as exc:
                if not self._failing:
                    log.warning("maintenance of the store: %s", exc)
                self._failing = True
            except Exception:  # a mistake of duly's own: the rest of the worker goes on, and so does this
                if not self._failing:
                    log.exception("maintenance of the store")
                self._failing = True
            if self._closed.wait(min(_RESCUE_EVERY, self._terms.lease / 3)):
                return

    def _rescue(self) -> None:
        dead = [worker for worker in self._store.workers() if self._is_dead(worker)]
        for worker in dead:
            _end_leftovers(worker)
        lapsed = self._clock.monotonic() >= self._quiet_until
        if dead or lapsed:
            report(self._store.rescue(self._terms.max_lost, [worker.id for worker in dead], lapsed))
            self._buried.update(worker.id for worker in dead)

    def _watch_clocks(self) -> None:
        """Notice that the wall clock was set, or that the machine slept: then every lease may look lapsed although
        its worker lives, and nobody is declared dead until all have had time to renew. The same at the start,
        since it may have happened just before."""
        before, self._clocks = self._clocks, (self._clock.now(), self._clock.monotonic())
        jump = (self._clocks[0] - before[0]) / MICROS - (self._clocks[1] - before[1])
        if abs(jump) < _JUMP:
            return
        self._quiet_until = self._clocks[1] + self._time_to_renew
        log.warning(
            "the clock was set %s by %.1f s%s; leases are judged again in %.1f s",
            "forward" if jump > 0 else "back",
            abs(jump),
            " or the machine slept" if jump > 0 else "",
            self._time_to_renew,
        )

    def _is_dead(self, worker: WorkerInfo) -> bool:
        return worker.id not in self._buried and presence.is_gone(worker)

    def _tick(self) -> float:
        """Make what schedules ask for; gives the seconds until it has to be done again."""
        if not self._declared:
            try:
                scheduler.declare(self._store, self._terms.app, self._terms.schedules)
            except ConfigError as exc:
                log.error("%s; the schedules of app %s stay as they were", exc, self._terms.app)
            self._declared = True
        again = self._scheduler.tick()
        if again is None:
            return scheduler.EVERY / MICROS
        return min(max(again - self._store.now(), 0), scheduler.EVERY) / MICROS

    def _prune(self) -> None:
        now = self._store.now()
        before, failed_before = self._limit(now, self._terms.keep), self._limit(now, self._terms.keep_failed)
        while self._store.prune(before, failed_before, _PRUNE_AT_ONCE) >= _PRUNE_AT_ONCE:
            if self._closed.is_set():
                return

    @staticmethod
    def _limit(now: int, keep: float | None) -> int:
        return 0 if keep is None else now - int(keep * MICROS)


def _end_leftovers(worker: WorkerInfo) -> None:
    """What a dead worker's tasks had started, if its guardian died with it: before the jobs run again."""
    if re.fullmatch("[0-9a-f]{16}", worker.mark):
        proctree.kill(f"{proctree.WORKER_MARK}={worker.mark}")


def times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def report(rescued: list[Rescued]) -> None:
    """Say in the log what became of jobs taken from the dead."""
    for job in rescued:
        log.warning(
            "job %s (%s): its worker died; now %s, lost %s", job.id, job.task, job.state.name.lower(), times(job.lost)
        )
