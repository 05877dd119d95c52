"""Jobs as the store keeps them, to bytes and back; ``lua/keys.lua`` has the layouts.

A *body* is what was asked for, a *state* what happened to it since, an *attempt* a line of its history.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

import msgspec

from duly.job import Attempt, Flag, Job, JobView, Kind, Lease, Result, State

_HEAD = struct.Struct("<BBIdddHI")
_STATE = struct.Struct("<BIIIBBII16sddIIII")
_ATTEMPT = struct.Struct("<BIIIddII")
KEYED, MEMBER, HELD, ANSWER = 1, 4, 8, 16  # marks: it has its key, counts in gates, waits at one, is told of
_MEMBER, _ANSWER = int(Flag.MEMBER), int(Flag.ANSWER)  # numbers: & of an enum takes longer than all of the rest

_NAMES = {int(kind): kind.name.lower() for kind in Kind}


class Rest(msgspec.Struct, array_like=True):
    """The part of a body that scripts hardly look at."""

    id: str
    task: str
    key: str | None
    headers: str | None  # JSON; text, because cmsgpack knows no bytes
    options: str | None
    limit_key: str | None
    after: str | None  # the gate it is, or was, held at
    gates: tuple[tuple[str, int], ...] | None  # that it is a member of, with its index in each


_encode = msgspec.msgpack.Encoder().encode
_rest = msgspec.msgpack.Decoder(Rest).decode


class Blob:
    """Bytes among the parameters of a script."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def blob(data: bytes | None) -> Blob | None:
    """Raises TypeError for what is not bytes."""
    if data is None:
        return None
    if not isinstance(data, bytes):
        raise TypeError(f"{data!r} is {type(data).__name__}, not bytes")
    return Blob(data)


def arguments(parameters: Sequence[object]) -> list[bytes]:
    """A script's parameters as it takes them: MessagePack, then the blobs, which stand there as their numbers."""
    found = [b""]

    def number(value: object) -> int:
        if not isinstance(value, Blob):
            raise TypeError(f"{value!r} is {type(value).__name__}, which a script cannot take")
        found.append(value.data)
        return len(found) + 1  # arguments of scripts are counted from 1, and the first is the instant

    found[0] = msgspec.msgpack.encode(parameters, enc_hook=number)
    return found


def body_of(job: Job, created: int) -> bytes:
    """Raises TypeError for a field of a wrong type."""
    queue, args = job.queue.encode(), job.args
    if type(args) is not bytes:
        raise TypeError(f"job {job.id}: its args are {type(args).__name__}, not bytes")
    head = _HEAD.pack(
        KEYED * (job.key is not None)
        + MEMBER * bool(job.gates)
        + HELD * (job.after is not None)
        + ANSWER * bool(job.flags & _ANSWER),
        job.priority,
        job.flags | _MEMBER if job.gates else job.flags,
        job.due,
        math.inf if job.expires is None else job.expires,
        created,
        len(queue),
        len(args),
    )
    headers = None if job.headers is None else job.headers.decode()
    options = None if job.options is None else job.options.decode()
    rest = (job.id, job.task, job.key, headers, options, job.limit_key, job.after, job.gates or None)
    return b"".join((head, queue, args, _encode(rest)))


def job_row(job: Job, created: int) -> tuple[object, ...]:
    """A job as ``lua/store.lua`` takes it."""
    row = (job.id, Blob(body_of(job, created)), job.queue, job.priority, job.due, job.key, job.on_conflict)
    return (*row, job.after, job.gates) if job.after is not None or job.gates else row


def lease_of(ref: bytes, body: bytes, state: bytes, token: int) -> Lease:
    """A job that was reserved just now."""
    _, priority, flags, due, expires, _, queue, args = _HEAD.unpack_from(body)
    _, attempt, retries, lost, *_ = _STATE.unpack_from(state)
    at = 36 + queue
    rest = _rest(body[at + args :])
    return Lease(
        token,
        int(ref),
        rest.id,
        rest.task,
        body[at : at + args],
        body[36:at].decode(),
        priority,
        int(due),
        None if expires == math.inf else int(expires),
        attempt,
        retries,
        lost,
        flags,
        _bytes(rest.headers),
        _bytes(rest.options),
    )


def given_of(told: bytes) -> Lease:
    """A job that was given: token, ref, the state of one that had none before, and body."""
    body = 29 + _STATE.size
    return lease_of(told[16:29], told[body:], told[29:body], int(told[:16], 16))


def ref_of(number: int) -> str:
    """A job's number as keys have it."""
    return f"{number:013}"


def token_of(lease: Lease) -> str:
    return f"{lease.token:016x}"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


class Body(msgspec.Struct):
    """A body, read."""

    marks: int
    priority: int
    flags: int
    due: int
    expires: int | None
    created: int
    queue: str
    args: bytes
    rest: Rest

    def fields(self) -> tuple[object, ...]:
        """As ``reconciling.fields_of`` gives those of a job."""
        rest = self.rest
        return (
            rest.task, self.args, self.queue, self.priority, _bytes(rest.headers), _bytes(rest.options), self.flags,
            rest.limit_key,
        )  # fmt: skip

    @classmethod
    def read(cls, body: bytes) -> Body:
        marks, priority, flags, due, expires, created, queue, args = _HEAD.unpack_from(body)
        at = 36 + queue
        return cls(
            marks, priority, flags, int(due), None if expires == math.inf else int(expires), int(created),
            body[36:at].decode(), body[at : at + args], _rest(body[at + args :]),
        )  # fmt: skip


class StateOf(msgspec.Struct):
    """A state, read."""

    state: State = State.WAITING
    attempt: int = 0
    retries: int = 0
    lost: int = 0
    cancel: int = 0
    worker: int = 0  # 0: it was never reserved
    slot: int | None = None
    started: int | None = None
    finished: int | None = None
    result: bytes | None = None
    error: bytes | None = None
    progress: bytes | None = None
    log: bytes | None = None

    @classmethod
    def read(cls, packed: bytes | None) -> StateOf:
        """That of a job that was never reserved for None."""
        if packed is None:
            return cls()
        (state, attempt, retries, lost, cancel, _, worker, slot, _, started, finished,
         *lengths) = _STATE.unpack_from(packed)  # fmt: skip
        return cls(
            State(state), attempt, retries, lost, cancel, worker, slot if worker else None,
            int(started) or None, int(finished) or None, *_texts(packed, _STATE.size, lengths),
        )  # fmt: skip


def view_of(body: bytes, packed: bytes | None, lane: bytes | None, names: dict[int, str]) -> JobView:
    """``names`` of workers, by id."""
    b, s = Body.read(body), StateOf.read(packed)
    return JobView(
        id=b.rest.id, task=b.rest.task, args=b.args, queue=b.queue, priority=b.priority, due=b.due, expires=b.expires,
        key=b.rest.key if b.marks & KEYED else None, headers=_bytes(b.rest.headers),
        options=_bytes(b.rest.options), flags=b.flags,
        state=s.state, attempt=s.attempt, retries=s.retries, lost=s.lost, created=b.created, started=s.started,
        finished=s.finished, worker=names.get(s.worker), slot=s.slot, result=s.result, error=s.error,
        progress=s.progress, log=s.log, cancelling=s.cancel > 0 and s.state == State.RUNNING,
        lane=lane.decode() if lane is not None else None, limit_key=b.rest.limit_key, after=b.rest.after,
        held=bool(b.marks & HELD) and s.state == State.WAITING, gates=b.rest.gates or (),
    )  # fmt: skip


def result_of(id: str, due: int, held: int, packed: bytes | None) -> Result:
    s = StateOf.read(packed)
    return Result(
        id=id, state=s.state, attempt=s.attempt, due=due, result=s.result, error=s.error, progress=s.progress,
        held=bool(held) and s.state == State.WAITING,
    )  # fmt: skip


def attempt_of(packed: bytes, names: dict[int, str]) -> Attempt:
    kind, attempt, worker, slot, started, finished, *lengths = _ATTEMPT.unpack_from(packed)
    error, log = _texts(packed, _ATTEMPT.size, lengths)
    return Attempt(
        attempt=attempt, outcome=_NAMES[kind], worker=names.get(worker), slot=slot, started=int(started) or None,
        finished=int(finished) or None, error=error, log=log,
    )  # fmt: skip


def worker_of_attempt(packed: bytes) -> int:
    return int(_ATTEMPT.unpack_from(packed)[2])


def _texts(packed: bytes, at: int, lengths: list[int]) -> Iterator[bytes | None]:
    for length in lengths:
        if length == 0:
            yield None
        else:
            yield packed[at : at + length - 1]
            at += length - 1


# -- from what another store has (moving.py) -------------------------------------------------------


def packed_body(job: JobView, held: bool) -> bytes:
    """The body of a job that was stored elsewhere; ``held``: no gate has let it through."""
    plain = Job(
        id=job.id, task=job.task, due=job.due, args=job.args, queue=job.queue, priority=job.priority,
        expires=job.expires, key=job.key, headers=job.headers, options=job.options, flags=job.flags,
        limit_key=job.limit_key, after=job.after, gates=job.gates,
    )  # fmt: skip
    body = body_of(plain, job.created)
    return body if held else bytes([body[0] & ~HELD]) + body[1:]


def packed_state(job: JobView) -> bytes | None:
    """Its state; None if it was never reserved and waits. No worker of this store has run it."""
    if job.state == State.WAITING and not job.attempt:
        return None
    marks = KEYED * (job.key is not None) + MEMBER * bool(job.gates) + ANSWER * bool(job.flags & _ANSWER)
    texts = (job.result, job.error, job.progress, job.log)
    return _STATE.pack(
        job.state, job.attempt, job.retries, job.lost, 0, marks, 0, 0, _NO_TOKEN, job.started or 0, job.finished or 0,
        *map(_length, texts),
    ) + b"".join(text or b"" for text in texts)  # fmt: skip


def packed_attempt(attempt: Attempt) -> bytes:
    kind = Kind[attempt.outcome.upper()]
    texts = (attempt.error, attempt.log)
    times = (attempt.started or 0, attempt.finished or 0)
    return _ATTEMPT.pack(kind, attempt.attempt, 0, 0, *times, *map(_length, texts)) + b"".join(
        text or b"" for text in texts
    )


def _length(text: bytes | None) -> int:
    return 0 if text is None else len(text) + 1


_NO_TOKEN = b"0" * 16
