"""Reconciling: what is known is read, what is to change is decided here, and written if all is still as it was seen.

The hash ``synced:NAMESPACE`` remembers which job stands for which key, and the due that was last wanted. A key is
forgotten when its job is cancelled here, and when it is neither wanted nor in the store any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from duly.job import Job, State
from duly.messages import OnLate, Synced
from duly.store.reconciling import Known, decide, times
from duly.store.redis.packing import Blob, Body, StateOf, body_of, job_row
from duly.store.redis.server import Server

_remembered = msgspec.msgpack.Decoder(tuple[str, int]).decode


class _Seen(msgspec.Struct):
    """What was read of one key."""

    known: Known
    packed: bytes
    ref: str | None
    body: bytes | None
    state: bytes | None

    @classmethod
    def read(cls, row: Sequence[Any]) -> _Seen:
        packed, ref, body, state = row[1:]
        ref = ref and ref.decode()
        id, wanted_due = _remembered(packed)
        if body is None:
            return cls(Known(id=id, wanted_due=wanted_due, state=None), packed, ref, body, state)
        b, s = Body.read(body), StateOf.read(state)
        known = Known(
            id=id, wanted_due=wanted_due, state=s.state, attempt=s.attempt, due=b.due, expires=b.expires,
            fields=b.fields(),
        )  # fmt: skip
        return cls(known, packed, ref, body, state)

    def digest(self) -> str:
        parts = (self.packed, self.ref and self.ref.encode(), self.body, self.state)
        return hashlib.sha1(b"".join(part or b"" for part in parts), usedforsecurity=False).hexdigest()


def sync(server: Server, namespace: str, wanted: Sequence[Job], late: OnLate) -> list[Synced]:
    """One answer for each of ``wanted``, in order, then one for each other key that had a live job."""
    while True:
        (rows,) = server.call("sync_read", namespace)
        seen = {row[0].decode(): _Seen.read(row) for row in rows}
        steps = _Steps(namespace, server.now())
        answers = [steps.reconcile(job, seen.get(str(job.key)), late) for job in wanted]
        keys = {job.key for job in wanted}
        left = [steps.unwanted(key, one) for key, one in sorted(seen.items()) if key not in keys]
        answers += [answer for answer in left if answer is not None]
        if not steps.steps:
            return answers
        digests = [(key, one.digest()) for key, one in seen.items()]
        (done,) = server.call("sync_write", namespace, digests, steps.steps, repeat=False)
        if done:
            return answers


class _Steps:
    """What is to be changed, as ``lua/sync_write.lua`` takes it."""

    def __init__(self, namespace: str, now: int) -> None:
        self.steps: list[tuple[object, ...]] = []
        self._namespace = namespace
        self._now = now

    def reconcile(self, job: Job, seen: _Seen | None, late: OnLate) -> Synced:
        key, known = str(job.key), seen.known if seen else None
        verdict = decide(job, known, late, self._now)
        id = job.id if known is None or verdict == "created" else known.id
        remembered = Blob(msgspec.msgpack.encode((id, job.due)))
        if verdict == "created":
            plain = msgspec.structs.replace(job, key=None)
            self.steps.append(("create", job_row(plain, self._now), key, remembered))
            return Synced(key, verdict, job.id)
        if known is None or seen is None:
            return Synced(key, verdict, None)
        if verdict in ("moved", "edited") and seen.body is not None:
            due, expires = times(job, known, verdict)
            changed = msgspec.structs.replace(job, id=known.id, key=None, due=due, expires=expires)
            self.steps.append(("edit", seen.ref, Blob(body_of(changed, Body.read(seen.body).created))))
            if job.due != known.wanted_due:
                self.steps.append(("note", key, remembered))
        return Synced(key, verdict, known.id)

    def unwanted(self, key: str, seen: _Seen) -> Synced | None:
        known = seen.known
        if known.state == State.RUNNING:
            return Synced(key, "too late", known.id)
        if known.state == State.WAITING:
            self.steps.append(("cancel", seen.ref, f"no longer wanted in {self._namespace!r}"))
        elif known.state is not None:
            return None
        self.steps.append(("forget", key))
        return None if known.state is None else Synced(key, "cancelled", known.id)
