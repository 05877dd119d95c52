"""Arguments, results and errors as they are shown: exact JSON, and what a task declares sensitive hidden
(``secrecy.py``). Numbers stay as they are stored, digit for digit."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from duly.cli.text import compact, decode
from duly.job import ErrorInfo, JobView
from duly.secrecy import HIDDEN_JSON, HasArguments, call_of, sensitive, visible

_error = msgspec.json.Decoder(ErrorInfo).decode


def restored(posted: bytes, stored: HasArguments) -> bytes:
    """Edited arguments with the stored value in the place of each HIDDEN that was posted back.

    Raises ValueError for what are no arguments.
    """
    try:
        args, kwargs = call_of(posted)
    except msgspec.MsgspecError as exc:
        raise ValueError(f"expected [[positional], {{named}}] as JSON: {exc}") from None
    if sensitive(stored.options):
        old_args, old_kwargs = _stored_call(stored.args)
        args = [
            old_args[at] if bytes(value) == bytes(HIDDEN_JSON) and at < len(old_args) else value
            for at, value in enumerate(args)
        ]
        kwargs = {
            name: old_kwargs[name] if bytes(value) == bytes(HIDDEN_JSON) and name in old_kwargs else value
            for name, value in kwargs.items()
        }
    return msgspec.json.encode([args, kwargs])


def _stored_call(stored: bytes) -> tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]:
    """Stored arguments; nothing of what are none, so that all that is hidden there is lost when it is edited."""
    try:
        return call_of(stored)
    except msgspec.MsgspecError:
        return [], {}


def is_same_call(one: bytes, other: bytes) -> bool:
    """The same arguments, however they are spaced."""
    try:
        return msgspec.json.encode(call_of(one)) == msgspec.json.encode(call_of(other))
    except msgspec.MsgspecError:
        return one == other


def pretty(stored: bytes | None) -> str:
    """Stored JSON over several lines, its numbers untouched; text that is not JSON as it is."""
    if stored is None:
        return ""
    if compact(stored) is None:
        return decode(stored)
    return decode(msgspec.json.format(stored, indent=2))


def call_text(one: HasArguments) -> str:
    """Arguments as they would be written in a call: ``4, 4, name="x"``; JSON that is no call as it is."""
    shown = visible(one)
    try:
        args, kwargs = call_of(compact(shown) or b"")
    except msgspec.MsgspecError:
        return decode(compact(shown) or shown)
    return ", ".join([*(decode(bytes(arg)) for arg in args), *(f"{k}={decode(bytes(v))}" for k, v in kwargs.items())])


def parsed(one: HasArguments) -> tuple[list[Any], dict[str, Any]] | None:
    """The visible arguments as values; None if what is stored are no arguments."""
    try:
        found = msgspec.json.decode(visible(one), type=tuple[list[Any], dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found


def error_of(stored: bytes | None) -> ErrorInfo | None:
    """What is stored of an exception."""
    if stored is None:
        return None
    try:
        return _error(stored)
    except msgspec.MsgspecError:
        return ErrorInfo(type="?", message=decode(stored))


_FRAME = re.compile(r'^  File "(?P<file>[^"\n]*)", line \d+, in (?P<name>.+)$', re.MULTILINE)
_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\d+|'[^'\n]*'|\"[^\"\n]*\"")


def place_of(error: ErrorInfo) -> str:
    """Where it was raised: file and function, without the line, which moves with every edit."""
    frames = _FRAME.findall(error.traceback or "")
    return f"{frames[-1][0]} in {frames[-1][1]}" if frames else ""


def alike(error: ErrorInfo) -> str:
    """The first line of its message with what varies from one to the next left out."""
    return _VARYING.sub("…", error.message.strip().partition("\n")[0])[:200]


def fingerprint(job: JobView) -> str:
    """The same for failures that have the same cause: task, class, place and the constant part of the message."""
    error = error_of(job.error)
    if error is None:
        return "none"
    parts = (job.task, error.module, error.type, place_of(error), alike(error))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]
