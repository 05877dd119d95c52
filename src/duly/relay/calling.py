"""From a call of a remote task to Celery's message, and from Celery's answer to the job's outcome."""

from __future__ import annotations

import builtins
from typing import Any

import msgspec

from duly import feeding
from duly.feeding import InStore
from duly.gateway import wire
from duly.gateway.envelope import Envelope
from duly.job import ErrorInfo, Flag, Kind, Lease, Options, Outcome, Place
from duly.relay.broker import Form
from duly.store import Store

_NO_OPTIONS = Options()
_NO_PLACE = Place()


class Meta(msgspec.Struct, frozen=True):
    """What a Celery worker wrote for who waits for a task."""

    status: str
    task_id: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    traceback: str | None = None


class _Exception(msgspec.Struct, frozen=True):
    exc_type: str = "Exception"
    exc_message: Any = None  # the exception's arguments, mostly
    exc_module: str | None = None


def message_of(lease: Lease, store: Store, form: Form, reply_to: str) -> Envelope:
    """The call as a message; the job's id is the task's. ``reply_to``: the queue for the answer, or empty.

    Raises JobError if it is to get results of jobs before it and they are gone, and StoreError.
    """
    options = msgspec.json.decode(lease.options, type=Options) if lease.options else _NO_OPTIONS
    place = options.place or _NO_PLACE
    return wire.encode(
        wire.Message(
            id=lease.id,
            task=lease.task,
            args=feeding.sent(InStore(store), lease.args, place.feed) if place.feed else lease.args,
            expires=lease.expires,
            soft_time_limit=options.soft_time_limit,
            time_limit=options.time_limit,
            root_id=place.root,
            parent_id=place.parent,
            ignore_result=bool(lease.flags & Flag.IGNORE_RESULT),
            reply_to=reply_to or None,
            priority=form.priority(lease.priority),
            headers=msgspec.json.decode(lease.headers) if lease.headers else {},
            origin="duly",
        )
    )


def outcome_of(lease: Lease, meta: bytes, started: int, now: int) -> Outcome | None:
    """How it ended; None: it has not yet."""
    try:
        said = msgspec.json.decode(meta, type=Meta)
    except msgspec.MsgspecError as exc:
        return _failed(
            lease, ErrorInfo(type="DecodeError", module="duly.errors", message=_UNREADABLE % exc), started, now
        )
    if said.status == "SUCCESS":
        return Outcome(lease, Kind.SUCCEEDED, started, now, bytes(said.result))
    if said.status == "REVOKED":
        return Outcome(lease, Kind.CANCELLED, started, now)
    if said.status == "FAILURE":
        return _failed(lease, _error(said), started, now)
    return None


def _error(said: Meta) -> ErrorInfo:
    try:
        exc = msgspec.json.decode(said.result, type=_Exception)
    except msgspec.MsgspecError:
        return ErrorInfo(
            type="JobFailed", module="duly.errors", message=bytes(said.result).decode(), traceback=said.traceback
        )
    args = exc.exc_message if isinstance(exc.exc_message, list) else [exc.exc_message]
    return ErrorInfo(
        type=exc.exc_type,
        module=exc.exc_module or "builtins",
        message=_text(exc.exc_type, args),
        args=msgspec.Raw(msgspec.json.encode(args)),
        traceback=said.traceback,
    )


def _text(kind: str, args: list[Any]) -> str:
    """What ``str`` says of the exception: Celery tells its class and arguments."""
    known = getattr(builtins, kind, Exception)
    try:
        return str(known(*args)) if issubclass(known, Exception) else str(Exception(*args))
    except Exception:  # it wants other arguments
        return str(Exception(*args))


def _failed(lease: Lease, error: ErrorInfo, started: int, now: int) -> Outcome:
    return Outcome(lease, Kind.FAILED, started, now, None, msgspec.json.encode(error))


_UNREADABLE = "Celery's answer cannot be read: %s"
