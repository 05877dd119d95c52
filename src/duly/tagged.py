"""JSON for values whose type is known only to themselves (no annotation says what they were).

Types that JSON lacks are written in kombu's form, ``{"__type__": "datetime", "__value__": "..."}``, so that
Celery programs read what duly writes and the other way round; ``float`` (nan and the infinities), ``timedelta``
and ``dict`` are ours. A dict of the user's that looks like such a tag is itself tagged, so it comes back as it was.
Whatever has neither form is refused with EncodeError and the place it was found at; nothing is turned into text
or null on the quiet.
"""

from __future__ import annotations

import base64
import enum
import json
import math
import reprlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from duly.errors import DecodeError, EncodeError

MARKER = b'"__type__"'
"""Stands in every payload that needs :func:`untag`; payloads without it are read as they are."""

RICH = (datetime, date, time, timedelta, Decimal, UUID, bytes, bytearray, memoryview)
"""The types that are tagged."""

_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_TAG_KEYS = {"__type__", "__value__"}
_MAX_DEPTH = 200


def encode(value: object, where: str) -> bytes:
    """JSON of ``value``; ``where`` names it in the EncodeError of what has no JSON form."""
    try:
        text = _dumps(value)  # in C, and enough for nearly everything
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None or "__type__" in text:
        text = _dumps(tag(value, where))
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise EncodeError(f"{where} holds text that is not valid Unicode ({exc.reason}): {short(value)}") from None


def tag(value: object, where: str, depth: int = 0) -> Any:
    """``value`` with everything JSON lacks replaced by its tagged form."""
    if value is None or isinstance(value, str | int):  # bool, StrEnum and IntEnum are among them
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _tagged("float", repr(float(value)))
    if depth > _MAX_DEPTH:
        place = where if len(where) <= 60 else f"{where[:60]}..."
        raise EncodeError(f"{place} is nested more than {_MAX_DEPTH} deep, or contains itself")
    if isinstance(value, list | tuple):
        return [tag(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return _tag_dict(value, where, depth)
    for kind, name, write in _WRITERS:
        if isinstance(value, kind):
            return _tagged(name, write(value))
    raise EncodeError(_refusal(value, where))


def untag(value: Any) -> Any:
    """The inverse of :func:`tag`, for what a JSON decoder gave. Tags nobody knows are left as they are."""
    if isinstance(value, list):
        return [untag(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == _TAG_KEYS and isinstance(value["__type__"], str):
        read = _READERS.get(value["__type__"])
        if read is not None:
            return _read(read, value)
    return {key: untag(item) for key, item in value.items()}


def short(value: object) -> str:
    """A repr that fits an error message, of anything (a repr that raises included)."""
    try:
        return _repr.repr(value)
    except Exception as exc:
        return f"<{type(value).__name__} whose repr raises {type(exc).__name__}>"


def _tagged(name: str, value: Any) -> dict[str, Any]:
    return {"__type__": name, "__value__": value}


def _tag_dict(value: dict[Any, Any], where: str, depth: int) -> Any:
    for key in value:
        if not (key is None or isinstance(key, str | int | float)):
            raise EncodeError(f"{where} has the key {short(key)} ({type(key).__name__}); JSON keys are text")
    items = {key: tag(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    if value.keys() == _TAG_KEYS:
        return _tagged("dict", [[key, item] for key, item in items.items()])
    return items


def _read(read: Callable[[Any], Any], value: Mapping[str, Any]) -> Any:
    try:
        return read(value["__value__"])
    except Exception as exc:  # the readers meet anything that JSON can hold
        raise DecodeError(f"{short(dict(value))} is not a {value['__type__']}: {exc}") from exc


def _refusal(value: object, where: str) -> str:
    kind = type(value)
    hint = "pass something that has one"
    if isinstance(value, enum.Enum) or hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__struct_fields__"):
        hint = f"annotate it with {kind.__name__} so that it can be read back"
    elif isinstance(value, set | frozenset):
        hint = "pass a list, or annotate it as a set"
    return f"{where} has no JSON form: {short(value)} ({kind.__qualname__}); {hint}"


def _base64(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(value).decode()


def _dict(pairs: Any) -> dict[str, Any]:
    return {key: untag(item) for key, item in pairs}


def _uuid(value: Any) -> UUID:
    return UUID(hex=value["hex"] if isinstance(value, dict) else value)


def _utf8(value: str) -> bytes:
    return value.encode()


def _iso_date(value: str) -> date:
    return datetime.fromisoformat(value).date()


_WRITERS: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (datetime, "datetime", datetime.isoformat),  # before date, of which it is a subclass
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (timedelta, "timedelta", lambda d: [d.days, d.seconds, d.microseconds]),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda u: {"hex": u.hex}),
    ((bytes, bytearray, memoryview), "base64", _base64),
)

_READERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": _iso_date,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "uuid": _uuid,
    "bytes": _utf8,  # kombu's form for bytes that are UTF-8; never written here
    "base64": lambda text: base64.b64decode(text, validate=True),
    "float": float,
    "dict": _dict,
}

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80
