"""An executor that ends itself, with all it runs, because others may run its jobs."""

from __future__ import annotations

import logging
import os
from typing import NoReturn

from duly.worker import proctree
from duly.worker.board import Board
from duly.worker.seat import Seat

log = logging.getLogger("duly.worker")


def end_executor(board: Board, seat: Seat | None, why: str) -> NoReturn:
    """End this process and what its tasks have started, at once. From any thread."""
    log.error("%s: the executor ends itself", why)
    board.seal()  # a task that fails because its children are ended did not fail
    if seat is not None:
        seat.seal()
    proctree.kill(f"{proctree.EXECUTOR_MARK}={os.environ[proctree.EXECUTOR_MARK]}")
    os._exit(1)
