"""Exceptions to stored bytes and back.

Nothing an exception does (a ``str`` that raises, arguments without a JSON form, a traceback of megabytes)
keeps a failure from being recorded. On the way back only classes are used that this process has imported already:
a store cannot make anybody import anything.
"""

from __future__ import annotations

import builtins
import os
import sys
import traceback
from types import TracebackType

import msgspec

from duly.codec import decode_value, encode_value
from duly.errors import JobFailed
from duly.job import ErrorInfo

MAX_BYTES = 64 * 1024
"""The largest stored error."""

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_decode = msgspec.json.Decoder(ErrorInfo).decode


def encode_error(exc: BaseException, help: str | None = None) -> bytes:  # noqa: A002 - ErrorInfo's word
    """JSON of ErrorInfo. Never raises; never longer than MAX_BYTES."""
    try:
        return _encode(exc, help)
    except BaseException as second:  # a class that cannot be named, memory that is full
        return msgspec.json.encode(ErrorInfo(type="JobFailed", module="duly.errors", message=_unreadable(second)))


def describe(exc: BaseException) -> str:
    """Class and text of an exception, on one line, for a log. Never raises."""
    try:
        text = " ".join(cut(message(exc), 500).split())
        return f"{cut(type(exc).__qualname__, 200)}: {text}" if text else cut(type(exc).__qualname__, 200)
    except BaseException as second:
        return _unreadable(second)


def _unreadable(second: BaseException) -> str:
    kind = type.__repr__(type(second)).encode("ascii", "replace").decode()
    return f"<an exception that cannot be described: {kind}>"


def _encode(exc: BaseException, help: str | None) -> bytes:  # noqa: A002
    kind = type(exc)
    info = ErrorInfo(
        type=cut(kind.__qualname__, MAX_BYTES // 64),
        module=cut(str(kind.__module__), MAX_BYTES // 64),
        message=cut(message(exc), MAX_BYTES // 8),
        args=_args(exc),
        traceback=cut(_format(exc), MAX_BYTES // 2),
        help=cut(help, MAX_BYTES // 16) if help else None,
    )
    data = msgspec.json.encode(info)
    if len(data) <= MAX_BYTES:
        return data
    # JSON escapes can blow a text up sixfold; then a sixth of each is sure to fit
    small = msgspec.structs.replace(
        info,
        args=msgspec.UNSET,
        message=cut(info.message, MAX_BYTES // 48),
        traceback=cut(info.traceback or "", MAX_BYTES // 12),
        help=cut(info.help or "", MAX_BYTES // 96),
    )
    return msgspec.json.encode(small)


def decode_error(data: bytes) -> ErrorInfo:
    """The ErrorInfo of stored bytes; bytes that are none become one that says so."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError) as exc:
        return ErrorInfo(type="JobFailed", module="duly.errors", message=f"the stored error is unreadable: {exc}")


def rebuild_error(data: bytes) -> Exception:
    """The exception of stored bytes; JobFailed with its type and text where it cannot be rebuilt whole here.

    Its class is called with the exception's ``args``; one whose constructor wants other things is not rebuilt.

    The traceback of the worker and the help, if any, are attached as notes.
    """
    info = decode_error(data)
    exc = _rebuild(info)
    if exc is None:
        prefix = "" if info.module in ("builtins", "duly.errors") else f"{info.module}."
        exc = JobFailed(f"{prefix}{info.type}: {info.message}")
    if info.help:
        exc.add_note(info.help)
    if info.traceback:
        exc.add_note("In the worker:\n" + info.traceback.rstrip())
    return exc


def cut(text: str, limit: int) -> str:
    """``text`` as valid UTF-8 of at most ``limit`` bytes; the middle goes, for both ends tell something."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        half = max(0, limit // 2 - 32)
        data = data[:half] + f"\n[... {len(data) - 2 * half} bytes cut ...]\n".encode() + data[len(data) - half :]
    return data.decode("utf-8", "ignore")


def message(exc: BaseException) -> str:
    """``str(exc)``, or a text that says why there is none. Never raises."""
    try:
        return str(exc)
    except BaseException as second:
        return f"<an exception whose str() raises {type(second).__name__}>"


def _args(exc: BaseException) -> msgspec.Raw | msgspec.UnsetType:
    try:
        data = encode_value(list(exc.args), "args")
    except BaseException:  # no JSON form, or whatever an ``args`` property raises
        return msgspec.UNSET
    return msgspec.Raw(data) if len(data) <= MAX_BYTES // 8 else msgspec.UNSET


def _format(exc: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(exc), exc, theirs(exc.__traceback__)))
    except BaseException as second:
        return f"<a traceback that cannot be formatted: {type(second).__name__}>"


def theirs(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is not duly's; all of it if every frame is."""
    at = tb
    while at is not None and at.tb_frame.f_code.co_filename.startswith(_HERE):
        at = at.tb_next
    return at or tb


def _rebuild(info: ErrorInfo) -> Exception | None:
    """The exception, if its class makes it whole again; half of one fails whoever looks inside it."""
    found: object = builtins if info.module == "builtins" else sys.modules.get(info.module)
    for part in info.type.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        return None
    if info.args is not msgspec.UNSET:
        return _construct(found, bytes(info.args), info.message)
    # what a worker or the store says itself (TimeLimitExceeded, WorkerLost) is a text and no more
    return _construct(found, encode_value([info.message], "args"), info.message) if _is_ours(found) else None


def _is_ours(kind: type[Exception]) -> bool:
    return kind.__module__ == "duly.errors"


def _construct(kind: type[Exception], args: bytes, message: str) -> Exception | None:
    try:
        exc = kind(*decode_value(args))
        return exc if str(exc) == message else None
    except Exception:  # a constructor with parameters of its own
        return None
