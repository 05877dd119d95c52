"""What a message of Celery's says, in its protocols 2 and 1, both ways. No I/O.

=============  =========================================  ===========================================
               protocol 2                                 protocol 1
=============  =========================================  ===========================================
recognised by  the header ``task``                        a body that is a dict
body           ``[args, kwargs, embed]``                  everything
headers        everything else, and the user's own        the user's own
=============  =========================================  ===========================================

``embed`` is what comes after the task: callbacks, errbacks, the rest of its chain (a stack: the last is next), the
chord that its group is followed by; all of them signatures as dicts. Arguments are kept in the form in which a job
has them (``codec.py``), which is kombu's JSON: of a JSON body they are its own bytes, unread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar

import msgspec

from duly import tagged
from duly.clock import from_micros, to_micros
from duly.errors import DecodeError, EncodeError
from duly.gateway import envelope as envelopes
from duly.gateway.envelope import JSON, SAFE, Envelope
from duly.tagged import short

T = TypeVar("T")

Sig = dict[str, Any]
"""A signature as Celery writes it: task, args, kwargs, options, subtask_type, immutable."""


class Embed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What comes after a task."""

    callbacks: list[Sig] | None = None
    errbacks: list[Sig] | None = None
    chain: list[Sig] | None = None
    chord: Sig | None = None


NOTHING = Embed()


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of a task, as a Celery client made it."""

    id: str
    task: str
    args: bytes = b"[[],{}]"  # JSON [positional, keyword]: ``Job.args``
    embed: Embed = NOTHING
    eta: int | None = None  # µs UTC
    expires: int | None = None  # µs UTC
    retries: int = 0
    time_limit: float | None = None  # seconds
    soft_time_limit: float | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    shadow: str | None = None  # what it is called on screens
    origin: str | None = None  # who sent it
    ignore_result: bool = False
    replaced: int = 0  # how often a task has put another in its place (replaced_task_nesting)
    stamped: list[str] = []  # names of the stamps
    stamps: dict[str, Any] = {}
    reply_to: str | None = None  # the queue of results over AMQP
    correlation_id: str | None = None
    priority: int | None = None  # as the broker has it: on RabbitMQ 9 is first, on Redis 0
    headers: dict[str, Any] = {}  # the user's own
    protocol: int = 2


def decode(envelope: Envelope, accept: Collection[str] = SAFE, zone: tzinfo = UTC) -> Message:
    """What it says. ``accept``: content types that may be read; ``zone``: of instants that do not say theirs.

    Raises DecodeError, which says what is wrong.
    """
    envelopes.check_accepted(envelope, accept)
    try:
        if "task" in envelope.headers:
            return _decode_v2(envelope, zone)
        return _decode_v1(envelope, zone)
    except (EncodeError, TypeError, ValueError, LookupError) as exc:
        raise DecodeError(f"not a call of Celery's: {exc}") from None


def encode(message: Message, compression: str | None = None) -> Envelope:
    """The message for a call, as JSON, by its own protocol. ``compression``: a MIME type of ``envelope.py``."""
    if message.protocol == 1:
        headers, body = dict(message.headers), _body_v1(message)
    else:
        headers, body = _headers_v2(message), _body_v2(message)
    if compression is not None:
        headers["compression"] = compression
        body = envelopes.compress(body, compression)
    properties: dict[str, Any] = {
        "correlation_id": message.correlation_id or message.id,
        "reply_to": message.reply_to or "",
        "delivery_mode": 2,
    }
    if message.priority is not None:
        properties["priority"] = message.priority
    return Envelope(body=body, headers=headers, properties=properties)


# -- protocol 2 ------------------------------------------------------------------------------------

_HEADERS = frozenset(
    ("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id",
     "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamped_headers",
     "stamps", "compression", "redelivered", "meth")
)  # fmt: skip
"""Headers that are no user's."""

_read_body = msgspec.json.Decoder(tuple[msgspec.Raw, msgspec.Raw, Embed]).decode
_encode = msgspec.json.Encoder().encode


def _decode_v2(envelope: Envelope, zone: tzinfo) -> Message:
    headers = envelope.headers
    args, embed = _call(envelope)
    stamps = headers.get("stamped_headers")
    return _message(
        headers, envelope, args, embed, zone,
        **_limits(headers),
        root_id=_typed(headers, "root_id", str),
        parent_id=_typed(headers, "parent_id", str),
        shadow=_typed(headers, "shadow", str),
        origin=_typed(headers, "origin", str),
        ignore_result=bool(headers.get("ignore_result")),
        replaced=_typed(headers, "replaced_task_nesting", int) or 0,
        stamped=list(stamps) if stamps else [],
        stamps=headers.get("stamps") or {},
        headers=_own(headers),
    )  # fmt: skip


def _call(envelope: Envelope) -> tuple[bytes, Embed]:
    body = envelopes.plain_body(envelope)
    if envelope.content_type == JSON:
        try:
            args, kwargs, embed = _read_body(envelopes.utf8(body, envelope.content_encoding))
        except msgspec.MsgspecError:
            pass  # NaN, which kombu writes; or nothing of the kind: the other way says it
        else:
            positional, named = bytes(args), bytes(kwargs)
            if positional.startswith(b"[") and named.startswith(b"{"):
                return b"[%b,%b]" % (positional, named), embed
    value = envelopes.load(body, envelope.content_type, envelope.content_encoding)
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise DecodeError(f"the body is not [args, kwargs, embed] but {short(value)}")
    return _stored(value[0], value[1]), _embed(value[2])


def _stored(args: Any, kwargs: Any) -> bytes:
    """The job's form of arguments that were read."""
    if not isinstance(args, list | tuple):
        raise DecodeError(f"the arguments are not a list: {short(args)}")
    if not isinstance(kwargs, Mapping):
        raise DecodeError(f"the keyword arguments are not a mapping: {short(kwargs)}")
    return tagged.encode([list(args), dict(kwargs)], "the arguments")


def _embed(value: Any) -> Embed:
    """From what was read, in which values have their own types: back to JSON's."""
    if not isinstance(value, Mapping):
        raise DecodeError(f"what comes after the task is not a mapping: {short(value)}")
    plain = {name: value.get(name) for name in Embed.__struct_fields__ if value.get(name)}
    return msgspec.json.decode(tagged.encode(plain, "what comes after the task"), type=Embed)


def _own(headers: Mapping[str, Any]) -> dict[str, Any]:
    others = headers.keys() - _HEADERS
    if not others:
        return {}
    return {name: headers[name] for name in headers if name in others and not name.startswith("x-")}  # x-: a broker's


def _body_v2(message: Message) -> bytes:
    embed = message.embed
    return b"[%b,%b]" % (
        message.args[1:-1],
        _encode(
            {
                "callbacks": embed.callbacks,
                "errbacks": embed.errbacks,
                "chain": embed.chain,
                "chord": embed.chord,
            }
        ),
    )


def _headers_v2(message: Message) -> dict[str, Any]:
    positional, named = msgspec.json.decode(message.args)
    return {
        **message.headers,
        "lang": "py",
        "task": message.task,
        "id": message.id,
        "shadow": message.shadow,
        "eta": _written(message.eta),
        "expires": _written(message.expires),
        "group": message.group,
        "group_index": message.group_index,
        "retries": message.retries,
        "timelimit": [message.time_limit, message.soft_time_limit],
        "root_id": message.root_id or message.id,
        "parent_id": message.parent_id,
        "argsrepr": _shown(tagged.untag(positional)),
        "kwargsrepr": _shown(tagged.untag(named)),
        "origin": message.origin,
        "ignore_result": message.ignore_result,
        "replaced_task_nesting": message.replaced,
        "stamped_headers": message.stamped or None,
        "stamps": message.stamps,
    }


def _shown(value: Any, size: int = 1024) -> str:
    """For the screens of those who look at Celery."""
    text = repr(value)
    return text if len(text) <= size else text[: size - 3] + "..."


# -- protocol 1 ------------------------------------------------------------------------------------


def _decode_v1(envelope: Envelope, zone: tzinfo) -> Message:
    value = envelopes.load(envelopes.plain_body(envelope), envelope.content_type, envelope.content_encoding)
    if not isinstance(value, Mapping) or "task" not in value:
        raise DecodeError(f"no header 'task', and the body is no dict with one: {short(value)}")
    return _message(
        value, envelope, _stored(value.get("args") or [], value.get("kwargs") or {}),
        _embed({name: value.get(name) for name in ("callbacks", "errbacks", "chord")}),
        UTC if value.get("utc", True) else zone,
        **_limits(value),
        headers=_own(envelope.headers),
        protocol=1,
    )  # fmt: skip


def _body_v1(message: Message) -> bytes:
    body = {
        "task": message.task,
        "id": message.id,
        "group": message.group,
        "group_index": message.group_index,
        "retries": message.retries,
        "eta": _written(message.eta),
        "expires": _written(message.expires),
        "utc": True,
        "callbacks": message.embed.callbacks,
        "errbacks": message.embed.errbacks,
        "timelimit": [message.time_limit, message.soft_time_limit],
        "taskset": message.group,
        "chord": message.embed.chord,
    }
    args, kwargs = msgspec.json.decode(message.args, type=tuple[msgspec.Raw, msgspec.Raw])
    return _encode({**body, "args": args, "kwargs": kwargs})


# -- both ------------------------------------------------------------------------------------------


def _message(
    said: Mapping[str, Any], envelope: Envelope, args: bytes, embed: Embed, zone: tzinfo, **more: Any
) -> Message:
    """``said``: the headers of protocol 2, the body of protocol 1."""
    id, task = _typed(said, "id", str), _typed(said, "task", str)
    if not id or not task:
        raise DecodeError(f"a call needs an id and the name of a task; got {short(id)} and {short(task)}")
    properties = envelope.properties
    return Message(
        id=id,
        task=task,
        args=args,
        embed=embed,
        eta=_instant(said, "eta", zone),
        expires=_instant(said, "expires", zone),
        retries=_typed(said, "retries", int) or 0,
        group=_typed(said, "group", str) or _typed(said, "taskset", str),
        group_index=_typed(said, "group_index", int),
        reply_to=_typed(properties, "reply_to", str) or None,
        correlation_id=_typed(properties, "correlation_id", str),
        priority=_typed(properties, "priority", int),
        **more,
    )


def _typed(said: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = said.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise DecodeError(f"{name} is to be {kind.__name__} or nothing; got {short(value)}")


def _limits(said: Mapping[str, Any]) -> dict[str, float | None]:
    """Celery's pair, whose first is the hard one."""
    hard, soft = said.get("timelimit") or (None, None)
    return {
        "time_limit": None if hard is None else float(hard),
        "soft_time_limit": None if soft is None else float(soft),
    }


def _instant(said: Mapping[str, Any], name: str, zone: tzinfo) -> int | None:
    value = said.get(name)
    if value is None:
        return None
    try:
        return to_micros(value if isinstance(value, datetime) else datetime.fromisoformat(value), zone)
    except (TypeError, ValueError, OverflowError):
        raise DecodeError(f"{name} {short(value)} is not an instant in ISO 8601") from None


def _written(instant: int | None) -> str | None:
    return None if instant is None else from_micros(instant).isoformat()
