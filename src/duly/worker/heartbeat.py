"""The heartbeat: a thread of the supervisor that renews the worker's lease.

It has a store of its own, so nothing else that the supervisor does can delay it. It decides nothing: the
supervisor's main loop reads ``end``, ``lost`` and ``cancels`` and acts on them, also while a renewal hangs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from duly.clock import MICROS, Clock
from duly.errors import StoreError
from duly.job import Cancel
from duly.store import Store

log = logging.getLogger("duly.worker")


class Heartbeat:
    """Renews one worker incarnation at a time.

    1. ``start`` the thread, once.
    2. ``adopt`` an incarnation; it is renewed every third of the lease until
    3. ``drop``, or until the store says that its lease had lapsed (``lost``).
    4. ``close``.
    """

    def __init__(self, store: Store, lease: float, clock: Clock, poke: Callable[[], None]) -> None:
        """``poke`` wakes the main loop; it is called after each renewal, from this thread."""
        self.lease = lease
        self.margin = min(1.0, lease / 5)  # seconds to end executors in, before the lease can lapse
        self.end = 0.0  # monotonic; until then the lease certainly holds
        self.lost = False  # the lease lapsed and the jobs were given away
        self.cancels: list[Cancel] = []  # as of the last renewal
        self.renewed = 0.0  # monotonic; when the last renewal that succeeded was begun
        self._store = store
        self._clock = clock
        self._poke = poke
        self._worker: int | None = None
        self._wake = threading.Event()
        self._closed = False
        self._down = False  # the store did not answer the last time; said once
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def adopt(self, worker: int, since: float) -> None:
        """Renew this incarnation, registered at ``since`` (monotonic)."""
        self.end = since + self.lease - self.margin
        self.lost, self.cancels, self._worker = False, [], worker

    def drop(self) -> None:
        self._worker = None

    def hurry(self) -> None:
        """Renew now: somebody may have asked to cancel a job."""
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread.ident is not None:  # what went wrong may have come before the start
            self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self.lease / 3 if not self._down else min(self.lease / 10, 0.5))
            self._wake.clear()
            worker = self._worker
            if worker is not None and not self._closed:
                self._renew(worker)
                self._poke()

    def _renew(self, worker: int) -> None:
        begun = self._clock.monotonic()
        try:
            answer = self._store.renew(worker, int(self.lease * MICROS))
        except StoreError as exc:
            if not self._down:
                log.error("the store does not answer, the worker's lease cannot be renewed: %s", exc)
            self._down = True
            return
        except Exception:  # a mistake of duly's own: the supervisor ends what runs before the lease can lapse
            if not self._down:
                log.exception("the worker's lease cannot be renewed")
            self._down = True
            return
        if self._down:
            log.warning("the store answers again")
        self._down = False
        if worker != self._worker:  # dropped meanwhile
            return
        if answer.alive:
            self.end = begun + self.lease - self.margin
            self.cancels = answer.cancels
            self.renewed = begun
        else:
            self.lost = True
