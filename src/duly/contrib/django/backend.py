"""duly as a back end of Django's own tasks (``django.tasks`` of Django 6, the package ``django-tasks`` before)::

    TASKS = {"default": {"BACKEND": "duly.contrib.django.backend.DulyBackend", "QUEUES": []}}

    1. ``@task`` makes a Task; the back end registers it with the project's app, under its path.
    2. ``enqueue`` stores a job of that name; a worker of the app runs it as it runs every job.
    3. ``get_result`` looks the job up.

Django's priorities, -100 to 100, become duly's, 0 to 9: 0 is 4. Django's four states are those of the job: what waits
is READY, retries included; what was cancelled or is uncertain is FAILED.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import django
from django.core import checks

from duly.app import Duly
from duly.call import CallOptions
from duly.codec import decode_value
from duly.contrib.django.moments import aware, moment
from duly.contrib.django.project import project_app
from duly.failure import decode_error, encode_error
from duly.job import MAX_PRIORITY, Filter, State
from duly.request import Request, current

if django.VERSION >= (6, 0):
    from django.tasks import base, exceptions, signals, task_backends
    from django.tasks.backends.base import BaseTaskBackend
else:
    from django_tasks import base, exceptions, signals, task_backends
    from django_tasks.backends.base import BaseTaskBackend

HEADER = "django"  # what a job carries along of its Task
_STATUS = {State.WAITING: "READY", State.RUNNING: "RUNNING", State.SUCCEEDED: "SUCCESSFUL"}
_known: dict[str, Any] = {}  # the Tasks by path, as they were declared; back ends are made anew for each thread


class DulyBackend(BaseTaskBackend):
    """Enqueues into the store of the project's app. ``QUEUES``: those that are allowed; ``[]``: all."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    @property
    def app(self) -> Duly:
        return project_app()

    def validate_task(self, task: Any) -> None:
        """Django calls it for each Task that is made, and so it is where the app gets to know it."""
        super().validate_task(task)
        if task.module_path not in _known:
            _known[task.module_path] = task
            self.app.task(name=task.module_path, queue=task.queue_name)(runner(self.app, task))

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Store a job. Raises TypeError for arguments that do not fit or have no JSON form, and StoreError."""
        self.validate_task(task)
        inspect.signature(task.func).bind(*([None] if task.takes_context else []), *args, **kwargs)
        result = self.result_of(task, list(args), dict(kwargs))  # whose arguments are JSON values
        options: CallOptions = {
            "queue": task.queue_name,
            "priority": scaled(task.priority),
            "headers": {HEADER: self.alias},
        }
        if task.run_after is not None:
            options["eta"] = aware(task.run_after)
        job = self.app.tasks[task.module_path].apply_async(result.args, result.kwargs, **options)
        fill(result, id=job.id, enqueued_at=moment(self.app.clock.now()))
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The job of that id. Raises TaskResultDoesNotExist, StoreError."""
        found = self.app.store.jobs(Filter(ids=(str(result_id),)), limit=1).jobs
        if not found or found[0].task not in _known:
            raise exceptions.TaskResultDoesNotExist(result_id)
        job, attempts = found[0], self.app.store.attempts(found[0].id)
        return fill(
            self.result_of(_known[job.task], *decode_value(job.args)),
            id=job.id,
            status=base.TaskResultStatus[_STATUS.get(job.state, "FAILED")],
            enqueued_at=moment(job.created),
            started_at=moment(attempts[0].started) if attempts else None,
            last_attempted_at=moment(attempts[-1].started) if attempts else None,
            finished_at=moment(job.finished) if job.state.final else None,
            errors=[_error(one.error) for one in attempts if one.error is not None],
            worker_ids=[one.worker or "" for one in attempts],
            _return_value=None if job.result is None else decode_value(job.result),
        )

    def result_of(self, task: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """The result of a call of which nothing is known yet."""
        return base.TaskResult(
            task=task, id="", status=base.TaskResultStatus.READY, enqueued_at=None, started_at=None,
            finished_at=None, last_attempted_at=None, args=args, kwargs=kwargs, backend=self.alias, errors=[],
            worker_ids=[],
        )  # fmt: skip

    def check(self, **kwargs: Any) -> Iterable[checks.CheckMessage]:
        """For ``manage.py check``."""
        found = list(super().check(**kwargs))
        if self.options:
            names = ", ".join(sorted(self.options))
            hint = "Options of tasks are in DULY_TASK_ANNOTATIONS, by the task's path."
            text = f"TASKS[{self.alias!r}]['OPTIONS'] has {names}; duly's back end takes none."
            found.append(checks.Error(text, hint=hint, id="duly.E002"))
        return found


def scaled(priority: int) -> int:
    """-100..100 as 0..9."""
    return (priority + 100) * MAX_PRIORITY // 200


def fill(result: Any, **fields: Any) -> Any:
    """Set fields of a TaskResult, which is frozen for everybody but back ends."""
    for name, value in fields.items():
        object.__setattr__(result, name, value)
    return result


def _error(raw: bytes) -> Any:
    info = decode_error(raw)
    return base.TaskError(exception_class_path=f"{info.module}.{info.type}", traceback=info.traceback or info.message)


# -- in the worker -----------------------------------------------------------------------------------


def runner(app: Duly, task: Any) -> Callable[..., Any]:
    """What a worker calls for a job of this Task: the function, with Django's signals around it."""

    def run(*args: Any, **kwargs: Any) -> Any:
        request = current.get()
        if request is None:  # called as a function
            return task.call(*args, **kwargs)
        backend = task_backends[request.headers.get(HEADER, task.backend)]
        result = _begun(backend, task, request)
        context = [base.TaskContext(task_result=result)] if task.takes_context else []
        try:
            value = task.call(*context, *args, **kwargs)
        except BaseException as exc:
            if app.tasks[task.module_path].retry_for(exc, request) is None:
                _ended(backend, result, request, "FAILED", exc)
            raise
        _ended(backend, fill(result, _return_value=value), request, "SUCCESSFUL", None)
        return value

    run.__module__, _, run.__name__ = task.module_path.rpartition(".")
    run.__qualname__, run.__doc__ = run.__name__, task.func.__doc__
    return run


def _begun(backend: DulyBackend, task: Any, request: Request) -> Any:
    if request.is_eager:
        result = fill(
            backend.result_of(task, request.args, request.kwargs),
            id=request.id,
            status=base.TaskResultStatus.RUNNING,
            worker_ids=["eager"] * request.attempt,
        )
    else:
        result = backend.get_result(request.id)
    signals.task_started.send(type(backend), task_result=result)
    return result


def _ended(backend: DulyBackend, result: Any, request: Request, status: str, exc: BaseException | None) -> None:
    fill(result, status=base.TaskResultStatus[status], finished_at=moment(request.now()))
    if exc is not None:
        result.errors.append(_error(encode_error(exc)))
    signals.task_finished.send(type(backend), task_result=result)
