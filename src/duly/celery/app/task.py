"""``celery.app.task``: a task with Celery's words around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn, ParamSpec, TypeVar, cast

from duly import task as core
from duly.celery.app import options as words
from duly.celery.app.pickled import PickleCodec, accepts, check_serializer, pickling_arguments
from duly.celery.exceptions import MaxRetriesExceededError, OperationalError
from duly.codec import Codec
from duly.errors import ConfigError, Retry
from duly.hooks import NAMES as HOOKS
from duly.job import Job
from duly.request import HOST, Request, current
from duly.result import AsyncResult
from duly.task_options import TaskOptions

P = ParamSpec("P")
R = TypeVar("R")


class Context:
    """``self.request`` of a task that was called as a function: everything is None, or says that there is no job."""

    called_directly = True
    is_eager = False
    retries = 0
    hostname = HOST

    def __init__(self, task: core.Task[..., Any]) -> None:
        self.task = task.name
        self.headers: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return None  # id, args, kwargs, delivery_info, root_id, group, whatever Celery's has

    def get(self, name: str, default: Any = None) -> Any:
        found = getattr(self, name)
        return default if found is None else found

    def __repr__(self) -> str:
        return f"<Context: no job of {self.task}>"


class Task(core.Task[P, R]):
    """A task as Celery has it; made by ``@app.task`` of a :class:`Celery` app, or a class of your own."""

    MaxRetriesExceededError: ClassVar[type[Exception]] = MaxRetriesExceededError
    OperationalError: ClassVar[type[Exception]] = OperationalError

    @classmethod
    def option_names(cls) -> Collection[str]:
        return words.TASK_NAMES

    def admit(self, name: str, options: Mapping[str, Any]) -> TaskOptions:
        for key in HOOKS:  # @app.task(on_failure=...) and annotations may bring them
            if key in options:
                raise ConfigError(f"task {name}: {key}= is a method; define it in a class: @app.task(base=MyTask)")
        if "serializer" in options:
            self._serializer = options["serializer"]
        return cast(TaskOptions, words.admit_task(name, options))

    def __getattr__(self, name: str) -> Any:
        """Also what is so of Celery's options that nobody can choose here: ``add.acks_late`` is True."""
        if name in words.TASK_SO_ANYWAY:
            return words.TASK_SO_ANYWAY[name][0][0]
        if name == "serializer":
            return self.__dict__.get("_serializer") or self.app.conf.get("task_serializer") or "json"
        return super().__getattr__(name)

    def make_codec(self, name: str, fn: Callable[..., Any], bind: bool) -> Codec:
        return PickleCodec(name, fn, skip_first=bind, pickling=self._pickles, accepted=self._accepts_pickle)

    def check(self) -> None:
        super().check()
        self._pickles()

    def _pickles(self) -> bool:
        conf = self.app.conf
        serializer = self.__dict__.get("_serializer") or conf.get("task_serializer")
        if serializer is None:
            return False
        return check_serializer(f"task {self.name}", serializer, conf.get("accept_content"))

    def _accepts_pickle(self) -> bool:
        return accepts(self.app.conf.get("accept_content"))

    # -- calling it ------------------------------------------------------------------------------

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """As Celery documents it; docs/from-celery.md says what becomes of each option.

        Raises TypeError for an option that is refused or does not exist.
        """
        given = {"task_id": task_id, "producer": producer, "link": link, "link_error": link_error, "shadow": shadow}
        options |= {key: value for key, value in given.items() if value is not None}
        return super().apply_async(args or (), kwargs, **cast(Any, options))

    def make_job(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], fed: int = 0
    ) -> Job:
        if not options:
            return super().make_job(args, kwargs, {}, fed)
        made = words.admit_call(self.name, options)
        serializer = options.get("serializer")
        if not check_serializer(f"call of {self.name}", serializer, self.app.conf.get("accept_content")):
            return super().make_job(args, kwargs, made, fed)
        with pickling_arguments():
            return super().make_job(args, kwargs, made, fed)

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AsyncResult[R]:  # noqa: N802 - Celery's name
        """The job of that id."""
        return self.result_of(task_id)

    # -- while it runs ---------------------------------------------------------------------------

    @property
    def request(self) -> Request:
        """The attempt that runs here; outside of a job a stand-in, whose ``called_directly`` is true."""
        return current.get() or cast(Request, Context(self))

    def retry(  # type: ignore[override]  # Celery's order of arguments
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | timedelta | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Leave the task and have it run again. Raises Retry; ``exc`` or MaxRetriesExceededError when none is left.

        The options of the job stay as they are: TypeError for others.
        """
        request = current.get()
        if request is not None:
            for name in ("queue", "priority", "headers", "expires", "time_limit", "soft_time_limit"):
                if options.get(name) is not None:
                    raise TypeError(f"{self.name}.retry({name}=...): a retry keeps the options of its job")
        if isinstance(countdown, timedelta):
            countdown = countdown.total_seconds()
        return super().retry(
            args=args, kwargs=kwargs, exc=exc, countdown=countdown, eta=eta, max_retries=max_retries, throw=throw
        )

    def exhausted(self, exc: BaseException | None, handled: BaseException | None, text: str) -> BaseException:
        return exc or MaxRetriesExceededError(text)

    def update_state(  # type: ignore[override]  # Celery's order of arguments
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> None:
        """Say where the running task is: a state of your own, and JSON beside it (``AsyncResult.state``, ``.info``).

        Raises ValueError for another job's id: only a job itself says where it is.
        """
        if task_id is not None and task_id != self.request.id:
            raise ValueError(
                f"update_state(task_id={task_id!r}): job {self.request.id} runs here, and says its own state"
            )
        super().update_state(state or "STARTED", meta)

    def send_event(self, type_: str, **fields: Any) -> NoReturn:
        raise TypeError(
            "send_event: there are no events; self.update_state, self.progress and logging say what goes on"
        )
