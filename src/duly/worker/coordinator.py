"""The coordinator: exchanges with the store for a pool that runs many jobs at once.

It reserves as many jobs as there are free slots, so each starts at once and none waits behind another; for a slot
that is reserved for a queue, from that queue only. What ends while an exchange is under way is settled together by
the next one; and between two exchanges passes as much time as the first of them took, if jobs run meanwhile: of many
short jobs the exchanges would be most of the work.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from duly.job import Lease, Outcome
from duly.worker.attempt import Attempts
from duly.worker.board import Board
from duly.worker.link import Go
from duly.worker.process import drain
from duly.worker.seat import Seat

LONGEST_PAUSE = 0.005
"""Seconds for which a job that has ended, and a slot that is free, wait at most for others to be exchanged with."""


class Coordinator:
    """Runs in one thread; :meth:`ended` and :meth:`stop` may be called from any."""

    def __init__(
        self, go: Go, seat: Seat, board: Board, attempts: Attempts, start: Callable[[Lease, int, int], None]
    ) -> None:
        """``start(lease, slot, instant)`` has a job run; :meth:`ended` is called when it is over."""
        self._seat = seat
        self._board = board
        self._attempts = attempts
        self._start = start
        self._poll = go.poll
        self._slots = go.slots
        self._homes = go.homes
        # Slots of the board by home; those for any queue, which are the last, first: they settle what has ended.
        self._free: dict[str | None, list[int]] = {home: [] for home in reversed(go.homes)}
        for slot in reversed(range(go.slots)):
            self._free[go.homes[slot]].append(slot)
        self._left = go.max_tasks  # jobs until this executor leaves; None: no end
        self._ended: deque[tuple[int, Outcome]] = deque()  # slot and outcome, not settled
        self._stopping = False
        self._pause_until = 0.0  # monotonic

    def run(self) -> None:
        """Until told to stop and the last job is settled."""
        while True:
            want, got = self._exchange()
            if self._ended:
                self._gather()
                continue
            if self._stopping and self._count_free() == self._slots:
                return
            if got < want:
                self._seat.idle(self._open_queues())
            else:
                self._seat.listener.wait(self._poll)  # a job that ends pokes, and so does stop
            self._gather()

    def _gather(self) -> None:
        """Let others end, too, before the next exchange; not when nothing runs any more."""
        pause = self._pause_until - time.monotonic()
        if pause > 0 and self._count_free() + len(self._ended) < self._slots:
            time.sleep(pause)

    def ended(self, slot: int, outcome: Outcome) -> None:
        self._ended.append((slot, outcome))
        self._board.note(outcome)
        self._seat.listener.poke()

    def stop(self) -> None:
        self._stopping = True
        self._seat.listener.poke()

    def _exchange(self) -> tuple[int, int]:
        """Settle what has ended and start what is due; gives how many jobs were wanted and came."""
        ended = drain(self._ended)
        if not ended and not self._want(self._count_free()):
            return 0, 0
        for slot, _ in ended:  # the slots are free when the first exchange has settled these
            self._free[self._homes[slot]].append(slot)
        outcomes = [outcome for _, outcome in ended]
        wanted = got = 0
        begun = time.monotonic()
        for home, slots in self._free.items():
            want = self._want(len(slots))
            if not want and not outcomes:
                continue
            leases = self._seat.exchange(outcomes, want, None if home is None else (home,))
            if outcomes:
                self._settled(ended)
                outcomes = []
            self._begin(leases, slots)
            wanted, got = wanted + want, got + len(leases)
        now = time.monotonic()
        self._pause_until = now + min(now - begun, LONGEST_PAUSE)
        return wanted, got

    def _settled(self, ended: list[tuple[int, Outcome]]) -> None:
        self._board.keep(lambda: [outcome for _, outcome in list(self._ended)])
        for slot, outcome in ended:
            self._board.idle(slot)
            self._attempts.cancelled.discard((outcome.lease.id, outcome.lease.token))

    def _begin(self, leases: list[Lease], slots: list[int]) -> None:
        self._attempts.offset = self._seat.offset
        now = self._seat.now()
        for lease in leases:
            self._start(lease, slots.pop(), now)
        if self._left is not None:
            self._left -= len(leases)
            self._stopping = self._stopping or self._left <= 0

    def _want(self, free: int) -> int:
        if self._stopping:
            return 0
        return free if self._left is None else min(free, self._left)

    def _count_free(self) -> int:
        return sum(map(len, self._free.values()))

    def _open_queues(self) -> tuple[str, ...] | None:
        """The queues that a slot is free for; None: all."""
        if self._free.get(None):
            return None
        return tuple(home for home, slots in self._free.items() if slots and home is not None)
