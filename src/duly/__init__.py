"""duly: a task queue that keeps appointments.

::

    app = Duly("tasks")

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    add.delay(4, 4).get(timeout=10)
"""

from __future__ import annotations

from duly.app import Duly
from duly.call import Call
from duly.canvas import chain, chord, chunks, group, xmap, xstarmap
from duly.errors import (
    ChordError,
    ConfigError,
    DecodeError,
    DulyError,
    DuplicateKey,
    EncodeError,
    Ignore,
    IncompleteStream,
    JobCancelled,
    JobError,
    JobFailed,
    JobTooLate,
    JobUncertain,
    JobUnknown,
    Reject,
    RetriesExhausted,
    Retry,
    SoftTimeLimitExceeded,
    StaleLease,
    StoreCorrupt,
    StoreError,
    StoreMoved,
    StoreTooNew,
    StoreUnavailable,
    TaskNotRegistered,
    TimeLimitExceeded,
    WorkerLost,
)
from duly.group_result import GroupResult, ResultSet
from duly.job import Filter
from duly.result import AsyncResult
from duly.routing import Exchange, Queue
from duly.shared import current_app, current_task, shared_task
from duly.signature import Signature, signature
from duly.stamping import StampingVisitor
from duly.sync import Appointment, SyncReport
from duly.task import AsyncTask, Task

__version__ = "0.1.0"

__all__ = [
    "Appointment",
    "AsyncResult",
    "AsyncTask",
    "Call",
    "ChordError",
    "ConfigError",
    "DecodeError",
    "Duly",
    "DulyError",
    "DuplicateKey",
    "EncodeError",
    "Exchange",
    "Filter",
    "GroupResult",
    "Ignore",
    "IncompleteStream",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobTooLate",
    "JobUncertain",
    "JobUnknown",
    "Queue",
    "Reject",
    "ResultSet",
    "RetriesExhausted",
    "Retry",
    "Signature",
    "SoftTimeLimitExceeded",
    "StaleLease",
    "StampingVisitor",
    "StoreCorrupt",
    "StoreError",
    "StoreMoved",
    "StoreTooNew",
    "StoreUnavailable",
    "SyncReport",
    "Task",
    "TaskNotRegistered",
    "TimeLimitExceeded",
    "WorkerLost",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "shared_task",
    "signature",
    "xmap",
    "xstarmap",
]
