"""Signals: moments in the life of a call, a job and a worker that a program may listen to. Celery's names.

::

    @task_failure.connect
    def report(sender, task_id, exception, **_): ...

    @task_prerun.connect(sender=add)
    def note(task_id, **_): ...

A receiver gets everything by name and must take ``**kwargs``, because more may be told one day. It runs where the
moment is, in that thread, before the next step: keep it short. One that raises is logged and harms nothing.
Signals of workers are sent in executor processes, because the supervisor runs no code of the user's; those that
Celery sends once for each worker come from its first executor.
"""

from __future__ import annotations

import inspect
import logging
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, overload

from duly.failure import describe

log = logging.getLogger("duly.signals")

F = TypeVar("F", bound=Callable[..., Any])


class Group:
    """Signals that are looked at together: ``live`` says whether anybody listens to one of them."""

    def __init__(self) -> None:
        self.live = False
        self.signals: list[Signal] = []

    def refresh(self) -> None:
        self.live = any(signal.receivers for signal in self.signals)


class Receiver:
    """One connection."""

    def __init__(self, fn: Callable[..., Any], sender: object, weak: bool, uid: object) -> None:
        self.sender = None if sender is None else _key(sender)
        self.uid = uid
        self._fn: Callable[[], Callable[..., Any] | None]
        if weak:
            self._fn = weakref.WeakMethod(fn) if inspect.ismethod(fn) else weakref.ref(fn)
        else:
            self._fn = lambda: fn

    @property
    def fn(self) -> Callable[..., Any] | None:
        """What is called; None if it was weakly held and is gone."""
        return self._fn()

    def same(self, fn: Callable[..., Any] | None, sender: object, uid: object) -> bool:
        if uid is not None or self.uid is not None:
            return self.uid == uid
        return self.fn == fn and self.sender == (None if sender is None else _key(sender))


class Signal:
    """One moment. ``sender`` is the task, the task's name, or the worker's, as the docs of each say."""

    def __init__(self, name: str, group: Group | None = None, never: str | None = None) -> None:
        self.name = name
        self.receivers: list[Receiver] = []  # replaced, never changed in place: threads may be walking through it
        self._group = group
        self._never = never  # why it is never sent, if so
        if group is not None:
            group.signals.append(self)

    def __repr__(self) -> str:
        return f"<Signal {self.name}>"

    @overload
    def connect(
        self, receiver: F, /, *, sender: object = None, weak: bool = False, dispatch_uid: object = None
    ) -> F: ...
    @overload
    def connect(
        self, receiver: None = None, /, *, sender: object = None, weak: bool = False, dispatch_uid: object = None
    ) -> Callable[[F], F]: ...
    def connect(
        self,
        receiver: Callable[..., Any] | None = None,
        /,
        *,
        sender: object = None,
        weak: bool = False,
        dispatch_uid: object = None,
    ) -> Any:
        """Call ``receiver`` at this moment; a decorator with or without arguments.

        ``sender``: only for this task (or its name) or worker. ``weak``: forget the receiver when nobody else holds
        it. ``dispatch_uid``: connecting again under the same one replaces. Raises TypeError for a receiver that takes
        no ``**kwargs``.
        """

        def attach(fn: Callable[..., Any]) -> Callable[..., Any]:
            _check(self.name, fn)
            if self._never is not None:
                log.warning("signal %s is never sent here: %s", self.name, self._never)
            kept = [each for each in self.receivers if not each.same(fn, sender, dispatch_uid)]
            self.receivers = [*kept, Receiver(fn, sender, weak, dispatch_uid)]
            self._changed()
            return fn

        return attach if receiver is None else attach(receiver)

    def disconnect(
        self, receiver: Callable[..., Any] | None = None, sender: object = None, dispatch_uid: object = None
    ) -> bool:
        """Stop calling it; False if it was not connected."""
        kept = [each for each in self.receivers if not each.same(receiver, sender, dispatch_uid)]
        found = len(kept) < len(self.receivers)
        self.receivers = kept
        self._changed()
        return found

    def has_listeners(self, sender: object = None) -> bool:
        """Whether a moment of this sender would be told to anybody."""
        return any(each.sender is None or each.sender == _key(sender) for each in self.receivers)

    def send(self, sender: object, **told: Any) -> list[tuple[Callable[..., Any], object]]:
        """Tell all who listen, in the order they came; gives what each answered, or the exception it raised."""
        answers: list[tuple[Callable[..., Any], object]] = []
        if not self.receivers:
            return answers
        key = _key(sender)
        for each in self.receivers:
            fn = each.fn
            if fn is None or (each.sender is not None and each.sender != key):
                continue
            try:
                answers.append((fn, fn(signal=self, sender=sender, **told)))
            except Exception as exc:
                log.error("a receiver of %s raised %s", self.name, describe(exc), exc_info=True)
                answers.append((fn, exc))
        return answers

    send_robust = send  # Django's name for the one that goes on after an exception

    def _changed(self) -> None:
        if self._group is not None:
            self._group.refresh()


def _key(sender: object) -> object:
    """Tasks are compared by name, so that a name may be given, and a task made anew is the same sender."""
    return sender if isinstance(sender, str) else getattr(sender, "name", sender)


def _check(name: str, fn: Callable[..., Any]) -> None:
    if not callable(fn):
        raise TypeError(f"{name}.connect({fn!r}): expected a function")
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not tell
        return
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        said = getattr(fn, "__name__", repr(fn))
        raise TypeError(f"{name}.connect({said}): a receiver has to take **kwargs: def {said}(sender, **kwargs)")


TASKS = Group()
"""What is sent while a job runs."""

PUBLISHING = Group()
"""What is sent around a call."""

_SUPERVISOR = "the supervisor of a worker runs no code of yours"
_NO_EVENTLET = "there is no eventlet or gevent pool; async def tasks run in -P async"

before_task_publish = Signal("before_task_publish", PUBLISHING)
"""A job is about to be stored. sender: the task's name; body, exchange, routing_key, headers, properties, declare,
retry_policy. What is added to ``headers`` travels with the job (``self.request.headers``)."""
after_task_publish = Signal("after_task_publish", PUBLISHING)
"""A job was stored. sender: the task's name; body, exchange, routing_key, headers."""

task_received = Signal("task_received", TASKS)
"""An executor has a job in its hands, just before it starts. sender: the worker's name; request."""
task_prerun = Signal("task_prerun", TASKS)
"""A task is about to be called. sender: the task; task_id, task, args, kwargs."""
task_postrun = Signal("task_postrun", TASKS)
"""It was, whatever came of it. sender: the task; task_id, task, args, kwargs, retval, state."""
task_success = Signal("task_success", TASKS)
"""sender: the task; result."""
task_failure = Signal("task_failure", TASKS)
"""sender: the task; task_id, exception, args, kwargs, traceback, einfo. Not sent when the executor was killed."""
task_retry = Signal("task_retry", TASKS)
"""sender: the task; request, reason, einfo."""
task_revoked = Signal("task_revoked", TASKS)
"""A running job was cancelled. sender: the task; request, terminated, signum, expired."""
task_rejected = Signal("task_rejected", TASKS)
"""A task raised Reject. sender: the task; message, exc."""
task_unknown = Signal("task_unknown", TASKS)
"""A job of a task that this app does not know. sender: the worker's name; name, id, message, exc."""
task_internal_error = Signal("task_internal_error", never="errors of duly's own end the executor, and are logged")

celeryd_init = Signal("celeryd_init")
"""The first executor has loaded the app. sender: the worker's name; instance, conf, options."""
celeryd_after_setup = Signal("celeryd_after_setup")
"""Logging is set up and the queues are known. sender: the worker's name; instance, conf."""
worker_init = Signal("worker_init")
"""The first executor is about to begin. sender: the worker."""
worker_ready = Signal("worker_ready")
"""The first executor is about to take jobs. sender: the worker."""
worker_shutting_down = Signal("worker_shutting_down")
"""The worker was told to stop. sender: the worker's name; sig, how, exitcode."""
worker_shutdown = Signal("worker_shutdown")
"""The first executor leaves, for the worker stops. sender: the worker."""
worker_process_init = Signal("worker_process_init")
"""An executor process begins. sender: None."""
worker_process_shutdown = Signal("worker_process_shutdown")
"""An executor process leaves. sender: None; pid, exitcode."""
worker_before_create_process = Signal("worker_before_create_process", never=_SUPERVISOR)
heartbeat_sent = Signal("heartbeat_sent", never=_SUPERVISOR)
import_modules = Signal("import_modules")
"""A worker, ``duly beat`` or a verb is about to import what ``include`` and ``imports`` name. sender: the app."""
user_preload_options = Signal("user_preload_options", never="the command line takes no options of a program's own")

setup_logging = Signal("setup_logging")
"""An executor would set up logging: with a receiver, it leaves that to it. sender: None; loglevel, logfile, format,
colorize."""
after_setup_logger = Signal("after_setup_logger")
"""The root logger is set up. sender: None; logger, loglevel, logfile, format, colorize."""
after_setup_task_logger = Signal("after_setup_task_logger")
"""The logger ``celery.task`` is set up. sender: None; as above."""

beat_init = Signal("beat_init")
"""``duly beat`` begins. sender: the app."""
beat_embedded_init = Signal(
    "beat_embedded_init", never="every worker makes the jobs of schedules; there is no beat in it"
)
eventlet_pool_started = Signal("eventlet_pool_started", never=_NO_EVENTLET)
eventlet_pool_preshutdown = Signal("eventlet_pool_preshutdown", never=_NO_EVENTLET)
eventlet_pool_postshutdown = Signal("eventlet_pool_postshutdown", never=_NO_EVENTLET)
eventlet_pool_apply = Signal("eventlet_pool_apply", never=_NO_EVENTLET)

ALL: dict[str, Signal] = {name: value for name, value in list(globals().items()) if isinstance(value, Signal)}
"""Every signal by name."""
