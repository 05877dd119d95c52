"""Calls inside the caller's own database transaction: ``task.using(connection).delay(...)``.

The job is written by that transaction, on that connection, in the store's schema of the same database: it comes to be
when the transaction is committed, and has never been when it is rolled back. Only a store that shares the caller's
database can do so (``"transactions"`` in its ``capabilities``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack

from duly import publishing
from duly.call import Call, CallOptions, check_parts
from duly.errors import ConfigError
from duly.job import Job
from duly.result import AsyncResult
from duly.store.contract import Joining

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.task import Task

P = ParamSpec("P")
R = TypeVar("R")


class Using(Generic[P, R]):
    """A task's calls through one connection. Made by ``task.using(connection)``."""

    def __init__(self, task: Task[P, R], connection: object) -> None:
        """Raises ConfigError if the app's store cannot join transactions."""
        self._task = task
        self._connection = connection
        self._store = _joining(task.app)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """:meth:`Task.delay` in the connection's transaction.

        Raises TypeError and EncodeError for arguments that do not fit, ConfigError for a connection of another kind
        or to another database, StoreError.
        """
        return self._send([self._task.make_job(args, kwargs, {})])[0]

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """:meth:`Task.apply_async` in the connection's transaction; ``link`` and ``link_error`` it does not take.

        Raises, further, ValueError for options out of range and DuplicateKey.
        """
        check_parts(args, kwargs)
        return self._send([self._task.make_job(args, kwargs or {}, options)])[0]

    def enqueue_many(
        self, calls: Iterable[Sequence[Any] | Call], **options: Unpack[CallOptions]
    ) -> list[AsyncResult[R]]:
        """:meth:`Task.enqueue_many` in the connection's transaction."""
        return self._send(self._task.make_jobs(list(calls), options))

    def _send(self, jobs: Sequence[Job]) -> list[AsyncResult[R]]:
        jobs = [publishing.before(job) for job in jobs]
        answers = self._store.enqueue_within(self._connection, jobs)
        for job in jobs:
            publishing.after(job)
        return [self._task.result_of(answer.id) for answer in answers]


def _joining(app: Duly) -> Joining:
    store = app.store
    if isinstance(store, Joining):
        return store
    raise ConfigError(
        f"using(): the store {store.url} cannot store jobs in a transaction of yours; a store on PostgreSQL can, "
        "in the same database"
    )
