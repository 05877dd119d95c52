"""Every error duly raises, as a tree.

::

    DulyError
    ├── ConfigError            a setting, URL or option is wrong; the message says which, and what to do
    │   └── TaskNotRegistered  no task of that name in this app
    ├── StoreError             the store could not do what it was asked
    │   ├── StoreUnavailable   it cannot be reached, opened, locked or written (disk full, read-only)
    │   ├── StoreCorrupt       its file is not a store, or is damaged
    │   ├── StoreTooNew        it was written by a newer duly than this one
    │   └── StoreMoved         it was emptied into another store and takes no jobs any more
    ├── EncodeError            a value has no JSON form (arguments at the call, results in the worker)
    ├── DecodeError            stored bytes do not fit the task's annotations
    ├── DuplicateKey           on_conflict="error" and a live job holds the key
    ├── IncompleteStream       collect() came to a job that has not ended
    ├── StaleLease             the lease was lost: the job was rescued and may run elsewhere
    ├── Retry                  raised by self.retry() to leave the task; not an error
    ├── Ignore                 raised by a task: this job is to end without a result, cancelled
    │   └── Reject             raised by a task: it cannot be done (failed), or not by this worker (requeue=True)
    └── JobError               what AsyncResult.get() raises when the job has no result to give
        ├── JobFailed          the task's exception cannot be rebuilt here; its text and traceback are inside
        ├── JobCancelled       the job was cancelled, or expired before it could start
        ├── JobUncertain       an at-most-once job whose worker died while it ran
        ├── JobUnknown         no job of that id in the store (never there, forgotten or pruned)
        ├── JobTooLate         it could start only after its due and the tolerance, and on_late is "fail"
        ├── ChordError         a member of the group before it did not succeed, so that the job never ran
        ├── RetriesExhausted   self.retry() was called once too often, with no exception to raise instead
        └── WorkerLost         the job's worker died as often as is allowed

    SoftTimeLimitExceeded      raised inside a task when its soft time limit passes
    TimeLimitExceeded          the outcome of a task that was killed at its hard limit
    TimeoutError               (the built-in) raised by get(timeout=...) when time is up
"""

from __future__ import annotations


class DulyError(Exception):
    """The root of every error duly raises on purpose."""


class ConfigError(DulyError):
    """A setting, URL or option is wrong; the message says which one, its value, and what to do."""


class TaskNotRegistered(ConfigError, KeyError):
    """No task of that name is registered in this app. A KeyError too, because ``app.tasks[name]`` raises it."""

    __str__ = Exception.__str__  # a KeyError would show its text in quotes


class StoreError(DulyError):
    """The store could not do what it was asked; what it acknowledged before is still there."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, opened, locked or written now. Trying again later may work."""


class StoreCorrupt(StoreError):
    """The store's file is damaged, or is not a duly store at all."""


class StoreTooNew(StoreError):
    """The store's schema was written by a newer release of duly than this one."""


class StoreMoved(StoreError):
    """The store was emptied into another one (``duly move-store``), which the message names; it takes no jobs now."""


class EncodeError(DulyError):
    """A value cannot be written as JSON."""


class DecodeError(DulyError):
    """Stored bytes cannot be read as what the task's annotations ask for."""


class DuplicateKey(DulyError):
    """A live job already holds this unique key and ``on_conflict="error"`` was asked for."""

    def __init__(self, key: str, holder: str) -> None:
        super().__init__(key, holder)  # what it is made of, so that a copy of it (pickled, stored) is whole
        self.key = key
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"key {self.key!r} is held by job {self.holder}; "
            'use on_conflict="skip" to accept that one or "replace" to replace it'
        )


class IncompleteStream(DulyError):
    """``collect()`` came to a job that has not ended, so that what comes after it is not known."""


class StaleLease(DulyError):
    """This attempt lost its lease: the job was given back and may be running elsewhere."""


class Ignore(DulyError):
    """Raised by a task: nothing more is to be done. The job ends cancelled; it is no failure, and is not retried."""


class Reject(Ignore):
    """Raised by a task: the job cannot be done and ends failed, whatever ``autoretry_for`` says.

    With ``requeue`` it waits again instead, for a second and then longer each time, and counts as no retry.
    """

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue

    def __str__(self) -> str:
        return "rejected by the task" if self.reason is None else str(self.reason)


class JobError(DulyError):
    """A job ended without a result."""


class JobFailed(JobError):
    """The task raised an exception that cannot be rebuilt here; ``str()`` holds its type and text."""


class JobCancelled(JobError):
    """The job was cancelled, or expired before it could start."""


class JobUncertain(JobError):
    """An at-most-once job's worker died while it ran: nobody knows how far it came."""


class JobUnknown(JobError):
    """The store has no job of that id: it never had, or it was forgotten or pruned."""


class JobTooLate(JobError):
    """The job could start only later than its ``late_tolerance`` allows, and its ``on_late`` is "fail"."""


class ChordError(JobError):
    """The job waits for the results of a group, and a member of it did not succeed; it was never started."""


class RetriesExhausted(JobError):
    """``self.retry()`` was called after the last retry allowed, and no exception was at hand to raise."""


class WorkerLost(JobError):
    """The job's worker died while it ran, as many times as is allowed."""


class SoftTimeLimitExceeded(Exception):  # not a DulyError: user code catches it like any other
    """Raised inside a task when its soft time limit passes; time to clean up and leave."""


class TimeLimitExceeded(JobError):
    """The task was killed because its hard time limit passed."""


class Retry(DulyError):
    """Raised by ``self.retry()`` to leave the task; carries when the job is due again.

    ``due`` is microseconds UTC, 0: at once (which is what a test raises in its place); ``cause`` is the exception
    being handled, if any; ``arguments`` is JSON of those that the next run gets, None if they stay. Raises TypeError
    for a ``due`` that is no instant, such as a text.
    """

    def __init__(self, due: int = 0, cause: BaseException | None = None, arguments: bytes | None = None) -> None:
        if not isinstance(due, int):
            raise TypeError(f"Retry({due!r}): expected the instant it is due; self.retry(countdown=, exc=) makes one")
        super().__init__(f"retry due at {due} µs")
        self.due = due
        self.cause = cause
        self.arguments = arguments
