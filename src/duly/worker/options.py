"""What a worker is told when it is started; whatever is None comes from the app's settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import msgspec

from duly import turns
from duly.config import did_you_mean
from duly.errors import ConfigError
from duly.overrides import NO_OVERRIDES, Overrides
from duly.worker import filenames
from duly.worker.link import Hello
from duly.worker.logs import LogFormat


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The command line of ``duly worker``."""

    app: str  # "module:attribute", or "module"
    store: str | None = None  # URL; None: the app's
    queues: dict[str, int] | Sequence[str] | None = None  # by weight, or "notify=4"; None: the app's
    reserve: dict[str, int] | Sequence[str] | None = None  # slots by queue, or "notify=1"; None: the app's
    name: str | None = None  # None: "worker", with a number if this host has one of that name
    concurrency: int | None = None  # jobs at once
    pool: str | None = None  # process, thread or async
    loglevel: str = "WARNING"
    logfile: str | None = None  # in which %n%I and the like stand for names (filenames.py); None: standard error
    logformat: LogFormat = "text"
    soft_time_limit: float | None = None  # seconds; for tasks that have none of their own
    time_limit: float | None = None  # seconds; likewise
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None  # KiB, of an executor with everything it started
    lease: float | None = None  # seconds
    reload: bool = False  # restart executors when source files change
    workdir: str | None = None  # None: the current directory
    overrides: Overrides = NO_OVERRIDES  # of the app's settings
    exclude: tuple[str, ...] = ()  # queues not to serve, of those it would
    purge: bool = False  # cancel what waits in its queues before it begins
    autoscale: tuple[int, int] | None = None  # most and least jobs at once, in place of concurrency

    def logfile_of(self, index: int) -> str | None:
        """The log file of the supervisor (0) or of an executor (1 ...), absolute; None: standard error."""
        if self.logfile is None:
            return None
        return os.path.abspath(filenames.expand(self.logfile, self.name or "worker", socket.gethostname(), index))


class ReadyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to see when the worker is up."""

    name: str
    host: str
    pid: int
    version: str
    app: str
    store: str  # URL
    durability: str
    broker: str | None = None  # URL, without a password; None: it takes nothing in
    queues: tuple[str, ...]
    weights: dict[str, int]  # of queues
    reserve: dict[str, int]  # slots kept for a queue
    pool: str
    concurrency: int
    tasks: tuple[str, ...]
    lease: float  # seconds


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker does: its options, completed by the app's settings."""

    store: str
    queues: tuple[str, ...]
    weights: dict[str, int]  # of queues; 1 for those not named
    reserve: dict[str, int]  # slots kept for a queue
    tasks: tuple[str, ...]
    pool: str
    concurrency: int
    lease: float  # seconds
    poll: float
    cancel_grace: float
    max_lost: int
    keep: float | None
    keep_failed: float | None
    soft_time_limit: float | None
    time_limit: float | None
    max_tasks: int | None
    max_memory: int | None  # KiB

    @property
    def executors(self) -> int:
        """How many processes."""
        return self.concurrency if self.pool == "process" else 1

    @property
    def slots(self) -> int:
        """Jobs at once in each of them."""
        return 1 if self.pool == "process" else self.concurrency

    def homes_of(self, executor: int) -> tuple[str | None, ...]:
        """For each slot of an executor the one queue it is kept for; None: any."""
        homes = turns.homes(self.reserve, self.concurrency)
        return homes[executor : executor + 1] if self.pool == "process" else homes

    def turns_of(self, executor: int) -> tuple[str, ...]:
        """One round of the queues that an executor serves."""
        homes = self.homes_of(executor)
        if len(homes) == 1 and homes[0] is not None:
            return (homes[0],)
        return turns.in_turns({queue: self.weights.get(queue, 1) for queue in self.queues})


def plan_of(options: WorkerOptions, hello: Hello) -> Plan:
    """The plan: what the options leave open is as the app says. Raises ConfigError."""
    try:
        weights = turns.numbered(options.queues or hello.queues, "weight")
        reserve = turns.numbered(hello.reserve if options.reserve is None else options.reserve, "number of slots")
    except ValueError as exc:
        raise ConfigError(str(exc)) from None
    weights = _served(weights, options.exclude, hello.known)
    pool = options.pool or hello.pool
    concurrency = options.autoscale[1] if options.autoscale else options.concurrency or hello.concurrency
    if options.autoscale and pool != "process":
        raise ConfigError(f"--autoscale: a {pool} pool has a fixed size; use -c, or -P process")
    turns.check_reserve(reserve, weights, concurrency)
    return Plan(
        store=hello.store,
        queues=tuple(weights),
        weights=weights,
        reserve=reserve,
        tasks=hello.tasks,
        pool=pool,
        concurrency=concurrency,
        lease=options.lease or hello.lease,
        poll=hello.poll,
        cancel_grace=hello.cancel_grace,
        max_lost=hello.max_lost,
        keep=hello.keep,
        keep_failed=hello.keep_failed,
        soft_time_limit=options.soft_time_limit,
        time_limit=options.time_limit,
        max_tasks=options.max_tasks_per_child or hello.max_tasks,
        max_memory=options.max_memory_per_child or hello.max_memory,
    )


def _served(weights: dict[str, int], exclude: Sequence[str], known: Sequence[str] | None) -> dict[str, int]:
    """The queues to serve. Raises ConfigError for one that may not be used, or that is excluded and not there."""
    for queue in weights:
        if known is not None and queue not in known:
            raise ConfigError(
                f"queue {queue!r} is not in task_queues, and task_create_missing_queues is False"
                f"{did_you_mean(queue, known)}"
            )
    for queue in exclude:
        if queue not in weights:
            raise ConfigError(
                f"--exclude-queues: this worker serves no queue {queue!r}{did_you_mean(queue, weights)}; it serves "
                f"{', '.join(weights)}"
            )
    left = {queue: weight for queue, weight in weights.items() if queue not in exclude}
    if not left:
        raise ConfigError(f"--exclude-queues leaves no queue to serve of {', '.join(weights)}")
    return left
