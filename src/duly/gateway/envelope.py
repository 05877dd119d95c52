"""A message as a broker carries it: bytes, how to read them, headers, properties. No I/O.

Both of Celery's transports carry the same; on RabbitMQ it is an AMQP message, on Redis one JSON object
(:func:`from_redis`, :func:`to_redis`). The names of content types and compressions are kombu's.
"""

from __future__ import annotations

import base64
import bz2
import codecs
import functools
import hashlib
import json
import lzma
import pickle
import zlib
from collections.abc import Callable, Collection
from typing import Any, Protocol

import msgspec

from duly.errors import DecodeError
from duly.tagged import short, untag

JSON = "application/json"

CONTENT_TYPES = {
    "json": JSON,
    "msgpack": "application/x-msgpack",
    "yaml": "application/x-yaml",
    "pickle": "application/x-python-serialize",
}
"""Serializers by their short names."""

SAFE = ("json", "msgpack", "yaml")
"""Those that run nobody's code when they are read."""

MAX_BODY = 256 << 20
"""Bytes that a compressed body may have when it is unpacked: a few bytes of input can ask for all of memory."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message, unread. What is not changed goes on as it came, byte for byte."""

    body: bytes
    content_type: str = JSON
    content_encoding: str = "utf-8"
    headers: dict[str, Any] = {}
    properties: dict[str, Any] = {}  # correlation_id, reply_to, priority, delivery_mode, expiration (ms, text), ...


def pack(envelope: Envelope) -> bytes:
    """It as JSON, to be kept."""
    return _encode(msgspec.to_builtins(envelope, enc_hook=repr))


def unpack(data: bytes) -> Envelope:
    """What :func:`pack` kept. Raises DecodeError."""
    try:
        return _unpack(data)
    except msgspec.MsgspecError as exc:
        raise DecodeError(f"not a kept message: {exc}") from None


def fingerprint(envelope: Envelope) -> str:
    """32 hex digits that are the same for the same message, in whatever order its headers are: RabbitMQ sorts them
    when it delivers again from a quorum queue."""
    rest = [envelope.content_type, envelope.content_encoding, envelope.headers, envelope.properties]
    text = json.dumps(rest, sort_keys=True, default=repr)
    return hashlib.sha256(envelope.body + text.encode()).hexdigest()[:32]


# -- Redis -----------------------------------------------------------------------------------------


class _OnRedis(msgspec.Struct, kw_only=True):
    body: str
    content_type: str | None = msgspec.field(name="content-type", default=None)
    content_encoding: str | None = msgspec.field(name="content-encoding", default=None)
    headers: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None


def from_redis(data: bytes) -> Envelope:
    """An item of one of Celery's lists. Raises DecodeError."""
    try:
        found = _from_redis(data)
        properties = found.properties or {}
        body = found.body.encode()
        if properties.get("body_encoding") == "base64":
            body = base64.b64decode(body, validate=True)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise DecodeError(f"not a message of Celery's: {exc}; got {short(data)}") from None
    return Envelope(
        body=body,
        content_type=found.content_type or JSON,
        content_encoding=found.content_encoding or "utf-8",
        headers=found.headers or {},
        properties=properties,
    )


def to_redis(envelope: Envelope) -> bytes:
    """The item of a list. ``properties`` have to have all that Celery's workers look for: see ``wire.py``."""
    written = {
        "body": base64.b64encode(envelope.body).decode(),
        "content-encoding": envelope.content_encoding,
        "content-type": envelope.content_type,
        "headers": envelope.headers,
        "properties": {**envelope.properties, "body_encoding": "base64"},
    }
    return json.dumps(written).encode()


# -- what the body is ------------------------------------------------------------------------------


def plain_body(envelope: Envelope) -> bytes:
    """The body, not compressed any more. Raises DecodeError."""
    how = envelope.headers.get("compression")
    if not how:
        return envelope.body
    make = _DECOMPRESSORS.get(how)
    if make is None:
        raise DecodeError(f"compression {how!r} is not known here; known are {', '.join(_DECOMPRESSORS)}")
    try:
        engine = make()
        data = engine.decompress(envelope.body, MAX_BODY)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError) as exc:
        raise DecodeError(f"the body is not {how}: {exc}") from None
    if not engine.eof:
        what = f"is more than {MAX_BODY >> 20} MiB" if len(data) >= MAX_BODY else "is cut short"
        raise DecodeError(f"the body ({how}) {what}")
    return data


def compress(body: bytes, how: str) -> bytes:
    """``how``: a MIME type that :func:`plain_body` knows."""
    return _COMPRESSORS[how](body)


def check_accepted(envelope: Envelope, accept: Collection[str]) -> None:
    """Whether this content type may be read. ``accept``: short names, or MIME types. Raises DecodeError."""
    kind = envelope.content_type
    if kind in _mime_types(tuple(accept)):
        return
    name = next((name for name, mime in CONTENT_TYPES.items() if mime == kind), None)
    if name is None:
        raise DecodeError(f"content type {kind!r} is not known here; known are {', '.join(CONTENT_TYPES.values())}")
    raise DecodeError(
        f"content type {kind!r} ({name}) is not in accept_content, which has {', '.join(sorted(accept))}"
    )


@functools.lru_cache
def _mime_types(accept: tuple[str, ...]) -> frozenset[str]:
    return frozenset(CONTENT_TYPES.get(each, each) for each in accept)


def load(body: bytes, content_type: str, content_encoding: str) -> Any:
    """The value in a body of a content type that was accepted. Raises DecodeError."""
    try:
        return _LOADERS[content_type](body, content_encoding)
    except KeyError:
        raise DecodeError(f"content type {content_type!r} is not known here") from None
    except ModuleNotFoundError as exc:
        raise DecodeError(f"content type {content_type!r} needs a package that is not here: {exc}") from None
    except Exception as exc:  # a pickle runs whatever it says
        raise DecodeError(f"the body is not {content_type}: {type(exc).__name__}: {exc}") from None


def utf8(body: bytes, encoding: str) -> bytes:
    """Text in another encoding as UTF-8. Raises LookupError and UnicodeError."""
    return body if encoding in _UTF8 else codecs.decode(body, encoding).encode()


def _load_json(body: bytes, encoding: str) -> Any:
    return untag(json.loads(utf8(body, encoding).decode()))  # not msgspec: kombu writes NaN and Infinity too


def _load_msgpack(body: bytes, _encoding: str) -> Any:
    return msgspec.msgpack.decode(body)


def _load_yaml(body: bytes, encoding: str) -> Any:
    import yaml

    return yaml.safe_load(utf8(body, encoding))


def _load_pickle(body: bytes, _encoding: str) -> Any:
    return pickle.loads(body)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii", "binary")
_LOADERS: dict[str, Callable[[bytes, str], Any]] = {
    CONTENT_TYPES["json"]: _load_json,
    CONTENT_TYPES["msgpack"]: _load_msgpack,
    CONTENT_TYPES["yaml"]: _load_yaml,
    CONTENT_TYPES["pickle"]: _load_pickle,
}
_ZLIB_OR_GZIP = 47  # wbits: kombu calls zlib's format gzip, others may mean it
_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "application/x-gzip": lambda: zlib.decompressobj(_ZLIB_OR_GZIP),
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": lzma.LZMADecompressor,
}
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "application/x-gzip": zlib.compress,
    "application/x-bz2": bz2.compress,
    "application/x-lzma": lzma.compress,
}
_encode = msgspec.json.Encoder().encode
_unpack = msgspec.json.Decoder(Envelope).decode
_from_redis = msgspec.json.Decoder(_OnRedis).decode
