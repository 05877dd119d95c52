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
from duly.errors import (
    ConfigError,
    DecodeError,
    DulyError,
    DuplicateKey,
    EncodeError,
    Ignore,
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
from duly.job import Filter
from duly.result import AsyncResult
from duly.routing import Exchange, Queue
from duly.shared import current_app, current_task, shared_task
from duly.sync import Appointment, SyncReport
from duly.task import AsyncTask, Task

__version__ = "0.1.0"

__all__ = [
    "Appointment",
    "AsyncResult",
    "AsyncTask",
    "Call",
    "ConfigError",
    "DecodeError",
    "Duly",
    "DulyError",
    "DuplicateKey",
    "EncodeError",
    "Exchange",
    "Filter",
    "Ignore",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobTooLate",
    "JobUncertain",
    "JobUnknown",
    "Queue",
    "Reject",
    "RetriesExhausted",
    "Retry",
    "SoftTimeLimitExceeded",
    "StaleLease",
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
    "current_app",
    "current_task",
    "shared_task",
]
