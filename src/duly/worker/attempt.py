"""One attempt: a lease in, an outcome out. Nothing a task does escapes from here.

``run`` is the executor's path for every job, so it is written for speed: what is the same for all jobs of a
task is found once (``Recipe``), and nothing is made that is not needed.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from duly import retry
from duly.app import Duly
from duly.clock import MICROS, Clock
from duly.errors import (
    DecodeError,
    EncodeError,
    JobCancelled,
    Retry,
    TaskNotRegistered,
    TimeLimitExceeded,
)
from duly.failure import encode_error
from duly.job import Flag, Kind, Lease, Options, Outcome
from duly.messages import TimeLimit
from duly.request import Request, current
from duly.task import Task
from duly.worker import lateness
from duly.worker.board import NO_RETRY, Board
from duly.worker.interrupt import Guard, exception_for
from duly.worker.joblog import JobLog
from duly.worker.link import Go

log = logging.getLogger("duly.worker")

_IGNORE_RESULT = int(Flag.IGNORE_RESULT)
_MAX_UNKNOWN = 10  # tries after which a job of an unknown task fails
_LONGEST_UNKNOWN = 60.0  # seconds between two of them
_SUCCEEDED = Kind.SUCCEEDED

_options = msgspec.json.Decoder(Options)
_NO_OPTIONS = Options()


class Recipe:
    """How to run the jobs of one task."""

    __slots__ = (
        "decode",
        "encode",
        "fn",
        "hard",
        "is_async",
        "on_late",
        "plain",
        "soft",
        "task",
        "time_policy",
        "tolerance",
    )

    def __init__(self, task: Task[..., Any], go: Go, override: TimeLimit | None) -> None:
        self.task = task
        self.fn: Callable[..., Any] = task.run
        self.decode = task.codec.decode_args
        self.encode = task.codec.encode_result
        self.is_async = task.is_async
        self.soft = task.soft_time_limit or go.soft_time_limit
        self.hard = task.time_limit or go.time_limit
        if override is not None:  # 0: no limit
            self.soft = self.soft if override.soft is None else override.soft or None
            self.hard = self.hard if override.hard is None else override.hard or None
        self.on_late = task.on_late
        self.tolerance = task.late_tolerance
        self.plain = self.soft is None and self.hard is None and self.on_late == "run"
        self.time_policy = task.retry_policy.covers(TimeLimitExceeded())


class Begun(msgspec.Struct):
    """An attempt between its beginning and its end."""

    lease: Lease
    started: int  # µs UTC on the store's clock
    recipe: Recipe
    request: Request
    args: list[Any]
    kwargs: dict[str, Any]
    soft: float | None  # seconds
    limited: bool  # has a hard limit, so the board has to be told when it ends


class Attempts:
    """Runs leases for one executor, from as many threads as it has."""

    def __init__(self, app: Duly, go: Go, board: Board, clock: Clock) -> None:
        self.offset = 0  # µs; store's clock minus host's, kept up to date by the pool
        self.cancelled: set[tuple[str, int]] = set()  # job and token of attempts not to be started
        self._app = app
        self._go = go
        self._board = board
        self._clock = clock
        self._instant = clock.now
        self._store = app.store
        self._recipes: dict[str, Recipe] = {}
        self._time_limits: dict[str, TimeLimit] = {}  # set at run time
        self._log = JobLog()
        logging.getLogger().addHandler(self._log)

    def close(self) -> None:
        """Stop listening to what is logged."""
        logging.getLogger().removeHandler(self._log)

    def set_time_limits(self, limits: Sequence[TimeLimit]) -> None:
        """For the jobs that start from now on. From any thread."""
        self._time_limits = {limit.task: limit for limit in limits}
        self._recipes = {}

    # -- running -------------------------------------------------------------------------------------

    def run(self, lease: Lease, started: int, slot: int, guard: Guard) -> Outcome:
        """Run a job here and now; ``started`` is the instant, on the store's clock."""
        begun = self._begin(lease, started, slot)
        if isinstance(begun, Outcome):
            return begun
        try:
            guard.lease = lease
            if begun.soft is not None:
                guard.alarm(begun.soft)
            value = begun.recipe.fn(*begun.args, **begun.kwargs)
            if begun.recipe.is_async:
                value = guard.drive(value)
            guard.disarm()
        except BaseException as exc:
            guard.disarm()
            return self._failed(begun, exc, guard, slot)
        return self._returned(begun, value, guard, slot)

    async def arun(self, lease: Lease, started: int, slot: int, guard: Guard) -> Outcome:
        """Run a job that is a coroutine on the running loop."""
        begun = self._begin(lease, started, slot)
        if isinstance(begun, Outcome):
            return begun
        try:
            guard.lease = lease
            if begun.soft is not None:
                guard.alarm(begun.soft)
            value = await begun.recipe.fn(*begun.args, **begun.kwargs)
            guard.disarm()
        except BaseException as exc:
            guard.disarm()
            return self._failed(begun, exc, guard, slot)
        return self._returned(begun, value, guard, slot)

    def is_async(self, lease: Lease) -> bool:
        """Whether the job is a coroutine's; of an unknown task it is not."""
        recipe = self._recipes.get(lease.task) or self._find(lease.task)
        return recipe is not None and recipe.is_async

    def rest(self) -> None:
        """Nothing runs in this thread: what is logged now belongs to no job."""
        current.set(None)

    def _begin(self, lease: Lease, started: int, slot: int) -> Begun | Outcome:
        recipe = self._recipes.get(lease.task) or self._find(lease.task)
        if recipe is None:
            return self._unknown(lease, started)
        if self.cancelled and (lease.id, lease.token) in self.cancelled:
            self.cancelled.discard((lease.id, lease.token))
            return self._cancelled(lease, started)
        soft, deadline, policy = None, 0.0, NO_RETRY
        now = self._clock.monotonic()
        request = Request(recipe.task, lease, self._store, self._clock)
        if not recipe.plain or lease.options is not None:
            options = _NO_OPTIONS if lease.options is None else _options.decode(lease.options)
            if (too_late := lateness.verdict(lease, started, options, recipe.on_late, recipe.tolerance)) is not None:
                return self._end(lease, started, *too_late)
            soft, deadline, policy = self._limits(recipe, lease, options, now)
        self._board.start(slot, lease, now, deadline, policy)
        current.set(request)
        try:
            args, kwargs = recipe.decode(lease.args)
        except DecodeError as exc:
            return self._end(lease, started, Kind.FAILED, encode_error(exc))
        return Begun(lease, started, recipe, request, args, kwargs, soft, deadline > 0)

    def _returned(self, begun: Begun, value: object, guard: Guard, slot: int) -> Outcome:
        lease = begun.lease
        if begun.soft is not None:
            guard.calm()
        if begun.limited:
            self._board.ended(slot)
        if guard.reason is not None:
            guard.take_reason()  # it was interrupted, and finished all the same
            self.cancelled.discard((lease.id, lease.token))
        result = None
        if not lease.flags & _IGNORE_RESULT:
            try:
                result = begun.recipe.encode(value)
            except (EncodeError, TypeError, ValueError) as exc:
                error = encode_error(_as_encode_error(exc))
                return self._end(lease, begun.started, Kind.FAILED, error, begun.request)
        request = begun.request
        return Outcome(
            lease,
            _SUCCEEDED,
            begun.started,
            self._instant() + self.offset,
            result,
            None,
            0,
            request.progress,
            self._log.take(request) if self._log.tails else None,
        )

    # -- attempts that do not succeed ----------------------------------------------------------------

    def _failed(self, begun: Begun, exc: BaseException, guard: Guard, slot: int) -> Outcome:
        if begun.soft is not None:
            guard.calm()
        if begun.limited:
            self._board.ended(slot)
        lease, started, request = begun.lease, begun.started, begun.request
        reason = guard.take_reason()
        if reason == "cancel":
            self.cancelled.discard((lease.id, lease.token))
        if reason is not None and isinstance(exc, asyncio.CancelledError):
            exc = exception_for(reason)
        if reason == "cancel" and isinstance(exc, JobCancelled):
            return self._end(lease, started, Kind.CANCELLED, encode_error(exc), request)
        again = self._retry_for(exc, begun)
        if isinstance(again, Retry):
            error = None if again.cause is None else encode_error(again.cause)
            return self._end(lease, started, Kind.RETRY, error, request, again.due)
        return self._end(lease, started, Kind.FAILED, encode_error(exc), request)

    @staticmethod
    def _retry_for(exc: BaseException, begun: Begun) -> Retry | None:
        try:
            return begun.recipe.task.retry_for(exc, begun.request)
        except Exception as second:  # a policy that cannot be applied, an exception that cannot be looked at
            log.error("job %s: whether to retry cannot be told: %r", begun.lease.id, second)
            return None

    def _cancelled(self, lease: Lease, started: int) -> Outcome:
        return self._end(lease, started, Kind.CANCELLED, encode_error(JobCancelled("cancelled before it began")))

    def _unknown(self, lease: Lease, started: int) -> Outcome:
        """Another release may know the task: try again, ever more rarely, and give up after a while."""
        tries = max(1, lease.attempt - lease.retries - lease.lost)
        exc = TaskNotRegistered(f"no task named {lease.task!r} is registered in {self._go.name}'s app")
        error = encode_error(exc, _known_tasks(lease, self._app.tasks))
        if tries >= _MAX_UNKNOWN:
            return self._end(lease, started, Kind.FAILED, error)
        if tries == 1:
            log.error("job %s: %s; it is tried again later", lease.id, exc)
        pause = min(2.0 ** (tries - 1), _LONGEST_UNKNOWN)
        return self._end(lease, started, Kind.POSTPONED, error, due=started + int(pause * MICROS))

    def _end(
        self,
        lease: Lease,
        started: int,
        kind: Kind,
        error: bytes | None,
        request: Request | None = None,
        due: int = 0,
    ) -> Outcome:
        progress = None if request is None else request.progress
        tail = None if request is None else self._log.take(request)
        return Outcome(lease, kind, started, self._now(), None, error, due, progress, tail)

    # -- what is looked up ---------------------------------------------------------------------------

    def _find(self, name: str) -> Recipe | None:
        task = self._app.tasks.get(name)
        if task is None:
            return None
        recipe = self._recipes[name] = Recipe(task, self._go, self._time_limits.get(name))
        return recipe

    @staticmethod
    def _limits(recipe: Recipe, lease: Lease, options: Options, now: float) -> tuple[float | None, float, float]:
        """Soft limit in seconds, hard deadline (monotonic, 0: none), and the pause until another run if it
        passes (negative: none)."""
        soft = recipe.soft if options.soft_time_limit is None else options.soft_time_limit
        hard = recipe.hard if options.time_limit is None else options.time_limit
        most = recipe.task.max_retries if options.max_retries is None else options.max_retries
        again = NO_RETRY
        if recipe.time_policy and not retry.exhausted(lease.retries, most):
            again = retry.delay(lease.retries, recipe.task.retry_policy)
        return soft, 0.0 if hard is None else now + hard, again

    def _now(self) -> int:
        return self._instant() + self.offset


def _known_tasks(lease: Lease, names: Collection[str]) -> str:
    guess = difflib.get_close_matches(lease.task, names, n=1)
    hint = f"did you mean {guess[0]!r}? " if guess else ""
    known = ", ".join(sorted(names)) or "none"
    return (
        f"{hint}Registered are: {known}. Start a worker whose app registers {lease.task!r} "
        f"(is its module imported?), then: duly retry {lease.id}"
    )


def _as_encode_error(exc: Exception) -> EncodeError:
    """A result that does not fit its annotation is the task's mistake as much as one without a JSON form."""
    return exc if isinstance(exc, EncodeError) else EncodeError(str(exc))
