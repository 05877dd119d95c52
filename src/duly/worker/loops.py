"""The async pool: one executor, a coroutine for each job that runs at once.

The main thread has the event loop; the coordinator has a thread of its own, because an exchange waits for the
disk and must not hold up the coroutines. Tasks that are not ``async def`` run in threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading

from duly.failure import describe
from duly.job import Lease
from duly.worker.attempt import Attempts
from duly.worker.board import Board
from duly.worker.coordinator import Coordinator
from duly.worker.interrupt import Guard, Reason
from duly.worker.link import Go
from duly.worker.seat import Seat
from duly.worker.threads import Threads

log = logging.getLogger("duly.worker")

_BROKEN = 70  # EX_SOFTWARE


class LoopGuard(Guard):
    """Of a coroutine: it is cancelled. Everything but :meth:`cancel` happens in the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        super().__init__()
        self._loop = loop
        self._task = task
        self._handle: asyncio.TimerHandle | None = None

    def alarm(self, seconds: float) -> None:
        assert self._loop is not None
        lease = self.lease
        assert lease is not None
        self._handle = self._loop.call_later(seconds, self._interrupt, lease.id, lease.token, "soft")

    def calm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def cancel(self, job: str, token: int) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._interrupt, job, token, "cancel")

    def _interrupt(self, job: str, token: int, reason: Reason) -> None:
        if self.runs(job, token) and self.reason is None:
            self.reason = reason
            assert self._task is not None
            self._task.cancel()


class AsyncPool:
    """The pool; see the module's text."""

    def __init__(self, go: Go, seat: Seat, board: Board, attempts: Attempts) -> None:
        self._attempts = attempts
        self._loop = asyncio.new_event_loop()
        self._over = False  # the coordinator has left
        self._running: dict[str, tuple[asyncio.Task[None], LoopGuard]] = {}  # by job id
        self._coordinator = Coordinator(go, seat, board, attempts, self._start)
        self._threads = Threads(attempts, self._coordinator.ended)

    def run(self) -> None:
        threading.Thread(target=self._coordinate, name="coordinator", daemon=True).start()
        asyncio.set_event_loop(self._loop)
        while not self._over:
            try:
                self._loop.run_forever()
            except BaseException as exc:  # asyncio lets sys.exit() in a coroutine's own tasks tear through the loop
                log.warning("a task ended the event loop, which goes on: %s", describe(exc))

    def stop(self) -> None:
        self._coordinator.stop()

    def cancel(self, job: str, token: int) -> None:
        self._attempts.cancelled.add((job, token))
        self._threads.cancel(job, token)
        running = self._running.get(job)
        if running is not None:
            running[1].cancel(job, token)

    def _coordinate(self) -> None:
        try:
            self._coordinator.run()
        except BaseException:
            log.critical("the executor is broken and leaves", exc_info=True)
            os._exit(_BROKEN)
        self._over = True
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _start(self, lease: Lease, slot: int, now: int) -> None:
        if self._attempts.is_async(lease):
            self._loop.call_soon_threadsafe(self._spawn, lease, slot, now)
        else:
            self._threads.start(lease, slot, now)

    def _spawn(self, lease: Lease, slot: int, now: int) -> None:
        task = self._loop.create_task(self._attempt(lease, slot, now))
        self._running[lease.id] = (task, LoopGuard(self._loop, task))

    async def _attempt(self, lease: Lease, slot: int, now: int) -> None:
        guard = self._running[lease.id][1]
        try:
            outcome = await self._attempts.arun(lease, now, slot, guard)
        except BaseException:  # a mistake of duly's own: nobody would settle this job any more
            log.critical("job %s: the executor is broken and leaves", lease.id, exc_info=True)
            os._exit(_BROKEN)
        del self._running[lease.id]
        self._coordinator.ended(slot, outcome)
