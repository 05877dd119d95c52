"""How a job stands, in the words of Celery's result back ends. No I/O.

A back end keeps one JSON object for each task, which Celery's clients and workers read: its status, its result or
exception, and what came of it (``children``). Values are in the form that jobs have already (``codec.py``), so a
result goes through undecoded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from duly.clock import from_micros
from duly.errors import DecodeError
from duly.failure import decode_error
from duly.job import ErrorInfo, Flag, JobView, Options, Place, Progress, Sender, State

SUCCESS, FAILURE, REVOKED, RETRY, STARTED = "SUCCESS", "FAILURE", "REVOKED", "RETRY", "STARTED"
PROPAGATED = (FAILURE, REVOKED)
"""States that whatever waits for the result fails with."""

_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode
_decode_progress = msgspec.json.Decoder(Progress).decode
_options = msgspec.json.Decoder(Options).decode

_THEIRS = {
    "ChordError": ("celery.exceptions", "ChordError"),
    "DecodeError": ("celery.exceptions", "InvalidTaskError"),
    "EncodeError": ("kombu.exceptions", "EncodeError"),
    "Ignore": ("celery.exceptions", "Ignore"),
    "JobCancelled": ("celery.exceptions", "TaskRevokedError"),
    "JobUncertain": ("billiard.exceptions", "WorkerLostError"),
    "Reject": ("celery.exceptions", "Reject"),
    "RetriesExhausted": ("celery.exceptions", "MaxRetriesExceededError"),
    "Retry": ("celery.exceptions", "Retry"),
    "SoftTimeLimitExceeded": ("billiard.exceptions", "SoftTimeLimitExceeded"),
    "StoreUnavailable": ("kombu.exceptions", "OperationalError"),
    "TaskNotRegistered": ("celery.exceptions", "NotRegistered"),
    "TimeLimitExceeded": ("billiard.exceptions", "TimeLimitExceeded"),
    "WorkerLost": ("billiard.exceptions", "WorkerLostError"),
}
"""The classes that a Celery client knows, by the names of duly's own errors."""


class Standing(NamedTuple):
    """How a job stands, as Celery would say it."""

    status: str
    result: msgspec.Raw  # the value, the exception, or what goes with a state of the task's own
    traceback: str | None = None


class Origin(NamedTuple):
    """What a job's options say of where it came from."""

    sender: Sender
    place: Place


_NOBODY = Origin(Sender(), Place())


def origin(job: JobView) -> Origin:
    """Whose job it is and where it stands in their canvas."""
    if job.options is None:
        return _NOBODY
    options = _options(job.options)
    return Origin(options.sender or _NOBODY.sender, options.place or _NOBODY.place)


def ended(job: JobView) -> Standing | None:
    """The end of a job. None: it left with Ignore, and Celery tells nobody of that."""
    if job.state == State.SUCCEEDED:
        return Standing(SUCCESS, _NULL if job.result is None else msgspec.Raw(job.result))
    if job.error is None:
        name = "JobCancelled" if job.state == State.CANCELLED else "JobUncertain"
        return _failed(REVOKED if job.state == State.CANCELLED else FAILURE, _own(name, job.state.name.lower()))
    info = decode_error(job.error)
    if job.state == State.CANCELLED and info.type == "Ignore":
        return said(job)
    return _failed(REVOKED if job.state == State.CANCELLED else FAILURE, info)


def under_way(job: JobView, track_started: bool) -> Standing | None:
    """How a job stands that has not ended; None if there is nothing to tell."""
    if job.state == State.RUNNING:
        started = Standing(STARTED, msgspec.Raw(_encode({"hostname": job.worker}))) if track_started else None
        return said(job) or started
    if job.state == State.WAITING and job.attempt and job.error is not None:
        return _failed(RETRY, decode_error(job.error))
    return None


def said(job: JobView) -> Standing | None:
    """The state that its task gave itself (``update_state``)."""
    progress = None if job.progress is None else _decode_progress(job.progress)
    if progress is None or progress.state is None:
        return None
    return Standing(progress.state, _NULL if progress.meta is msgspec.UNSET else progress.meta)


def meta(job: JobView, standing: Standing, extended: bool = False) -> bytes:
    """The object that a back end keeps."""
    sender, place = origin(job)
    done = job.state.final and job.finished is not None
    told: dict[str, Any] = {
        "status": standing.status,
        "result": standing.result,
        "traceback": standing.traceback,
        "children": [] if sender.children is msgspec.UNSET else sender.children,
        "date_done": from_micros(job.finished or 0).isoformat() if done else None,
        "task_id": job.id,
    }
    if place.group is not None:
        told["group_id"] = place.group
    if place.parent is not None:
        told["parent_id"] = place.parent
    if extended:
        args, kwargs = _arguments(job)
        told |= {"name": job.task, "args": args, "kwargs": kwargs, "worker": job.worker, "retries": job.retries,
                 "queue": job.queue}  # fmt: skip
    return _encode(told)


def failure(status: str, task: str, standing: Standing, parent: str | None = None) -> bytes:
    """The object of a task that never ran, because what came before it failed."""
    return _encode(
        {
            "status": status,
            "result": standing.result,
            "traceback": standing.traceback,
            "children": [],
            "date_done": None,
            "task_id": task,
            "parent_id": parent,
        }
    )


def chord_error(dependency: str, exception: Any) -> Standing:
    """What the body of a chord fails with: ``exception`` is that of a member, as it is kept."""
    said = exception if isinstance(exception, dict) else {}
    args = said.get("exc_message", exception)
    shown = ", ".join(map(repr, args)) if isinstance(args, list | tuple) else repr(args)
    text = f"Dependency {dependency} raised {said.get('exc_type', 'Exception')}({shown})"
    return _failed(FAILURE, _own("ChordError", text))


def ignores_result(job: JobView) -> bool:
    return bool(job.flags & Flag.IGNORE_RESULT)


def _failed(status: str, info: ErrorInfo) -> Standing:
    module, name = info.module, info.type
    if module == "duly.errors":
        module, name = _THEIRS.get(name, (module, name))
    args = [info.message] if info.args is msgspec.UNSET else info.args
    exception = {"exc_type": name, "exc_message": args, "exc_module": module}
    return Standing(status, msgspec.Raw(_encode(exception)), info.traceback if status != REVOKED else None)


def _own(name: str, message: str) -> ErrorInfo:
    return ErrorInfo(type=name, message=message, module="duly.errors")


def _arguments(job: JobView) -> tuple[Any, Any]:
    try:
        args, kwargs = msgspec.json.decode(job.args, type=tuple[msgspec.Raw, msgspec.Raw])
    except msgspec.MsgspecError as exc:
        raise DecodeError(f"job {job.id}: its arguments are not JSON [args, kwargs]: {exc}") from None
    return args, kwargs
