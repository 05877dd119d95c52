"""Calls that wait for a Django transaction: ``delay_on_commit`` and ``apply_async_on_commit``.

The job is made where the call is, so that wrong arguments are told there and its id is known at once; it is stored
when the transaction has been committed, and never if it is rolled back. Outside of a transaction that is at once.

What can go wrong: a process that dies between the commit and the store's answer leaves no job. Where that must not
be, the job has to be written by the transaction itself (docs/django.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack

from duly.call import CallOptions, check_parts
from duly.job import Job
from duly.result import AsyncResult

if TYPE_CHECKING:
    from duly.app import Duly

P = ParamSpec("P")
R = TypeVar("R")


class OnCommit(Generic[P, R]):
    """The part of a Task that knows of transactions."""

    app: Duly

    if TYPE_CHECKING:

        def make_job(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions) -> Job: ...
        def _send(self, job: Job) -> AsyncResult[R]: ...
        def result_of(self, id: str) -> AsyncResult[R]: ...

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """:meth:`delay` once the current Django transaction is committed.

        The result is of the job to come. Raises TypeError and EncodeError for arguments that do not fit, and
        RuntimeError without Django; the commit raises StoreError.
        """
        return self._on_commit(self.make_job(args, kwargs, {}))

    def apply_async_on_commit(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """:meth:`apply_async` once the current Django transaction is committed. ``countdown`` counts from now.

        With a ``key`` that is held then, the result's job never comes to be (``unknown``).
        """
        check_parts(args, kwargs)
        return self._on_commit(self.make_job(args, kwargs or {}, options))

    def _on_commit(self, job: Job) -> AsyncResult[R]:
        try:
            from django.db import transaction
        except ImportError:
            raise RuntimeError("on_commit waits for a Django transaction, and Django is not installed") from None
        transaction.on_commit(lambda: self._send(job))
        return self.result_of(job.id)
