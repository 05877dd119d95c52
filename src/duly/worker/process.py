"""The process pool: an executor that runs one job at a time in its main thread.

The loop is exchange, run the batch one by one, exchange. A batch is as many jobs as fit TARGET at the measured
mean, so that the cost of a transaction is shared by many short jobs and waits for no long one.

The *flusher* thread serves the exception: a job that outlasts TARGET although the mean said otherwise. Then it
settles what is finished and releases what has not started, so that nothing waits behind a slow neighbour; and makes
sure of the lease, if short jobs were expected and the store was not asked to wait for its disk. And
while a batch runs, the main thread looks every LOOK at the queues of which the batch holds nothing (any more), so
that a job of a quiet queue does not wait for the end of a busy one's batch. A
lease is in one of three places (pending, the hand of the main thread, done) and moves by atomic operations,
so each has one owner at a time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TypeVar

from duly.clock import MICROS
from duly.job import Flag, Kind, Lease, Outcome
from duly.worker.attempt import Attempts
from duly.worker.board import Board
from duly.worker.ending import end_executor
from duly.worker.interrupt import SignalGuard
from duly.worker.link import Go
from duly.worker.seat import Seat

TARGET = 20_000
"""µs of work that a batch should hold, and how long a job may hold up its neighbours."""

MOST = 500
"""Jobs in a batch at most."""

SLOW = 3_000
"""µs. A job that took longer is settled before the next one starts; where jobs do, a reserve waits for the disk."""

LOOK = 1_000
"""µs between two looks at other queues while a batch runs; and how much of their work a look takes in."""

SPARE = 500_000
"""µs by which an offer to run a job outlives the wait for one, which ends with a look into the store."""

T = TypeVar("T")

_NEVER = 1 << 62  # µs
_FLUSH_AGAIN = 0.5  # seconds, after the store refused
_AT_MOST_ONCE = int(Flag.AT_MOST_ONCE)


class ProcessPool:
    """Runs jobs one by one; see the module's text."""

    def __init__(self, go: Go, seat: Seat, board: Board, attempts: Attempts) -> None:
        self._seat = seat
        self._board = board
        self._attempts = attempts
        self._guard = SignalGuard()
        # µs. A lease is renewed each third of it, so who is still within half of one has not lost it.
        self._lapse = int(min(go.poll * MICROS + SPARE, go.lease * MICROS / 2))
        self._left = go.max_tasks  # jobs until this executor leaves; None: no end
        self._pending: deque[Lease] = deque()  # reserved, not started
        self._done: deque[Outcome] = deque()  # ended, not settled
        self._mean = float(TARGET)  # µs a job takes, by experience
        self._batch = 0  # number of the batch that runs, for the flusher
        self._busy = threading.Event()  # a batch runs that the flusher has to look after
        self._stopping = False

    def run(self) -> None:
        threading.Thread(target=self._flush_late, name="flusher", daemon=True).start()
        seat, pending = self._seat, self._pending
        while not self._stopping and self._left != 0:
            want = self._want()
            self._release_beyond(want)
            leases = seat.exchange(drain(self._done), max(want - len(pending), 0), brief=self._mean < SLOW)
            self._board.keep(lambda: list(self._done))
            pending.extend(leases)
            if not pending:
                self._rest()
            if pending:
                self._attempts.offset = seat.offset
                self._run_batch()
        self._release_pending()
        seat.exchange(drain(self._done), 0)
        self._guard.close()

    def stop(self) -> None:
        self._stopping = True
        self._release_pending()
        self._seat.listener.poke()

    def cancel(self, job: str, token: int) -> None:
        self._attempts.cancelled.add((job, token))
        self._guard.cancel(job, token)

    def _want(self) -> int:
        """How many jobs the next batch should hold."""
        if self._stopping:
            return 0
        want = min(max(int(TARGET / self._mean), 1), MOST)
        if self._left is not None:
            want = min(want, self._left)
        return want

    def _look_aside(self, now: int, ran: int) -> int:
        """Take in, before what is pending, what came due in queues that it has nothing of; gives the instant."""
        pending = {lease.queue for lease in tuple(self._pending)}
        quiet = [queue for queue in self._seat.turns if queue not in pending]
        want = max(int(LOOK / self._mean), 1)
        if self._left is not None:
            want = min(want, self._left - ran - len(self._pending))
        if want < 1 or not pending or not quiet or self._stopping or not self._seat.is_due(quiet):
            return now
        # Settling what is done would take longer than the job waits.
        leases = self._seat.exchange([], want, quiet, brief=True)
        self._pending.extendleft(reversed(leases))
        self._have_watched()
        return self._seat.now()

    def _rest(self) -> None:
        """Wait; what is pending after that was given meanwhile."""
        self._busy.clear()
        self._board.idle(0)
        self._attempts.rest()
        self._attempts.cancelled.clear()  # they are for jobs that are pending here, and none is
        lease = self._seat.wait_for_job(self._lapse)
        if lease is not None:
            self._pending.append(lease)
            if self._stopping:  # told so before there was something to release
                self._release_pending()

    def _run_batch(self) -> None:
        """Run what is pending, up to the end, or to a job that has to be settled before the next starts."""
        self._guard.restore()
        self._batch += 1
        self._have_watched()
        take, keep, run, guard = self._pending.popleft, self._done.append, self._attempts.run, self._guard
        note = self._board.note
        ran = 0
        begun = started = self._seat.now()
        look_at = begun + LOOK if len(self._seat.turns) > 1 else _NEVER
        try:
            while True:
                lease = take()
                outcome = run(lease, started, 0, guard)
                keep(outcome)
                noted = note(outcome)
                ran += 1
                finished = outcome.finished
                if finished - started > SLOW or lease.flags & _AT_MOST_ONCE or not noted:
                    break
                if finished - begun > TARGET:
                    break
                started = finished
                if finished >= look_at:
                    started = self._look_aside(finished, ran)
                    begun += started - finished  # looking is no work
                    look_at = started + LOOK
        except IndexError:  # nothing is pending any more
            finished = started
        self._learn(ran, finished - begun)

    def _have_watched(self) -> None:
        """Wake the flusher. A job alone holds up nobody, but its lease may have to be made sure."""
        if (len(self._pending) > 1 or self._seat.unsure) and not self._busy.is_set():
            self._busy.set()

    def _learn(self, ran: int, took: int) -> None:
        if not ran:
            return
        mean = max(took / ran, 1.0)
        # Slowness is believed at once, speed by halves: a batch that is too long holds others up.
        self._mean = mean if mean > self._mean else (self._mean + mean) / 2
        if self._left is not None:
            self._left = max(self._left - ran, 0)

    def _release_beyond(self, want: int) -> None:
        """The tasks turned out slower than thought: others may have what is too much for one batch."""
        now = self._seat.now()
        try:
            while len(self._pending) > want:
                self._done.append(Outcome(self._pending.pop(), Kind.RELEASED, finished=now))
        except IndexError:  # stop or the flusher has just released them all
            return

    def _release_pending(self) -> None:
        now = self._seat.now()
        for lease in drain(self._pending):
            self._done.append(Outcome(lease, Kind.RELEASED, finished=now))

    # -- the flusher ---------------------------------------------------------------------------------

    def _flush_late(self) -> None:
        while True:
            self._busy.wait()
            seen = self._batch, len(self._pending)
            time.sleep(TARGET / 1_000_000)
            if seen != (self._batch, len(self._pending)) or not self._busy.is_set():
                continue
            self._busy.clear()  # the next batch sets it again; from here on this one needs nobody
            if seen != (self._batch, len(self._pending)):
                self._busy.set()
            elif not self._flush():
                self._busy.set()
                time.sleep(_FLUSH_AGAIN)

    def _flush(self) -> bool:
        """Settle what is finished, release what is pending; False if the store did not take it. Ends the executor
        where the store may have forgotten what is running."""
        settled = self._settle()
        if not self._seat.is_sure():
            end_executor(self._board, self._seat, "the store broke down when it had just given out what runs here")
        return settled

    def _settle(self) -> bool:
        self._release_pending()
        outcomes = drain(self._done)
        if not outcomes:
            return True
        try:
            self._seat.exchange_once(outcomes, 0)
        except Exception:  # the main thread deals with it when it comes to its next exchange
            self._done.extend(outcomes)
            return False
        self._board.keep(lambda: list(self._done))
        return True


def drain(queue: deque[T]) -> list[T]:
    """Everything in the queue; what another thread takes meanwhile, it has."""
    taken: list[T] = []
    try:
        while True:
            taken.append(queue.popleft())
    except IndexError:
        return taken
