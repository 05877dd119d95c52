"""An executor as its supervisor sees it: a process, a control link, a board and a mark.

Executors are started with ``subprocess``, never forked: the supervisor has threads, and what a task imports
(drivers, browsers) must find a fresh process. They have to be started from the supervisor's main thread,
because the kernel ends them when the *thread* that started them ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from duly.job import Outcome
from duly.worker import board, proctree
from duly.worker.link import Link, Load


class Child:
    """One executor process.

    1. *loading*: it imports the app, then says hello (or why it cannot).
    2. *running*: told to go, it exchanges with the store for seat (worker, slot).
    3. *leaving*: told to stop, or ended by :meth:`kill`.
    4. Gone; the supervisor buries it.
    """

    def __init__(self, slot: int, generation: int, mark: str, load: Load, now: float) -> None:
        self.slot = slot
        self.born = now  # monotonic
        self.mark = f"{proctree.EXECUTOR_MARK}={mark}/{slot}/{generation}"
        self.worker: int | None = None  # the incarnation it runs jobs for
        self.hello = False
        self.leaving = False
        self.reason: str | None = None  # why it was killed, when it was (see burial.py)
        self.killed_at = 0.0  # monotonic
        self.board: board.Board | None = None
        self.board_fd = board.make()
        ours, theirs = socket.socketpair()
        environment = os.environ | {proctree.WORKER_MARK: mark, proctree.EXECUTOR_MARK: self.mark.partition("=")[2]}
        with theirs:
            fds = (theirs.fileno(), self.board_fd)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "duly.worker.executor", str(os.getpid()), *map(str, fds)],
                stdin=subprocess.DEVNULL,
                env=environment,
                pass_fds=fds,
                start_new_session=True,
            )
        self.link = Link(ours)
        self.pidfd = os.pidfd_open(self.process.pid) if hasattr(os, "pidfd_open") else None
        self.link.send(load)

    @property
    def pid(self) -> int:
        return self.process.pid

    def give_board(self, slots: int, lease_end: float) -> None:
        """Make room on the board for ``slots`` jobs at once."""
        self.board = board.Board(self.board_fd, slots)
        self.board.hold_until(lease_end)

    def running(self) -> list[board.Running]:
        return self.board.running() if self.board is not None else []

    def unsettled(self) -> list[Outcome]:
        return self.board.unsettled() if self.board is not None else []

    def kill(self, reason: str, now: float) -> None:
        """End it and everything it has started; returns when that is done."""
        if self.reason is None:
            self.reason, self.killed_at = reason, now
        self.process.kill()
        self.sweep()

    def sweep(self) -> int:
        """End what it has started, itself included; gives how many processes resist."""
        return proctree.kill(self.mark, self.pid)

    def rss(self) -> int:
        """Resident bytes of it and everything it has started."""
        return proctree.memory({self.pid, *(process.pid for process in proctree.members(self.mark, self.pid))})

    def close(self) -> None:
        self.link.close()
        if self.pidfd is not None:
            os.close(self.pidfd)
        if self.board is not None:
            self.board.close()
        os.close(self.board_fd)
