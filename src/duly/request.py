"""What a running task knows of its job, and the services it has while it runs: progress and effects.

The executor (or the eager runner) makes a Request for each attempt and sets it as ``current``.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from duly import retry
from duly.clock import MICROS, SYSTEM, Clock, from_micros
from duly.codec import Slot, decode_value, resolve_hints
from duly.errors import StaleLease
from duly.job import Flag, Lease, Options, Place, Progress
from duly.stamping import stamps_of
from duly.store.contract import Store
from duly.tracing import Mark

if TYPE_CHECKING:
    from duly.task import Task

T = TypeVar("T")

HOST = socket.gethostname()

worker_name = HOST
"""``name@host`` of the worker whose executor this process is; else the host alone."""

PROGRESS_INTERVAL = 0.25
"""Seconds between two writes of a task's progress; the last one always reaches the store with the outcome."""

_CELERYS = frozenset({
    "argsrepr", "callbacks", "chain", "errbacks", "kwargsrepr", "logfile", "loglevel", "origin", "reply_to",
    "shadow", "taskset", "utc",
})  # fmt: skip
"""Fields of Celery's request that say nothing here: None, unless a header of the call has the name."""

_encode = msgspec.json.Encoder().encode
_decode_options = msgspec.json.Decoder(Options).decode
_NO_OPTIONS = Options()
_NOWHERE = Place()


class Request:
    """One attempt of one job.

    ``store`` is None when the task runs eagerly: then progress and effects stay in memory.
    """

    def __init__(self, task: Task[..., Any], lease: Lease, store: Store | None, clock: Clock = SYSTEM) -> None:
        self.lease = lease
        self.store = store
        self.progress: bytes | None = None  # JSON of the latest Progress; the executor puts it in the Outcome
        self.told_state: str | None = None  # by update_state
        self.mark: Mark | None = None  # who is told of the attempt's end
        self.over = False  # the attempt has ended; what it left running may go on using this
        self.rng: retry.Rng = random
        self.of_task = task
        self._clock = clock
        self._next_save = -1.0  # monotonic; progress before that stays in memory
        self._effects: dict[str, bytes] = {}  # of an eager run

    def __repr__(self) -> str:
        return f"<Request: job {self.id} of {self.task}, attempt {self.attempt}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return self.lease.id

    @property
    def task(self) -> str:
        """The task's name."""
        return self.lease.task

    @property
    def queue(self) -> str:
        return self.lease.queue

    @property
    def priority(self) -> int:
        return self.lease.priority

    @property
    def attempt(self) -> int:
        """1 for the first run; every later one counts, whatever its reason."""
        return self.lease.attempt

    @property
    def retries(self) -> int:
        """How often the task asked to be run again."""
        return self.lease.retries

    @property
    def lost(self) -> int:
        """How often a worker died while it ran this job."""
        return self.lease.lost

    @property
    def due(self) -> int:
        """Microseconds UTC before which the job could not start."""
        return self.lease.due

    @property
    def eta(self) -> datetime:
        """``due``, in the app's time zone."""
        return from_micros(self.lease.due, self.of_task.app.zone)

    @property
    def expires(self) -> datetime | None:
        """When the job would have expired, in the app's time zone."""
        at = self.lease.expires
        return None if at is None else from_micros(at, self.of_task.app.zone)

    @property
    def is_eager(self) -> bool:
        """Whether the task runs in its caller, without a worker."""
        return self.store is None

    @cached_property
    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        return self.of_task.codec.decode_args(self.lease.args)

    @property
    def args(self) -> list[Any]:
        """The positional arguments, decoded anew (the task may have changed its own)."""
        return self._arguments[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments, decoded anew."""
        return self._arguments[1]

    @property
    def is_fed(self) -> bool:
        """Whether its first arguments are results of jobs before it."""
        return self.options.place is not None and self.options.place.feed is not None

    @cached_property
    def headers(self) -> Mapping[str, Any]:
        """The caller's ``headers``; empty when there were none."""
        found = {} if self.lease.headers is None else decode_value(self.lease.headers)
        return found if isinstance(found, dict) else {}

    @cached_property
    def options(self) -> Options:
        """What the call set otherwise than the task does."""
        return _NO_OPTIONS if self.lease.options is None else _decode_options(self.lease.options)

    @property
    def max_retries(self) -> int | None:
        """How often this job may be retried; None: for ever."""
        return self.of_task.max_retries if self.options.max_retries is None else self.options.max_retries

    @property
    def soft_time_limit(self) -> float | None:
        """Seconds until SoftTimeLimitExceeded; None: never."""
        return self.of_task.soft_time_limit if self.options.soft_time_limit is None else self.options.soft_time_limit

    @property
    def time_limit(self) -> float | None:
        """Seconds until the task is killed; None: never."""
        return self.of_task.time_limit if self.options.time_limit is None else self.options.time_limit

    # -- more of Celery's words ------------------------------------------------------------------

    called_directly = False
    """Whether the task was called as a function, in no job."""

    @property
    def name(self) -> str:
        """The task's name, as receivers of ``task_received`` call it."""
        return self.task

    @property
    def hostname(self) -> str:
        """``name@host`` of the worker."""
        return worker_name

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Queue, priority and whether this is not the first attempt, under Celery's names."""
        return {
            "exchange": "",
            "routing_key": self.queue,
            "priority": self.priority,
            "redelivered": self.lost > 0,
            "is_eager": self.is_eager,
        }

    @property
    def timelimit(self) -> tuple[float | None, float | None]:
        """(hard, soft), seconds."""
        return self.time_limit, self.soft_time_limit

    @property
    def correlation_id(self) -> str:
        """The job's id."""
        return self.id

    @property
    def ignore_result(self) -> bool:
        """Whether the return value is not kept."""
        return bool(self.lease.flags & Flag.IGNORE_RESULT)

    def get(self, name: str, default: Any = None) -> Any:
        """A field by its name, else a header of the call, else ``default``."""
        return getattr(self, name, default)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and (name in self.headers or name in _CELERYS):
            return self.headers.get(name)
        raise AttributeError(f"the request of job {self.lease.id} has no {name!r}, and its call had no such header")

    # -- its canvas ------------------------------------------------------------------------------

    @cached_property
    def place(self) -> Place:
        """Where in a canvas the job stands."""
        return self.options.place or _NOWHERE

    @property
    def root_id(self) -> str:
        """Id of the job that the canvas began with; its own if it is in none."""
        return self.place.root or self.id

    @property
    def parent_id(self) -> str | None:
        """Id of the job before it in the canvas, or of the one that called the canvas."""
        return self.place.parent

    @property
    def group(self) -> str | None:
        """Id of its group."""
        return self.place.group

    @property
    def group_index(self) -> int | None:
        """Its place in the group, from 0."""
        return self.place.index

    @property
    def chord(self) -> str | None:
        """Id of the job that its group is followed by."""
        return self.place.chord

    @property
    def stamps(self) -> dict[str, list[Any]]:
        """The stamps on it, by header."""
        return stamps_of(self.headers)

    @property
    def stamped_headers(self) -> list[str]:
        """Which of the headers are stamps."""
        return list(self.headers.get("stamped_headers") or ())

    # -- services --------------------------------------------------------------------------------

    def now(self) -> int:
        """The store's clock, microseconds UTC."""
        return self._clock.now() if self.store is None else self.store.now()

    def due_in(self, seconds: float) -> int:
        """The instant ``seconds`` from now."""
        return self.now() + round(seconds * MICROS)

    def repeat(self, lease: Lease) -> Request:
        """The next attempt of an eager run: it finds the effects of this one."""
        again = Request(self.of_task, lease, self.store, self._clock)
        again._effects = self._effects
        return again

    def report(self, progress: Progress, now: bool = False) -> None:
        """Note how far the task is. Written at most every PROGRESS_INTERVAL, or ``now``. Raises StaleLease."""
        self.progress = _encode(progress)
        if self.store is None:
            return
        at = self._clock.monotonic()
        if at < self._next_save and not now:
            return
        self._next_save = at + PROGRESS_INTERVAL
        if not self.store.save_progress(self.lease, self.progress):
            raise StaleLease(f"job {self.id} was given to another worker; this attempt's work no longer counts")

    def effect(self, key: str, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        """The recorded value of step ``key``, or ``fn(*args, **kwargs)``, recorded. Raises StaleLease."""
        slot = _slot(key, fn)
        recorded = self._load(key)
        if recorded is None:
            recorded = slot.encode(fn(*args, **kwargs))
            self._save(key, recorded)
        return decode_value(recorded, slot)  # type: ignore[no-any-return]

    async def aeffect(
        self, key: str, fn: Callable[..., Awaitable[T]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> T:
        """:meth:`effect` of an ``async def``; the store is used in a thread."""
        slot = _slot(key, fn)
        recorded = await _to_thread(self._load, key)
        if recorded is None:
            recorded = slot.encode(await fn(*args, **kwargs))
            await _to_thread(self._save, key, recorded)
        return decode_value(recorded, slot)  # type: ignore[no-any-return]

    def _load(self, key: str) -> bytes | None:
        return self._effects.get(key) if self.store is None else self.store.load_effect(self.lease, key)

    def _save(self, key: str, value: bytes) -> None:
        if self.store is None:
            self._effects[key] = value
        else:
            self.store.save_effect(self.lease, key, value)


current: ContextVar[Request | None] = ContextVar("duly_request", default=None)
"""The attempt that runs in this context; None outside of a task."""


def _slot(key: str, fn: Callable[..., Any]) -> Slot:
    return Slot(f"effect {key!r}", resolve_hints(fn).get("return", Any))


async def _to_thread(fn: Callable[..., T], *args: Any) -> T:
    import asyncio

    return await asyncio.to_thread(fn, *args)
