"""Duly: the app. It names a store, holds the settings and the tasks, and is what workers and clients share."""

from __future__ import annotations

import difflib
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from types import FrameType, MappingProxyType
from typing import Any, Concatenate, Literal, NoReturn, ParamSpec, Protocol, TypeVar, Unpack, cast, overload
from zoneinfo import ZoneInfo

from duly import builtin, periodic, shared
from duly import store as stores
from duly.bindings import bindings_of
from duly.call import CallOptions, check_parts, due_of, make_job
from duly.client import Client
from duly.clock import SYSTEM, Clock
from duly.codec import Codec
from duly.config import Settings, broker_kind, did_you_mean, store_url, urls_of
from duly.configuring import Configurable
from duly.control import Control
from duly.errors import ConfigError, TaskNotRegistered
from duly.finalizing import Finalizable
from duly.forks import living
from duly.group_result import GroupResult
from duly.job import Answer, Change, Filter, Flag, Job, Page, Result, Schedule
from duly.making import default_name, fit_task, make_task
from duly.messages import OnLate
from duly.moving import Elsewhere
from duly.periodic import Periodic, PeriodicOptions, Schedules
from duly.remote import make_remote
from duly.result import AsyncResult, EagerResult
from duly.signature import Signature, signature
from duly.store.contract import Order, Store
from duly.sync import Appointment, SyncReport, sync
from duly.task import AsyncTask, Task
from duly.task_options import TaskOptions
from duly.tracing import Tracer
from duly.waiting import Watcher
from duly.why import why

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=Task[..., Any])

EVERY_JOB = Filter()

log = logging.getLogger("duly")


class Decorator(Protocol):
    """``@app.task(...)``."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


class BoundDecorator(Protocol):
    """``@app.task(bind=True, ...)``: the first parameter is the task itself, a Task or of its ``base``."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...


class _Registry(dict[str, Task[..., Any]]):
    """The tasks of an app by name; says of a name that is not there what it may have meant."""

    def __init__(self, app: Duly) -> None:
        self._app = app

    def __missing__(self, name: str) -> NoReturn:
        raise self._app.unknown(name)


class Duly(Finalizable, Configurable):
    """An app.

    1. Made at import, in the module that a worker is pointed at. Nothing is opened.
    2. ``@app.task`` registers tasks; settings may still be changed.
    3. The first call opens the store. It serves all threads, event loops and forked children.
    4. ``close`` lets go of it; a later call opens it again.
    """

    result_type: type[AsyncResult[Any]] = AsyncResult
    """What its calls give; with ``eager_result_type``, for an app of other words (``duly.celery``)."""
    eager_result_type: type[EagerResult[Any]] = EagerResult
    group_result_type: type[GroupResult] = GroupResult

    task_class: type[Task[..., Any]] = Task
    """The class of its tasks that name no ``base``."""

    _as_current = True  # a new app is the current one

    def __init__(
        self,
        name: str,
        *,
        store: str | None = None,
        broker: str | Sequence[str] | None = None,
        timezone: str | None = None,
        clock: Clock = SYSTEM,
        **settings: Any,
    ) -> None:
        """``store``: a URL (see ``store_url``). ``broker``: the setting ``broker_url`` (docs/gateways.md).
        ``timezone``: the setting. ``settings``: see ``duly.config``.

        Raises ConfigError.
        """
        if not isinstance(name, str) or not name:
            raise ConfigError(f'Duly({name!r}): an app needs a name, usually that of its module: Duly("tasks")')
        stores.load()
        super().__init__()
        self.name = name
        self.clock = clock
        self.conf = Settings(**settings)
        if store is not None:
            self.conf.store = store
        if broker is not None:
            self.conf["broker_url"] = broker
        if timezone is not None:
            self.conf.timezone = timezone
        self._file = _caller_file()
        self._registry = _Registry(self)
        self._builtin: dict[str, Task[..., Any]] = {}
        self._periodic: list[Periodic] = []
        self._warned: set[str] = set()  # names of tasks that send_task has warned of
        self._lock = threading.RLock()  # a signal handler may call while the store is being opened
        self._store: Store | None = None
        self.tracer: Tracer | None = None  # who follows its jobs (duly.contrib.otel)
        self.client = Client(lambda: self.store, lambda: self.tracer)
        self._elsewhere = Elsewhere()
        self.watcher = Watcher(lambda: self.store, self.results, clock)
        shared.announce(self, self._as_current)

    def __repr__(self) -> str:
        return f"<Duly {self.name}>"

    # -- where and when --------------------------------------------------------------------------

    @property
    def store_url(self) -> str:
        """Where the jobs live: the setting, else ``DULY_STORE``, else a file beside the app's module."""
        return store_url(self.conf, self.name, self._file)

    @property
    def store(self) -> Store:
        """The store, opened at first use. Raises ConfigError for a wrong URL."""
        if self._store is None:
            with self._lock:
                if self._store is None:
                    self._store = stores.open(self.store_url, clock=self.clock)
        return self._store

    @property
    def brokers(self) -> tuple[str, ...]:
        """The URLs of the broker whose messages its workers take in; none: it has no broker. Raises ConfigError."""
        urls = urls_of(self.conf.broker_url)
        for url in urls:
            broker_kind(url)
        return urls

    @property
    def zone(self) -> ZoneInfo:
        """The app's time zone."""
        return ZoneInfo(self.conf.timezone)

    def now(self) -> int:
        """The store's clock, microseconds UTC."""
        return self.store.now()

    def set_current(self) -> None:
        """Make this the app that ``current_app`` and shared tasks stand for."""
        shared.make_current(self)

    def close(self) -> None:
        """Let go of the store and end the threads that serve it; the next call opens it again."""
        self.client.close()
        self.watcher.close()
        self._elsewhere.close()
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    def use_store(self, url: str) -> None:
        """Use the store of this URL from now on; setting ``conf.store`` says so only before the first use."""
        self.conf.store = url
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    def lend(self, store: Store, clock: Clock) -> Callable[[], None]:
        """Use another store and clock until the returned function is called (``duly.testing``)."""
        before = self._store, self.clock
        self._store, self.clock = store, clock

        def give_back() -> None:
            self._store, self.clock = before

        return give_back

    # -- tasks -----------------------------------------------------------------------------------

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The registered tasks by name."""
        return MappingProxyType(self._registry)

    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self, *, bind: Literal[True], base: type[Task[..., Any]] | None = None, **options: Unpack[TaskOptions]
    ) -> BoundDecorator: ...
    @overload
    def task(
        self,
        *,
        bind: Literal[False] = False,
        base: type[Task[..., Any]] | None = None,
        **options: Unpack[TaskOptions],
    ) -> Decorator: ...
    def task(  # type: ignore[misc]  # mypy takes the unpacked options for required ones
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        bind: bool = False,
        base: type[Task[..., Any]] | None = None,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Register a function as a task: ``@app.task`` or ``@app.task(queue="mail", max_retries=5)``.

        ``base``: the class of this task, a subclass of Task (its hooks and attributes, docs/tasks.md).
        With ``bind=True`` the function's first parameter is the task itself, whose ``request``, ``retry()``,
        ``progress()`` and ``effect()`` belong to the running job. Options: TaskOptions. Raises ConfigError for wrong
        options, and for a second function under the name of another.
        """

        def register(function: Callable[..., Any]) -> Task[..., Any]:
            return self._register(make_task(self, function, bind, base or self.task_class, options))

        return register if fn is None else register(fn)

    def register_task(self, task: T | type[T]) -> T:
        """Register a task that is a class with a ``run``: ``fetch = app.register_task(Fetch())``; gives the task.

        Raises ConfigError as :meth:`task` does.
        """
        made = task() if isinstance(task, type) else task
        return cast(T, self._register(fit_task(self, made)))

    def remote(self, name: str, /, **options: Unpack[TaskOptions]) -> Task[..., Any]:
        """A task that workers of Celery run: ``add = app.remote("proj.tasks.add")``; called as any other
        (docs/relay.md).

        ``queue``: the one that they consume from, "celery" unless given. ``duly relay`` puts the calls there and gets
        the results. Raises ConfigError.
        """
        return self._register(make_remote(self, name, options))

    def _register(self, task: Task[..., Any]) -> Task[..., Any]:
        old = self._registry.get(task.name)
        if old is not None and _origin(old.fn) != _origin(task.fn):
            raise ConfigError(
                f"two tasks are named {task.name}: {' and '.join(':'.join(_origin(t.fn)) for t in (old, task))}; "
                'give one of them another name with @app.task(name="...")'
            )
        self._registry[task.name] = task
        return task

    def find(self, name: str) -> Task[..., Any]:
        """The task of that name. Raises TaskNotRegistered."""
        return self._registry[name]

    def unknown(self, name: str) -> TaskNotRegistered:
        """What to raise where a task of that name is needed."""
        return TaskNotRegistered(f"no task {name!r} in app {self.name}{did_you_mean(name, self._registry)}")

    def known(self, name: str) -> Task[..., Any] | None:
        """The task that a worker runs under that name: a registered one, or one that canvases are made of."""
        found = self._registry.get(name) or self._builtin.get(name)
        if found is None and name in builtin.NAMES:
            found = self._builtin[name] = builtin.make(self, name)
        return found

    def slip(self, name: str) -> str | None:
        """What is odd about a task of that name: it is close to a registered one, or of a module whose tasks are
        registered and it is not among them. None if it is registered, or may be another app's."""
        if name in self._registry:
            return None
        near = difflib.get_close_matches(name, self._registry, n=1, cutoff=0.8)
        modules = {default_name(self.name, task.fn).rpartition(".")[0] for task in self._registry.values()}
        if not near and name.rpartition(".")[0] not in modules:
            return None
        return f"no task {name!r} in app {self.name}{did_you_mean(name, self._registry)}"

    def check(self) -> None:
        """Refuse what is wrong in the tasks and schedules of the code, taken with the settings. Raises ConfigError.

        What loads an app for the command line and for workers calls it, for only then everything is said.
        """
        self.finalize()
        _ = self.routing
        for task in self._registry.values():
            task.check()
        self.declared_schedules()

    # -- jobs ------------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[Any]:
        """Call a task by name. One that this process has not registered takes anything, unchecked; a warning is
        logged if it looks like a slip of the pen."""
        task = self._registry.get(name)
        if task is not None:
            return task.apply_async(args, kwargs, **options)
        if "link" in options or "link_error" in options:
            return self.signature(name, args, kwargs, **options).apply_async()
        if name not in self._warned and (slip := self.slip(name)):
            self._warned.add(name)
            log.warning("send_task: %s; its jobs wait for a worker that knows it", slip)
        return self.AsyncResult(self.client.enqueue(self.make_job(name, args, kwargs or {}, options)).id)

    def make_job(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions, fed: int = 0
    ) -> Job:
        """The job of a call by name, not stored; see :meth:`Task.make_job`."""
        task = self.known(name)
        if task is not None:
            return task.make_job(args, kwargs, options, fed)
        check_parts(args, kwargs)
        data = Codec(name, None).encode_args(args, kwargs)
        flags = (Flag.AT_MOST_ONCE if self.conf.task_at_most_once else 0) | (
            Flag.IGNORE_RESULT if self.conf.task_ignore_result else 0
        )
        defaults = self.routing.defaults(name, {}, int(flags), self.routing.route(name, args, kwargs, options))
        return make_job(defaults, data, options, self.now(), self.zone)

    # -- recurring work --------------------------------------------------------------------------

    @property
    def schedules(self) -> Schedules:
        """The recurring work in the store: list, add, change, pause, remove."""
        return Schedules(self)

    def periodic(
        self,
        rule: object,
        /,
        *,
        name: str | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[PeriodicOptions],
    ) -> Callable[[F], F]:
        """Call a task by a rule, ``@app.periodic(crontab(minute=0))`` above or below ``@app.task``.

        ``rule``: crontab(), cron(), rrule(), solar(), or a period as seconds or a timedelta. ``name``: of the
        schedule; the task's unless given. Workers declare what their app says when they start.
        """

        def attach(target: F) -> F:
            self._periodic.append(
                {"target": target, "name": name, "rule": rule, "args": args, "kwargs": kwargs, "options": options}
            )
            return target

        return attach

    def declared_schedules(self) -> list[Schedule]:
        """What ``beat_schedule`` and ``@app.periodic`` say. Raises ConfigError."""
        return periodic.declared(self, self._periodic)

    def signature(
        self, task: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Signature[Any]:
        """A signature of a task by its name; ``immutable=True`` takes no result of another job."""
        return signature(task, args, kwargs, app=self, **options)

    def GroupResult(self, id: str) -> GroupResult | None:  # noqa: N802 - Celery's name
        """The group of that id; None if the store has none of its jobs."""
        return self.group_result_type.restore(id, self)

    def AsyncResult(self, id: str) -> AsyncResult[Any]:  # noqa: N802 - Celery's name
        """The job of that id."""
        return self.result_type(id, self)

    def jobs(
        self,
        which: Filter = EVERY_JOB,
        order: Order = "newest",
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        """A page of jobs; ``after`` is the last page's."""
        return self.store.jobs(which, order, after, limit)

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        """What became of these jobs; None for an unknown one. A job that was moved to another store is looked for
        there."""
        found = self.store.results(ids)
        return found if None not in found else self._elsewhere.results(self.store, ids, found)

    def cancel(self, which: str | Filter, terminate: bool = False) -> list[Answer]:
        """Cancel one job, by id, or all that a Filter names; each answers (see ``duly.job.Verdict``)."""
        return self.store.cancel(_which(which), terminate)

    def move(
        self,
        which: str | Filter,
        *,
        eta: datetime | None = None,
        countdown: float | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> list[Answer]:
        """Change the due, queue or priority of waiting jobs; each answers."""
        due = None if eta is None and countdown is None else due_of(countdown, eta, self.now(), self.zone)
        return self.store.move(_which(which), Change(due=due, queue=queue, priority=priority))

    def retry(self, which: str | Filter) -> list[Answer]:
        """Run finished jobs again; each answers."""
        return self.store.retry(_which(which))

    def sync(self, namespace: str, wanted: Mapping[str, Appointment], late: OnLate = "run") -> SyncReport:
        """Make the waiting jobs of ``namespace`` what is wanted, by key; says for each what was done (docs/sync.md).

        One transaction. ``late="skip"`` makes no job for an appointment whose time has passed. Raises TypeError,
        ValueError, EncodeError for an appointment that is wrong, before anything is changed, and StoreError.
        """
        return sync(self, namespace, wanted, late)

    def why(self, id: str) -> str:
        """One sentence: why this job has not run, or what became of it. Raises JobUnknown."""
        return why(self.store, id, self.zone)

    @functools.cached_property
    def control(self) -> Control:
        """Remote control and inspection of workers, queues and limits."""
        return Control(lambda: self.store, self.clock, lambda: bindings_of(self.conf))


def _which(which: str | Filter) -> Filter:
    return Filter(ids=(which,)) if isinstance(which, str) else which


def _origin(fn: Callable[..., Any]) -> tuple[str, str]:
    code = getattr(fn, "__code__", None)
    return (code.co_filename if code else str(fn.__module__), getattr(fn, "__qualname__", repr(fn)))


def _after_fork() -> None:
    """A thread of the parent may have been opening its store; in the child nobody would ever let go of the lock."""
    for app in living(shared.apps):
        app._lock = threading.RLock()
        app._elsewhere = Elsewhere()


os.register_at_fork(after_in_child=_after_fork)

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _caller_file() -> str | None:
    """The file of the module that makes the app: the first frame that is not duly's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return None if frame is None else frame.f_globals.get("__file__")
