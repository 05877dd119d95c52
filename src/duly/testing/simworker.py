"""A worker of a world: supervisor and executors as one object that acts when the world's clock says so.

It keeps the protocol of the real one (``duly.worker``): register, renew every third of the lease, reserve, run, settle with
the token, rescue, fence itself when it cannot renew. What it does not have is processes, threads and
signals; those are tested with real ones. Tasks run for real, at the instant they start; how long they
*take* is the world's decision, so that their worker can die in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from duly import scheduler
from duly.clock import MICROS
from duly.errors import StoreUnavailable
from duly.job import Kind, Lease, Outcome, State, WorkerInfo
from duly.testing.history import Event
from duly.worker import board
from duly.worker.attempt import Attempts
from duly.worker.interrupt import Guard
from duly.worker.link import Go

if TYPE_CHECKING:
    from duly.testing.world import World
