"""One attempt: a lease in, an outcome out. Nothing a task does escapes from here.

Whatever is called of the user's may raise anything: the task, what its arguments are decoded to, what its result is
encoded by, an exception's own methods. And it may fork: the child has a copy of everything here, comes back from the
task like its parent, and must neither settle the job nor take another.

``run`` is the executor's path for every job, so it is written for speed: what is the same for all jobs of a
task is found once (``Recipe``), and nothing is made that is not needed.
"""

from __future__ import annotations

import asyncio
import difflib
import itertools
import logging
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from duly import hooks, retry, signals
from duly.app import Duly
from duly.clock import MICROS, Clock
from duly.errors import (
    EncodeError,
    Ignore,
    JobCancelled,
    Reject,
    Retry,
    StoreError,
    StoreUnavailable,
    TaskNotRegistered,
    TimeLimitExceeded,
)
from duly.failure import describe, encode_error, message
from duly.feeding import InStore, arguments
from duly.job import Flag, Kind, Lease, Options, Outcome, Then
from duly.messages import TimeLimit
from duly.request import Request, current
from duly.signing import Replaced
from duly.task import Task
from duly.weaving import successors
from duly.worker import lateness
from duly.worker.board import NO_RETRY, Board
from duly.worker.copies import leave_copy
from duly.worker.interrupt import Guard, exception_for
from duly.worker.joblog import JobLog
from duly.worker.link import Go
from duly.worker.telling import facts_of, tell

log = logging.getLogger("duly.worker")

_IGNORE_RESULT = int(Flag.IGNORE_RESULT)
_MAX_UNKNOWN = 10  # tries after which a job of an unknown task fails
_LONGEST_PAUSE = 60.0  # seconds between two of them, or between two runs of a job that its task puts back
_SUCCEEDED = Kind.SUCCEEDED
_POSTPONED = Kind.POSTPONED.name.lower()

_options = msgspec.json.Decoder(Options)
_NO_OPTIONS = Options()


class Recipe:
    """How to run the jobs of one task."""

    __slots__ = (
        "asks",
        "decode",
        "encode",
        "fn",
        "hard",
        "hooked",
        "is_async",
        "on_late",
        "plain",
        "soft",
        "task",
        "throws",
        "time_policy",
        "tolerance",
    )

    def __init__(self, task: Task[..., Any], go: Go, override: TimeLimit | None) -> None:
        self.task = task
        self.fn: Callable[..., Any] = task.entry
        self.hooked = hooks.overridden(task)
        self.decode = task.codec.decode_args
        self.encode = task.codec.encode_result
        self.is_async = task.is_async
        self.asks = not task.interruptible
        self.soft = task.soft_time_limit or go.soft_time_limit
        self.hard = task.time_limit or go.time_limit
        if override is not None:  # 0: no limit
            self.soft = self.soft if override.soft is None else override.soft or None
            self.hard = self.hard if override.hard is None else override.hard or None
        self.throws = tuple(task.options.get("throws", ()))
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
    watched: bool  # its task has hooks, or somebody listens to signals


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
        self._before = InStore(app.store)
        self._recipes: dict[str, Recipe] = {}
        self._time_limits: dict[str, TimeLimit] = {}  # set at run time
        self._log = JobLog(app.store)
        self._detailed = log.isEnabledFor(logging.DEBUG)  # each start and success is logged
        self._copied = False  # this process was forked off by a task
        os.register_at_fork(after_in_child=self._note_copy)
        logging.getLogger().addHandler(self._log)

    def close(self) -> None:
        """Stop listening to what is logged."""
        logging.getLogger().removeHandler(self._log)
        self._log.close()

    def set_time_limits(self, limits: Sequence[TimeLimit]) -> None:
        """For the jobs that start from now on. From any thread."""
        self._time_limits = {limit.task: limit for limit in limits}
        self._recipes = {}

    def _note_copy(self) -> None:
        self._copied = True

    # -- running -------------------------------------------------------------------------------------

    def run(self, lease: Lease, started: int, slot: int, guard: Guard) -> Outcome:
        """Run a job here and now; ``started`` is the instant, on the store's clock."""
        begun = self._begin(lease, started, slot)
        if isinstance(begun, Outcome):
            return begun
        try:
            guard.asks = begun.recipe.asks
            guard.lease = lease
            if begun.soft is not None:
                guard.alarm(begun.soft)
            if begun.watched:
                hooks.begin(begun.recipe.task, begun.request, begun.args, begun.kwargs)
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
            guard.asks = begun.recipe.asks
            guard.lease = lease
            if begun.soft is not None:
                guard.alarm(begun.soft)
            if begun.watched:
                hooks.begin(begun.recipe.task, begun.request, begun.args, begun.kwargs)
            value = await begun.recipe.fn(*begun.args, **begun.kwargs)
            guard.disarm()
        except BaseException as exc:
            guard.disarm()
            return self._failed(begun, exc, guard, slot)
        return self._returned(begun, value, guard, slot)

    def is_async(self, lease: Lease) -> bool:
        """Whether the job is a coroutine's; of an unknown task it is not."""
        try:
            recipe = self._recipes.get(lease.task) or self._find(lease.task)
        except Exception:  # a setting that cannot be; the attempt says so
            return False
        return recipe is not None and recipe.is_async

    def rest(self) -> None:
        """Nothing runs in this thread: what is logged now belongs to no job."""
        current.set(None)

    def _begin(self, lease: Lease, started: int, slot: int) -> Begun | Outcome:
        recipe = request = None
        try:
            recipe = self._recipes.get(lease.task) or self._find(lease.task)
            if recipe is None:
                return self._unknown(lease, started)
            if self.cancelled and (lease.id, lease.token) in self.cancelled:
                self.cancelled.discard((lease.id, lease.token))
                return self._cancelled(lease, started)
            soft, deadline, policy, feed = None, 0.0, NO_RETRY, None
            now = self._clock.monotonic()
            request = Request(recipe.task, lease, self._store, self._clock)
            if not recipe.plain or lease.options is not None:
                options = _NO_OPTIONS if lease.options is None else _options.decode(lease.options)
                too_late = lateness.verdict(lease, started, options, recipe.on_late, recipe.tolerance)
                if too_late is not None:
                    return self._end(lease, started, *too_late)
                soft, deadline, policy = self._limits(recipe, lease, options, now)
                feed = None if options.place is None else options.place.feed
            self._board.start(slot, lease, now, deadline, policy)
            current.set(request)
            tracer = self._app.tracer
            if tracer is not None:
                request.mark = tracer.begin(request)
            if feed is None:
                args, kwargs = recipe.decode(lease.args)
            else:
                args, kwargs = arguments(self._before, recipe.task.codec, lease.args, feed)
        except StoreUnavailable as exc:  # what comes before the job's arguments cannot be read now
            return self._end(lease, started, Kind.POSTPONED, encode_error(exc), request, started + MICROS)
        except BaseException as exc:  # a DecodeError, or whatever the classes of arguments and a wrong setting raise
            if self._copied:
                leave_copy(exc)
            if recipe is not None and request is not None and (recipe.hooked or signals.TASKS.live):
                hooks.failed(recipe.task, request, [], {}, exc)
            return self._end(lease, started, Kind.FAILED, encode_error(exc), request, exc=exc)
        if self._detailed:
            log.debug("job %s (%s) starts, attempt %d", lease.id, lease.task, lease.attempt)
        watched = recipe.hooked or signals.TASKS.live
        return Begun(lease, started, recipe, request, args, kwargs, soft, deadline > 0, watched)

    def _returned(self, begun: Begun, value: object, guard: Guard, slot: int) -> Outcome:
        lease = begun.lease
        if self._copied:
            leave_copy(None)
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
            except BaseException as exc:
                wrong = _as_encode_error(exc)
                if begun.watched:
                    hooks.failed(begun.recipe.task, begun.request, begun.args, begun.kwargs, wrong)
                return self._end(lease, begun.started, Kind.FAILED, encode_error(wrong), begun.request, exc=wrong)
        request = begun.request
        if begun.watched:
            hooks.succeeded(begun.recipe.task, request, begun.args, begun.kwargs, value)
        request.over = True
        if request.mark is not None:
            request.mark.end(_SUCCEEDED, None)
        finished = self._instant() + self.offset
        outcome = Outcome(
            lease,
            _SUCCEEDED,
            begun.started,
            finished,
            result,
            None,
            0,
            request.progress,
            self._log.take(request) if self._log.tails else None,
        )
        if self._detailed:
            taken = (finished - begun.started) / MICROS
            log.debug("job %s (%s) succeeded in %.3f s", lease.id, lease.task, taken, extra=facts_of(outcome))
        return outcome

    # -- attempts that do not succeed ----------------------------------------------------------------

    def _failed(self, begun: Begun, exc: BaseException, guard: Guard, slot: int) -> Outcome:
        if self._copied:
            leave_copy(exc)
        if begun.soft is not None:
            guard.calm()
        if begun.limited:
            self._board.ended(slot)
        lease, started, request = begun.lease, begun.started, begun.request
        reason = guard.take_reason()
        if reason == "cancel":
            self.cancelled.discard((lease.id, lease.token))
        if reason is not None and issubclass(type(exc), asyncio.CancelledError):
            exc = exception_for(reason)
        if reason == "cancel" and issubclass(type(exc), JobCancelled):
            self._tell(begun, hooks.revoked, exc)
            return self._end(lease, started, Kind.CANCELLED, encode_error(exc), request)
        if issubclass(type(exc), Replaced):
            return self._replaced(begun, exc)  # type: ignore[arg-type]
        if issubclass(type(exc), Ignore):
            return self._given_up(begun, exc)  # type: ignore[arg-type]
        again = self._retry_for(exc, begun)
        if isinstance(again, Retry):
            self._tell(begun, hooks.retried, again.cause or again)
            error = None if again.cause is None else encode_error(again.cause)
            outcome = self._end(lease, started, Kind.RETRY, error, request, again.due, again.cause)
            return msgspec.structs.replace(outcome, args=again.arguments) if again.arguments else outcome
        self._tell(begun, hooks.failed, exc)
        expected = issubclass(type(exc), begun.recipe.throws)
        return self._end(lease, started, Kind.FAILED, encode_error(exc), request, exc=exc, expected=expected)

    @staticmethod
    def _tell(begun: Begun, moment: Callable[..., None], exc: BaseException) -> None:
        if begun.watched:
            moment(begun.recipe.task, begun.request, begun.args, begun.kwargs, exc)

    def _replaced(self, begun: Begun, exc: Replaced) -> Outcome:
        """The task put a canvas in its own place."""
        lease, started, request = begun.lease, begun.started, begun.request
        try:
            then = successors(self._app, exc.sig, request)
        except BaseException as wrong:  # arguments that do not fit, a task that nobody knows
            self._tell(begun, hooks.failed, wrong)
            return self._end(lease, started, Kind.FAILED, encode_error(wrong), request, exc=wrong)
        self._tell(begun, hooks.ignored, Ignore("replaced"))
        return self._end(lease, started, Kind.REPLACED, None, request, then=then)

    def _given_up(self, begun: Begun, exc: Ignore) -> Outcome:
        """The task raised Ignore or Reject."""
        self._tell(begun, hooks.ignored, exc)
        lease, started, error = begun.lease, begun.started, encode_error(exc)
        if not isinstance(exc, Reject):
            return self._end(lease, started, Kind.CANCELLED, error, begun.request)
        if not exc.requeue:
            return self._end(lease, started, Kind.FAILED, error, begun.request, exc=exc)
        due = self._now() + _pause(self._postponed(lease) + 1)
        log.warning("job %s (%s) was put back by its task: %s", lease.id, lease.task, message(exc))
        return self._end(lease, started, Kind.POSTPONED, error, begun.request, due)

    @staticmethod
    def _retry_for(exc: BaseException, begun: Begun) -> Retry | None:
        try:
            return begun.recipe.task.retry_for(exc, begun.request)
        except BaseException as second:  # a policy that cannot be applied, an exception that cannot be looked at
            log.error("job %s: whether to retry cannot be told: %s", begun.lease.id, describe(second))
            return None

    def _cancelled(self, lease: Lease, started: int) -> Outcome:
        return self._end(lease, started, Kind.CANCELLED, encode_error(JobCancelled("cancelled before it began")))

    def _unknown(self, lease: Lease, started: int) -> Outcome:
        """Another release may know the task: try again, ever more rarely, and give up after a while."""
        self.rest()
        tries = self._postponed(lease) + 1
        exc = TaskNotRegistered(f"no task named {lease.task!r} is registered in {self._go.name}'s app")
        error = encode_error(exc, _known_tasks(lease, self._app.tasks))
        if tries >= _MAX_UNKNOWN:
            return self._end(lease, started, Kind.FAILED, error)
        signals.task_unknown.send(self._go.name, name=lease.task, id=lease.id, message=lease, exc=exc)
        if tries == 1:
            log.error("job %s: %s; it is tried again later", lease.id, exc)
        return self._end(lease, started, Kind.POSTPONED, error, due=started + _pause(tries))

    def _postponed(self, lease: Lease) -> int:
        """How often in a row this job was postponed just before; a retry by hand begins a new row."""
        try:
            history = [attempt for attempt in self._store.attempts(lease.id) if attempt.attempt < lease.attempt]
        except StoreError:
            return 0
        row = itertools.takewhile(lambda attempt: attempt.outcome == _POSTPONED, reversed(history))
        return sum(1 for _ in row)

    def _end(
        self,
        lease: Lease,
        started: int,
        kind: Kind,
        error: bytes | None,
        request: Request | None = None,
        due: int = 0,
        exc: BaseException | None = None,
        expected: bool = False,
        then: Then | None = None,
    ) -> Outcome:
        progress = tail = None
        if request is None:
            self.rest()  # it did not begin; the job before it in the batch is not the one that says so
        else:
            request.over = True
            if request.mark is not None:
                request.mark.end(kind, exc)
            progress, tail = request.progress, self._log.take(request)
        outcome = Outcome(lease, kind, started, self._now(), None, error, due, progress, tail, then)
        if kind not in (Kind.POSTPONED, Kind.REPLACED):  # the one has its own line, the first time; the other is well
            tell(outcome, exc, expected)
        return outcome

    # -- what is looked up ---------------------------------------------------------------------------

    def _find(self, name: str) -> Recipe | None:
        task = self._app.known(name)
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


def _pause(tries: int) -> int:
    """µs before a job that was postponed so often in a row is tried again."""
    return int(min(2.0 ** (tries - 1), _LONGEST_PAUSE) * MICROS)


def _known_tasks(lease: Lease, names: Collection[str]) -> str:
    guess = difflib.get_close_matches(lease.task, names, n=1)
    hint = f"did you mean {guess[0]!r}? " if guess else ""
    known = ", ".join(sorted(names)) or "none"
    return (
        f"{hint}Registered are: {known}. Start a worker whose app registers {lease.task!r} "
        f"(is its module imported?), then: duly retry {lease.id}"
    )


def _as_encode_error(exc: BaseException) -> EncodeError:
    """A result that does not fit its annotation is the task's mistake as much as one without a JSON form, and as one
    whose own methods raise while it is encoded."""
    if issubclass(type(exc), EncodeError):
        return exc  # type: ignore[return-value]
    if issubclass(type(exc), TypeError | ValueError):
        return EncodeError(message(exc))
    wrong = EncodeError(f"the result cannot be encoded: {describe(exc)}")
    wrong.__cause__ = exc
    return wrong
