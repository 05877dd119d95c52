"""``celery.app.base``: :class:`Celery`, a Duly app with Celery's constructor, defaults and names."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, Literal, NoReturn, ParamSpec, TypeVar, overload
from zoneinfo import ZoneInfo

from duly import result as core_result
from duly import task as core
from duly.app import BoundDecorator, Decorator, Duly
from duly.celery.app import options as words
from duly.celery.app.control import Control
from duly.celery.app.task import Task
from duly.celery.result import AsyncResult, EagerResult, GroupResult, ResultSet
from duly.config import censor, urls_of
from duly.errors import ConfigError
from duly.job import Job
from duly.request import Request, current
from duly.store.contract import Store
from duly.task import AsyncTask

log = logging.getLogger("duly")

P = ParamSpec("P")
R = TypeVar("R")

_PARTS = {
    "amqp": "there is no broker to declare queues at; app.conf.task_queues and task_routes say where calls go",
    "backend": "results are in the store: app.AsyncResult(id)",
    "connection": "there is no connection; app.store is the store",
    "connection_for_read": "there is no connection; app.store is the store",
    "connection_or_acquire": "there is no connection; app.store is the store",
    "connection_for_write": "there is no connection; app.store is the store",
    "events": "there are no events; the store knows all that happens (app.jobs(), duly status --watch)",
    "loader": "modules are found by include, imports and autodiscover_tasks; there is no loader",
    "log": "logging is set up by the worker; signals.setup_logging lets you do it yourself",
    "pool": "there is no connection pool; app.store serves every thread",
    "producer_or_acquire": "there is no connection pool; app.store serves every thread",
    "producer_pool": "there is no connection pool; app.store serves every thread",
    "bugreport": "run `duly -A proj report`",
    "oid": "there is no reply queue to name; results are in the store",
    "select_queues": "start the worker with -Q",
    "steps": "a worker has no bootsteps; signals.worker_ready and its kin are the moments of its life",
    "user_options": "the command line takes no options of a program's own",
    "Beat": "run `duly beat`, or nothing: every worker makes the jobs of schedules",
    "Worker": "run `duly -A proj worker`; in tests duly.testing or celery.contrib.testing.worker",
    "WorkController": "run `duly -A proj worker`; in tests celery.contrib.testing.worker",
}
"""Attributes of Celery's app that have no counterpart, and what to use instead."""

_CLASSES = ("loader", "amqp", "events", "log", "control", "tasks", "fixups", "backend_cls", "config_cls", "namespace")
"""Parameters of the constructor that take classes or names of Celery's parts."""


class Celery(Duly):
    """An app, made as programs make Celery's: ``Celery("proj", broker="redis://", include=["proj.tasks"])``.

    ``broker`` and ``backend`` are kept and used for nothing: jobs and results are in the store. Which one, say with
    ``store=``, ``app.conf.store`` or ``DULY_STORE``; without, it is a SQLite file beside the program, for the
    processes of this host, and a line in the log says so.
    """

    result_type = AsyncResult
    eager_result_type = EagerResult

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: Sequence[str] | str | None = None,
        set_as_current: bool = True,
        task_cls: type[Task[..., Any]] | str | None = None,
        config_source: object = None,
        changes: Mapping[str, Any] | None = None,
        autofinalize: bool = True,
        strict_typing: bool = True,
        store: str | None = None,
        **settings: Any,
    ) -> None:
        """Raises ConfigError, also for classes of Celery's parts (``amqp=``, ``loader=``): there are none here."""
        for name in _CLASSES:
            if settings.pop(name, None) is not None:
                raise ConfigError(f"Celery({name}=...) names a part that duly does not have; leave it out")
        if not strict_typing:
            raise ConfigError(
                "Celery(strict_typing=False): arguments are always checked against the task's signature"
            )
        self._as_current = set_as_current
        self.task_class = _task_class(task_cls)
        self._told_of_broker = False
        super().__init__(main or _callers_name(), store=store)
        self.main = self.name
        self.conf.add_defaults({"task_default_queue": "celery"})
        given = {"broker_url": broker, "result_backend": backend, "include": include}
        self.conf.update({name: value for name, value in given.items() if value is not None})
        self.conf.update({**(changes or {}), **settings})
        if config_source is not None:
            self.config_from_object(config_source)

    def __repr__(self) -> str:
        return f"<Celery {self.name}>"

    def __getattr__(self, name: str) -> Any:
        if (instead := _PARTS.get(name)) is not None:
            raise AttributeError(f"a duly app has no {name}: {instead}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __enter__(self) -> Celery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> core.Task[P, R]: ...
    @overload
    def task(self, *, bind: Literal[True], **options: Any) -> BoundDecorator: ...
    @overload
    def task(self, *, bind: Literal[False] = False, **options: Any) -> Decorator: ...
    def task(self, *args: Any, **options: Any) -> Any:
        """Register a function as a task, with Celery's options (docs/from-celery.md). Raises ConfigError."""
        return super().task(*args, **options)

    @property
    def Task(self) -> type[Task[..., Any]]:  # noqa: N802 - Celery's name
        """The class of this app's tasks; may be set before they are declared."""
        return self.task_class  # type: ignore[return-value]

    @Task.setter
    def Task(self, kind: type[Task[..., Any]]) -> None:  # noqa: N802
        self.task_class = _task_class(kind)

    @property
    def current_task(self) -> Any:
        """The task that runs here; None outside of a job."""
        request: Request | None = current.get()
        return None if request is None else request.of_task

    current_worker_task = current_task

    set_default = Duly.set_current

    @property
    def timezone(self) -> ZoneInfo:
        """The app's time zone."""
        return self.zone

    def GroupResult(  # noqa: N802 - Celery's name
        self, id: str, results: Sequence[core_result.AsyncResult[Any]] | None = None
    ) -> GroupResult | None:
        """A group of these results; without them that of the id, None if the store has none of its jobs."""
        return super().GroupResult(id) if results is None else GroupResult(id, results, self)

    def ResultSet(self, results: Sequence[core_result.AsyncResult[Any]]) -> ResultSet:  # noqa: N802 - Celery's name
        """Results of jobs, looked at together."""
        return ResultSet(results, self)

    @property
    def store(self) -> Store:
        if self._store is None:
            self._tell_of_broker()
        return super().store

    @functools.cached_property
    def control(self) -> Control:
        """Remote control and inspection, in Celery's form."""
        return Control(self)

    @property
    def brokers(self) -> tuple[str, ...]:
        """As Celery does, it looks for one in the environment too. One that there is no door to (``sqs://``) is kept
        like the others, so that a program written for it runs."""
        return urls_of(self.conf.broker_url) or urls_of(os.environ.get("CELERY_BROKER_URL"))

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        countdown: float | None = None,
        eta: Any = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Any:
        """Call a task by name."""
        given = {"countdown": countdown, "eta": eta, "task_id": task_id}
        options |= {key: value for key, value in given.items() if value is not None}
        return super().send_task(name, args or (), kwargs, **options)

    def make_job(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Any, fed: int = 0) -> Job:
        known = name in self.tasks  # whose own make_job reads Celery's options
        return super().make_job(name, args, kwargs, options if known else words.admit_call(name, options), fed)

    def start(self, argv: Sequence[str] | None = None) -> NoReturn:
        """The command line with this app: ``app.start(["worker", "-l", "INFO"])``; exits with its status."""
        from duly.cli import main

        main(["-A", self._spec(), *(sys.argv[1:] if argv is None else argv)])

    def worker_main(self, argv: Sequence[str] | None = None) -> NoReturn:
        """A worker of this app: ``app.worker_main(["worker", "-l", "INFO"])``. Raises ValueError without "worker"."""
        words = list(sys.argv[1:] if argv is None else argv)
        if "worker" not in words:
            raise ValueError(f"worker_main({words}): expected the word worker, as in ['worker', '--loglevel=INFO']")
        self.start(words)

    def _spec(self) -> str:
        """What ``-A`` has to be for this app: the executors import it anew."""
        for name, module in list(sys.modules.items()):
            for attribute, value in list(vars(module).items()) if module is not None else ():
                if value is self and not name.startswith("duly"):
                    return f"{_module_name(name, module)}:{attribute}"
        raise ConfigError(f"app {self.name} is in no module; a worker has to import it: keep it in a global variable")

    def _tell_of_broker(self) -> None:
        """Once, where a person looks: a broker was named, and no store."""
        broker = self.conf.get("broker_url") or os.environ.get("CELERY_BROKER_URL")
        if self._told_of_broker or not broker or self.conf.store is not None or os.environ.get("DULY_STORE"):
            return
        self._told_of_broker = True
        level = logging.INFO if "DULY_EXECUTOR" in os.environ else logging.WARNING
        log.log(
            level, "app %s: its jobs are not in its broker %s but in %s, which only processes of this host share; "
            "store= or DULY_STORE names another store", self.name,
            censor("broker_url", broker), self.store_url,
        )  # fmt: skip


def _task_class(given: type[Task[..., Any]] | str | None) -> type[Task[..., Any]]:
    """The class itself, or that which ``"module:Class"`` or ``"module.Class"`` names."""
    if given is None:
        return Task
    if isinstance(given, str):
        import importlib

        module, _, name = given.replace(":", ".").rpartition(".")
        given = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(given) and issubclass(given, Task)):
        raise ConfigError(f"task class {given!r}: expected a subclass of celery.Task")
    return given


def _module_name(name: str, module: ModuleType) -> str:
    """By which name others import a module; that of the program itself is ``__main__`` only here."""
    if name != "__main__":
        return name
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    return str(spec.name) if spec is not None else Path(file or "main").stem


def _callers_name() -> str:
    """The module that makes an app without a name; a program's own goes by its file."""
    here = str(Path(__file__).parents[2])
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    name = "__main__" if frame is None else str(frame.f_globals.get("__name__", "__main__"))
    if name != "__main__":
        return name
    file = None if frame is None else frame.f_globals.get("__file__")
    return Path(file).stem if file else "main"
