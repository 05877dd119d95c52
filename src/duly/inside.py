"""What a task can do while it runs in a job: ask who it is, run again, say how far it is, do a step once."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, TypeVar, overload

import msgspec

from duly import retry
from duly.call import due_of
from duly.codec import Codec, encode_value
from duly.errors import RetriesExhausted, Retry
from duly.job import Progress
from duly.request import Request, current

if TYPE_CHECKING:
    from duly.app import Duly

T = TypeVar("T")
Q = ParamSpec("Q")


class Inside:
    """The part of a Task that belongs to the running job."""

    app: Duly
    name: str

    if TYPE_CHECKING:
        codec: Codec

        @property
        def retry_policy(self) -> retry.Policy: ...

    @property
    def request(self) -> Request:
        """The attempt that runs here. RuntimeError outside of a job."""
        request = current.get()
        if request is None:
            raise RuntimeError(
                f"{self.name} runs in no job here; request, progress() and effect() belong to a running job"
            )
        return request

    @overload
    def retry(
        self,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        max_retries: int | None = None,
        throw: Literal[True] = True,
    ) -> NoReturn: ...
    @overload
    def retry(
        self,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        max_retries: int | None = None,
        throw: bool,
    ) -> Retry: ...
    def retry(
        self,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        max_retries: int | None = None,
        throw: bool = True,
    ) -> Retry:
        """Leave the task and have it run again; after ``default_retry_delay`` unless told when. ``args``, ``kwargs``:
        what it is called with from then on, where that changes.

        Raises Retry; with ``throw=False`` gives it, for the task to raise. When no retry is left:
        raises ``exc``, else the exception being handled, else RetriesExhausted. TypeError, and EncodeError, for
        arguments that the task cannot be called with, or that come from the jobs before it in a canvas.
        """
        cause = exc or sys.exc_info()[1]
        request = current.get()
        if request is None:
            raise cause or RuntimeError(f"{self.name}.retry() was called outside of a job")
        most = request.max_retries if max_retries is None else max_retries
        if retry.exhausted(request.retries, most):
            raise self.exhausted(exc, cause, f"{self.name} asked for retry {request.retries + 1} of {most}")
        if countdown is None and eta is None:
            countdown = self.retry_policy.default_retry_delay
        arguments = self._other_arguments(request, args, kwargs)
        again = Retry(due_of(countdown, eta, request.now(), self.app.zone), cause, arguments)
        if throw:
            raise again from cause
        return again

    def _other_arguments(
        self, request: Request, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
    ) -> bytes | None:
        """The stored form of those given, with the job's own in the place of what is not; None if nothing is."""
        if args is None and kwargs is None:
            return None
        if request.is_fed:
            if list(args or request.args) == request.args and (kwargs or request.kwargs) == request.kwargs:
                return None
            raise TypeError(
                f"{self.name}.retry(args=..., kwargs=...): the first arguments of this job are results of jobs "
                "before it, which it gets anew each time; for others, self.replace(self.s(...))"
            )
        return self.codec.encode_args(
            request.args if args is None else list(args), request.kwargs if kwargs is None else kwargs
        )

    def exhausted(self, exc: BaseException | None, handled: BaseException | None, text: str) -> BaseException:
        """What ``retry`` raises when no retry is left; ``handled``: the exception being handled, ``exc`` if given."""
        return handled or RetriesExhausted(text)

    def retry_for(self, exc: BaseException, request: Request) -> Retry | None:
        """The Retry that ``exc``, which left the task, calls for by itself; None if it is a failure."""
        if isinstance(exc, Retry):
            return exc
        if not self.retry_policy.covers(exc) or retry.exhausted(request.retries, request.max_retries):
            return None
        return Retry(request.due_in(retry.delay(request.retries, self.retry_policy, request.rng)), exc)

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Say how far the running task is; ``AsyncResult.progress`` and ``duly show`` read it.

        Cheap to call often: written every 0.25 s at most. Raises StaleLease when the job was given to another
        worker, which is a good moment to stop.
        """
        self.request.report(Progress(done=done, total=total, note=note))

    def update_state(self, state: str, meta: Any = None) -> None:
        """Say where the running task is, in a word of its own and with any JSON value beside it (Celery's way).

        ``AsyncResult.progress`` has both; of a dict, ``current`` (or ``done``) and ``total`` are shown as progress.
        Raises EncodeError, StaleLease.
        """
        numbers = meta if isinstance(meta, dict) else {}
        done, total = (
            next((float(numbers[key]) for key in keys if isinstance(numbers.get(key), int | float)), None)
            for keys in (("current", "done"), ("total",))
        )
        data = msgspec.Raw(encode_value(meta, f"update_state of {self.name}: meta"))
        request = self.request
        changed = state != request.told_state
        request.told_state = state
        request.report(Progress(done=done or 0.0, total=total, state=state, meta=data), now=changed)

    def effect(self, key: str, fn: Callable[Q, T], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """Do a step once over all attempts of this job: ``fn``'s value is recorded in the store under ``key``.

        An attempt that finds it recorded does not call ``fn``. The value has gone through JSON, the first time
        too. Raises StaleLease when the job was given to another worker.
        """
        return self.request.effect(key, fn, args, kwargs)

    async def aeffect(self, key: str, fn: Callable[Q, Awaitable[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """:meth:`effect` for an ``async def`` step."""
        return await self.request.aeffect(key, fn, args, kwargs)
