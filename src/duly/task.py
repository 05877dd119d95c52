"""Task: a registered function, the ways to call it later, and what it can do while it runs.

Mostly it is made of a function by ``@app.task``. A class of its own (``base=``, or ``class Fetch(Task)`` with a
``run``) adds hooks, attributes and a ``__call__`` around all runs.

``delay`` and its kin check the arguments, make a Job and hand it to the app's client (five files from here to your
function: see docs/architecture.md). In the worker, ``run`` is the function itself, and ``request`` is the
attempt that runs.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    ParamSpec,
    TypeVar,
    Unpack,
    cast,
)

import msgspec

from duly import eager, retry
from duly.call import (
    Call,
    CallOptions,
    Defaults,
    check_length,
    check_limits,
    check_names,
    check_parts,
    make_job,
)
from duly.codec import Codec
from duly.errors import ConfigError
from duly.hooks import Hooks
from duly.ids import new_id
from duly.inside import Inside
from duly.job import Flag, Job, WhenLate
from duly.oncommit import OnCommit
from duly.result import AsyncResult
from duly.signing import Signs
from duly.task_options import CHECKS, TaskOptions, check_options, hidden
from duly.using import Using

if TYPE_CHECKING:
    from duly.app import Duly

P = ParamSpec("P")
R = TypeVar("R")

_BULK = 1_000

LATE_TOLERANCE = 60.0
"""Seconds that a job may be late before ``on_late`` decides, unless the task or the call says otherwise."""


class Task(Hooks, Inside, OnCommit[P, R], Signs[P, R]):
    """One registered function. Made by ``@app.task``; shared by all threads.

    Calling it runs the function here and now; ``delay`` and ``apply_async`` store a job.

    A subclass may set options as class attributes (``max_retries = 5``), define the hooks (``on_failure`` ...), or
    ``run``, for ``app.register_task``. Each task is one object for the life of the process.
    """

    is_async = False
    interruptible: ClassVar[bool] = True
    """False: a job that is cancelled while it runs is not interrupted, because it asks itself
    (``celery.contrib.abortable``); it is ended when ``worker_cancel_grace`` is over."""
    _of_class: ClassVar[Mapping[str, Any]] = {}  # options that it and its bases set as class attributes

    app: Duly
    name: str
    run: Callable[..., Any]
    """The function with ``self`` filled in; gives a coroutine if it is ``async def``."""
    _declared: TaskOptions
    _annotated: tuple[Mapping[str, Any], TaskOptions]  # the setting task_annotations, and what it made of _declared
    _defaults_of: Mapping[str, Any] | None  # the settings that _defaults were made of
    _defaults: Defaults

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take the options out of the class, so that settings and annotations hold for them as for all others."""
        super().__init_subclass__(**kwargs)
        found: dict[str, Any] = {}
        for kind in reversed(cls.__mro__[1:]):
            found |= kind.__dict__.get("_of_class", {})
        for name in cls.option_names():
            if name in cls.__dict__ and not isinstance(cls.__dict__[name], property | functools.cached_property):
                found[name] = getattr(cls, name)
                delattr(cls, name)
        cls._of_class = found

    def __getattr__(self, name: str) -> Any:
        if name in ("app", "codec", "bind", "fn", "run", "_annotated"):
            kind = type(self).__name__
            raise RuntimeError(f"this {kind} belongs to no app yet: fetch = app.register_task({kind}())")
        if name in CHECKS and "_declared" in self.__dict__:
            return self._option(name)
        raise AttributeError(f"task {self.__dict__.get('name', type(self).__name__)} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """``add.max_retries = 5`` declares the option anew, for jobs made and workers started after it; what is no
        option is an attribute as in any object. Raises ConfigError."""
        if "_declared" in self.__dict__ and name in self.option_names():
            self._declare(name, value)
        if name not in CHECKS or "_declared" not in self.__dict__:
            super().__setattr__(name, value)

    def _declare(self, name: str, value: Any) -> None:
        if name == "name":
            raise ConfigError(f"task {self.name}: its name cannot be changed to {value!r}; give it with name=")
        declared: TaskOptions = {**self._declared, **self.admit(self.name, {name: value})}
        check_options(self.name, declared)
        self._declared = declared
        self._annotated = ({}, self._declared)
        self._defaults_of = None
        self.__dict__.pop("retry_policy", None)  # worked out of the options

    def _fit(self, app: Duly, fn: Callable[..., Any], name: str, bind: bool, options: Mapping[str, Any]) -> None:
        """Make it the task of ``fn`` in ``app``; ``fn`` is called with the task first if ``bind``."""
        declared = self.admit(name, {**self._of_class, **options})
        check_options(name, declared)
        functools.update_wrapper(self, fn)
        self.app = app
        self.name = name
        self.bind = bind
        self.fn = fn
        self.codec = self.make_codec(name, fn, bind)
        self._annotated = ({}, declared)
        self._defaults_of = None
        self.run = functools.partial(fn, self) if bind else fn
        self._declared = declared  # last: from here on an option that is set is declared anew

    @classmethod
    def option_names(cls) -> Collection[str]:
        """The class attributes that are options."""
        return CHECKS

    def admit(self, name: str, options: Mapping[str, Any]) -> TaskOptions:
        """The options to keep, of what was declared (``duly.celery`` puts Celery's into duly's words)."""
        return cast(TaskOptions, options)

    def make_codec(self, name: str, fn: Callable[..., Any], bind: bool) -> Codec:
        """How its arguments and results are written."""
        return Codec(name, fn, skip_first=bind)

    def __repr__(self) -> str:
        return f"<Task {self.__dict__.get('name', type(self).__name__)}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function in this process, now."""
        return self.run(*args, **kwargs)  # type: ignore[no-any-return]

    @property
    def entry(self) -> Callable[..., Any]:
        """What a worker calls: ``run``, or a ``__call__`` that its class puts around it."""
        return self.run if type(self).__call__ in _PLAIN_CALLS else self

    # -- its settings ----------------------------------------------------------------------------

    @property
    def options(self) -> TaskOptions:
        """What was declared, with what the setting ``task_annotations`` says instead. Raises ConfigError."""
        annotations, options = self._annotated
        if annotations is not self.app.conf.task_annotations:
            annotations = self.app.conf.task_annotations
            added = {**annotations.get("*", {}), **annotations.get(self.name, {})}
            if "name" in added:
                raise ConfigError(f"task_annotations for {self.name}: a task's name cannot be changed there")
            options = {**self._declared, **self.admit(self.name, added)}
            check_options(self.name, options)
            self._annotated = (annotations, options)
        return options

    def _option(self, name: str) -> Any:
        """What holds of an option that nothing else here asks for: None if nothing was said."""
        if name in retry.Policy.__struct_fields__:
            return getattr(self.retry_policy, name)
        return self.options.get(name, () if name in ("throws", "sensitive") else None)

    @property
    def queue(self) -> str:
        """Where its jobs go, unless a call or a router of calls says otherwise."""
        return self.defaults().queue

    @property
    def priority(self) -> int:
        return self.defaults().priority

    @property
    def max_retries(self) -> int | None:
        """None: for ever."""
        return self.options.get("max_retries", self.app.conf.task_max_retries)

    @property
    def soft_time_limit(self) -> float | None:
        """Seconds; None: no limit."""
        return self.options.get("soft_time_limit", self.app.conf.task_soft_time_limit)

    @property
    def time_limit(self) -> float | None:
        """Seconds; None: no limit."""
        return self.options.get("time_limit", self.app.conf.task_time_limit)

    @property
    def at_most_once(self) -> bool:
        return self.options.get("at_most_once", self.app.conf.task_at_most_once)

    @property
    def ignore_result(self) -> bool:
        return self.options.get("ignore_result", self.app.conf.task_ignore_result)

    @property
    def on_late(self) -> WhenLate:
        """What happens to a job that can start only more than ``late_tolerance`` after its due."""
        return self.options.get("on_late", "run")

    @property
    def late_tolerance(self) -> float:
        """Seconds."""
        return self.options.get("late_tolerance", LATE_TOLERANCE)

    @functools.cached_property
    def retry_policy(self) -> retry.Policy:
        """When its failed runs are repeated; ``max_retries`` is in the request, which may override it."""
        names = set(retry.Policy.__struct_fields__) & set(self.options)
        return retry.Policy(**{name: self.options[name] for name in names})  # type: ignore[literal-required]

    def defaults(self) -> Defaults:
        """What it brings to each of its jobs; kept until a setting changes."""
        conf = self.app.conf.changed
        if self._defaults_of is not conf:
            self._defaults, self._defaults_of = self._make_defaults(), conf
        return self._defaults

    def _make_defaults(self) -> Defaults:
        flags = Flag.AT_MOST_ONCE if self.at_most_once else 0
        if self.ignore_result:
            flags |= Flag.IGNORE_RESULT
        routing = self.app.routing
        made = routing.defaults(
            self.name, self.options, int(flags), None if routing.asks else routing.route(self.name)
        )
        secret = hidden(self.name, self.codec.signature, self.options.get("sensitive", ()))
        return msgspec.structs.replace(made, sensitive=secret) if secret else made

    def defaults_of(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions) -> Defaults:
        """:meth:`defaults`, with what routers of calls say if there are any."""
        defaults = self.defaults()
        if defaults.routing is None or not defaults.routing.asks:
            return defaults
        route = defaults.routing.route(self.name, args, kwargs, options, self)
        routed = defaults.routing.defaults(self.name, self.options, defaults.flags, route)
        return msgspec.structs.replace(routed, sensitive=defaults.sensitive)

    def check(self) -> None:
        """Refuse what is wrong only together with the app's settings. Raises ConfigError."""
        try:
            check_limits(self.soft_time_limit, self.time_limit)
            self.defaults()
        except ValueError as exc:
            raise ConfigError(f"task {self.name}: {exc}") from None

    # -- calling it later ------------------------------------------------------------------------

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Store a job that runs ``self(*args, **kwargs)`` as soon as a worker is free.

        Raises TypeError and EncodeError for arguments that do not fit, StoreError.
        """
        return self._send(self.make_job(args, kwargs, _NO_OPTIONS))

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """:meth:`delay` with options: when, on which queue, under which key (see CallOptions).

        Raises, further, ValueError for options out of range and DuplicateKey.
        """
        check_parts(args, kwargs)
        if "link" in options or "link_error" in options:
            return self.signature(args, kwargs, **options).apply_async()
        return self._send(self.make_job(args, kwargs or {}, options))

    def apply(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """Run the task here and now as a job that no store knows, retries included; gives its result.

        ``throw``: raise what the task raises; by the setting ``task_eager_propagates`` unless given.
        """
        check_parts(args, kwargs)
        if "link" in options or "link_error" in options:
            return self.signature(args, kwargs, **options).apply(throw=throw)
        return eager.run(self, self.make_job(args, kwargs or {}, options), throw)

    def using(self, connection: object) -> Using[P, R]:
        """The same calls inside a transaction of yours, on ``connection``: rolled back, the job has never been.

        ``connection`` is to the database of the app's store: a psycopg 3 connection, a SQLAlchemy Connection or
        Session, a Django connection or its alias. Raises ConfigError if the store cannot do so.
        """
        return Using(self, connection)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """:meth:`delay` for coroutines: the event loop is not blocked while the job is stored."""
        return await self._asend(self.make_job(args, kwargs, _NO_OPTIONS))

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """:meth:`apply_async` for coroutines."""
        check_parts(args, kwargs)
        if "link" in options or "link_error" in options:
            return await self.signature(args, kwargs, **options).aapply_async()
        return await self._asend(self.make_job(args, kwargs or {}, options))

    def enqueue_many(
        self, calls: Iterable[Sequence[Any] | Call], **options: Unpack[CallOptions]
    ) -> list[AsyncResult[R]]:
        """Store many jobs, 1,000 in a transaction: each a tuple of arguments or a Call with options of its own.

        ``options`` hold for all. ``calls`` may be a generator of any length. If one is refused, those of earlier
        transactions are stored.
        """
        check_names(options)
        many: list[AsyncResult[R]] = []
        source = iter(calls)
        while chunk := list(itertools.islice(source, _BULK)):
            many += self._send_many(chunk, options)
        return many

    async def aenqueue_many(
        self, calls: Iterable[Sequence[Any] | Call], **options: Unpack[CallOptions]
    ) -> list[AsyncResult[R]]:
        """:meth:`enqueue_many` for coroutines, in a thread."""
        import asyncio

        return await asyncio.to_thread(self.enqueue_many, calls, **options)

    def make_job(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions, fed: int = 0) -> Job:
        """The job of a call, not stored; ``fed``: how many arguments come before these when it starts.

        Raises what :meth:`delay` does, but no StoreError.
        """
        defaults = self.defaults_of(args, kwargs, options)
        if fed:
            data = self.codec.encode_rest(args, kwargs, fed)
            return self.unlimited(self._made(defaults, data, options, self.app.now()))
        data = self.codec.encode_args(args, kwargs)
        return self.limited(self._made(defaults, data, options, self.app.now()), args, kwargs)

    def limited(self, job: Job, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
        """The job with the key that ``limit_key`` gives for its arguments, as text; None: no key."""
        limit_key = self.options.get("limit_key")
        if limit_key is None:
            return job
        key = limit_key(*args, **kwargs)
        if key is None:
            return job
        check_length(f"limit_key of {self.name}", text := str(key))
        return msgspec.structs.replace(job, limit_key=text)

    def unlimited(self, job: Job) -> Job:
        """The job of a call whose arguments are not all known. Raises TypeError if a limit's key depends on them."""
        if self.options.get("limit_key") is not None:
            raise TypeError(
                f"{self.name} has a limit_key, which needs all arguments at the call, and is to get some from the "
                "job before it; use an immutable signature, .si(), or take the limit_key away"
            )
        return job

    def _made(self, defaults: Defaults, data: bytes, options: CallOptions, now: int) -> Job:
        if options or defaults.expires is not None or defaults.route or defaults.sensitive:
            return make_job(defaults, data, options, now, self.app.zone)
        return _plain_job(defaults, data, now)

    def result_of(self, id: str) -> AsyncResult[R]:
        """What a call gives; a class of tasks may have results of its own."""
        return self.app.result_type(id, self.app, self)

    def _send(self, job: Job) -> AsyncResult[R]:
        if self.app.conf.task_always_eager:
            return eager.run(self, job)
        return self.result_of(self.app.client.enqueue(job).id)

    async def _asend(self, job: Job) -> AsyncResult[R]:
        if self.app.conf.task_always_eager:
            return await eager.arun(self, job)
        return self.result_of((await self.app.client.aenqueue(job)).id)

    def make_jobs(self, calls: Sequence[Sequence[Any] | Call], shared: CallOptions) -> list[Job]:
        """The jobs of a bulk, not stored."""
        app, defaults, now = self.app, self.defaults(), self.app.now()
        plain = not shared and defaults.expires is None and self.options.get("limit_key") is None
        plain = plain and not defaults.route and not defaults.sensitive and not app.routing.asks
        jobs = []
        for call in calls:
            if plain and type(call) is tuple:
                jobs.append(_plain_job(defaults, self.codec.encode_args(call, {}), now))
                continue
            args, kwargs, own = _parts(call)
            options: Any = {**shared, **own}
            data = self.codec.encode_args(args, kwargs)
            job = self._made(self.defaults_of(args, kwargs, options), data, options, now)
            jobs.append(self.limited(job, args, kwargs))
        return jobs

    def _send_many(self, calls: Sequence[Sequence[Any] | Call], shared: CallOptions) -> list[AsyncResult[R]]:
        app, jobs = self.app, self.make_jobs(calls, shared)
        if app.conf.task_always_eager:
            return [eager.run(self, job) for job in jobs]
        return [self.result_of(answer.id) for answer in app.client.enqueue_bulk(jobs)]


class AsyncTask(Task[P, R]):
    """A task whose function is ``async def``: calling it gives a coroutine."""

    is_async = True

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """The coroutine of the function, to be awaited here."""
        return self.run(*args, **kwargs)  # type: ignore[no-any-return]


def _plain_job(defaults: Defaults, data: bytes, now: int) -> Job:
    """The job of a call without options."""
    return Job(
        id=new_id(), task=defaults.task, due=now, args=data,
        queue=defaults.queue, priority=defaults.priority, flags=defaults.flags,
    )  # fmt: skip


def _parts(call: Any) -> tuple[Sequence[Any], Mapping[str, Any], Mapping[str, Any]]:
    """Arguments, keyword arguments and options of one call of a bulk."""
    if isinstance(call, Call):
        return call.args, call.kwargs, call.options
    if isinstance(call, str | bytes) or not isinstance(call, Sequence):
        raise TypeError(
            f"enqueue_many: expected a tuple of arguments or a Call, got {call!r}; for one argument: (x,)"
        )
    return call, {}, {}


_PLAIN_CALLS = (Task.__call__, AsyncTask.__call__)
"""The ``__call__`` that a class has if it puts nothing around the runs of its tasks."""

_NO_OPTIONS: CallOptions = {}
