"""How a message is kept as a job.

The job has what people look for: the task's name, the arguments where they can be read, its due (the message's
``eta``), its expiry. Its queue is the inbox, so no worker runs it, whatever queues it serves. The message itself is
among its headers, under ``KEY``, as JSON of ``Raw``.

A job may be changed while it waits (``duly move``). What differs from the message when it is put is written into the
message; what does not is not touched.
"""

from __future__ import annotations

from typing import Any

import msgspec

from duly.clock import from_micros
from duly.errors import DecodeError
from duly.gateway import wire
from duly.gateway.envelope import JSON, SAFE, Envelope, fingerprint
from duly.job import Flag, Job, Lease
from duly.keepsake import KEY
from duly.relay.broker import Form, Raw

_NOTHING = b"[[],{},{}]"


def read(envelope: Envelope) -> wire.Message | None:
    """What a message says; without its arguments if they are in a form that only Celery may read (a pickle). None: it
    is no call of a task."""
    try:
        return wire.decode(envelope, SAFE)
    except DecodeError:
        pass
    headers = {name: value for name, value in envelope.headers.items() if name != "compression"}
    bare = msgspec.structs.replace(
        envelope, body=_NOTHING, content_type=JSON, content_encoding="utf-8", headers=headers
    )
    try:
        return wire.decode(bare, SAFE)
    except DecodeError:
        return None


def to_job(message: wire.Message, raw: Raw, inbox: str, now: int, form: Form) -> Job:
    """The job that keeps a message. It has the task's id; a retry, which Celery sends under the same id, has one of
    its own."""
    return Job(
        id=f"{message.id}.retry{message.retries}" if message.retries else message.id,
        task=message.task,
        args=message.args,
        queue=inbox,
        priority=form.priority(message.priority or 0),
        due=message.eta if message.eta is not None else now,
        expires=message.expires,
        headers=msgspec.json.encode({KEY: raw}),
        flags=int(Flag.IGNORE_RESULT),
    )


def unreadable(envelope: Envelope) -> wire.Message:
    """What stands for a message that is no call of a task: it too has a queue to go to."""
    return wire.Message(id=fingerprint(envelope), task="?")


def another(job: Job, message: str) -> Job:
    """The job under an id that goes with its message: for one whose own id a job has that keeps another message."""
    return msgspec.structs.replace(job, id=f"{job.id}.{message}")


def message_of(headers: bytes | None, form: Form) -> str:
    """The fingerprint of the message that a job keeps; empty if it keeps none."""
    raw = raw_of(headers)
    return "" if raw is None else fingerprint(form.envelope(raw))


def raw_of(headers: bytes | None) -> Raw | None:
    """The message that a job keeps; None if it keeps none."""
    if headers is None:
        return None
    kept = msgspec.json.decode(headers, type=dict[str, msgspec.Raw]).get(KEY)
    return None if kept is None else msgspec.json.decode(kept, type=Raw)


def to_put(lease: Lease, raw: Raw, form: Form) -> Raw:
    """The message to put: as it came, but for what was changed in the job. Raises DecodeError if the arguments were
    changed of one that cannot be read here."""
    envelope = form.envelope(raw)
    message = read(envelope)
    if message is None:
        return raw
    changes: dict[str, Any] = {}
    if message.eta is not None and lease.due != message.eta:
        changes["eta"] = lease.due
    if lease.expires != message.expires:
        changes["expires"] = lease.expires
    if lease.priority != form.priority(message.priority or 0):
        changes["priority"] = form.priority(lease.priority)
    if lease.args != message.args:
        changes["args"] = lease.args
    return form.changed(raw, _changed(envelope, changes)) if changes else raw


def _changed(envelope: Envelope, changes: dict[str, Any]) -> Envelope:
    """The envelope with these fields of the message changed."""
    if "args" in changes or "task" not in envelope.headers:  # protocol 1 has everything in its body
        message = msgspec.structs.replace(wire.decode(envelope, SAFE), **changes)
        made = wire.encode(message, envelope.headers.get("compression"))
        return msgspec.structs.replace(
            made,
            headers={**envelope.headers, **made.headers},
            properties={**envelope.properties, **made.properties},
        )
    headers, properties = dict(envelope.headers), dict(envelope.properties)
    for name in ("eta", "expires"):
        if name in changes:
            headers[name] = _written(changes[name])
    if "expires" in changes:
        properties.pop("expiration", None)
    if "priority" in changes:
        properties["priority"] = changes["priority"]
    return msgspec.structs.replace(envelope, headers=headers, properties=properties)


def _written(instant: int | None) -> str | None:
    return None if instant is None else from_micros(instant).isoformat()
