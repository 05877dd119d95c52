"""The thread pool: one executor, a thread for each job that runs at once."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from duly.job import Lease, Outcome
from duly.worker.attempt import Attempts
from duly.worker.board import Board
from duly.worker.coordinator import Coordinator
from duly.worker.interrupt import Alarms, ThreadGuard
from duly.worker.link import Go
from duly.worker.seat import Seat

log = logging.getLogger("duly.worker")

_BROKEN = 70  # EX_SOFTWARE


class Threads:
    """Threads that run jobs; as many as have ever been needed at once.

    ``ended`` is called from them. A thread cannot be ended by duly; a job that has to be is interrupted, and
    if that does not help the supervisor kills the executor.
    """

    def __init__(self, attempts: Attempts, ended: Callable[[int, Outcome], None]) -> None:
        self._attempts = attempts
        self._ended = ended
        self._inbox: SimpleQueue[tuple[Lease, int, int]] = SimpleQueue()
        self._alarms = Alarms()
        self._guards: list[ThreadGuard] = []
        self._lock = threading.Lock()
        self._idle = 0  # threads that wait, less the jobs that wait for them

    def start(self, lease: Lease, slot: int, now: int) -> None:
        with self._lock:
            self._idle -= 1
            missing = self._idle < 0
            if missing:
                self._idle += 1
        self._inbox.put((lease, slot, now))
        if missing:
            threading.Thread(target=self._run, name="task", daemon=True).start()

    def cancel(self, job: str, token: int) -> None:
        with self._lock:
            guards = list(self._guards)
        for guard in guards:
            guard.cancel(job, token)

    def _run(self) -> None:
        guard = ThreadGuard(self._alarms)
        with self._lock:
            self._guards.append(guard)
        while True:
            lease, slot, now = self._inbox.get()
            try:
                outcome = self._attempts.run(lease, now, slot, guard)
            except BaseException:  # a mistake of duly's own: nobody would settle this job any more
                log.critical("job %s: the executor is broken and leaves", lease.id, exc_info=True)
                os._exit(_BROKEN)
            self._attempts.rest()
            with self._lock:
                self._idle += 1
            self._ended(slot, outcome)


class ThreadPool:
    """The pool: the coordinator in the main thread, the jobs in others."""

    def __init__(self, go: Go, seat: Seat, board: Board, attempts: Attempts) -> None:
        self._attempts = attempts
        self._threads = Threads(attempts, lambda slot, outcome: self._coordinator.ended(slot, outcome))
        self._coordinator = Coordinator(go, seat, board, attempts, self._threads.start)

    def run(self) -> None:
        self._coordinator.run()

    def stop(self) -> None:
        self._coordinator.stop()

    def cancel(self, job: str, token: int) -> None:
        self._attempts.cancelled.add((job, token))
        self._threads.cancel(job, token)
