"""``celery.exceptions``: duly's errors under Celery's names, so that an ``except`` catches what it was written for.

Most are the same class under another name; the comment says where two of Celery's are one here.
"""

from __future__ import annotations

import builtins

from duly.errors import (
    ChordError,
    ConfigError,
    DecodeError,
    DulyError,
    Ignore,
    IncompleteStream,
    JobCancelled,
    Reject,
    RetriesExhausted,
    Retry,
    SoftTimeLimitExceeded,
    StoreError,
    StoreUnavailable,
    TaskNotRegistered,
    TimeLimitExceeded,
    WorkerLost,
)

CeleryError = DulyError
ImproperlyConfigured = ConfigError
AlreadyRegistered = ConfigError
QueueNotFound = ConfigError
NotRegistered = TaskNotRegistered
MaxRetriesExceededError = RetriesExhausted
RetryTaskError = Retry
TaskRevokedError = JobCancelled
Terminated = JobCancelled
WorkerLostError = WorkerLost
InvalidTaskError = DecodeError
BackendError = StoreError  # and the three below: results are in the store
BackendStoreError = StoreError
BackendGetMetaError = StoreError
OperationalError = StoreUnavailable
TimeoutError = builtins.TimeoutError  # noqa: A001 - Celery's name


class CeleryWarning(UserWarning):
    """The root of Celery's warnings, for filters; never given here."""


class AlwaysEagerIgnored(CeleryWarning): ...


class DuplicateNodenameWarning(CeleryWarning): ...


class FixupWarning(CeleryWarning): ...


class NotConfigured(CeleryWarning): ...


class SecurityWarning(CeleryWarning): ...


class CPendingDeprecationWarning(PendingDeprecationWarning): ...


class CDeprecationWarning(DeprecationWarning): ...


__all__ = [
    "AlreadyRegistered",
    "AlwaysEagerIgnored",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CDeprecationWarning",
    "CPendingDeprecationWarning",
    "CeleryError",
    "CeleryWarning",
    "ChordError",
    "DuplicateNodenameWarning",
    "FixupWarning",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotConfigured",
    "NotRegistered",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "Retry",
    "RetryTaskError",
    "SecurityWarning",
    "SoftTimeLimitExceeded",
    "TaskRevokedError",
    "Terminated",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
]
