"""What a job of a canvas gets from those before it, when it starts: results, or the failure it is an errback of.

The results are in the store, in the rows of the members of the gate that it was held at; nothing is copied into the
job. So they are read by the worker that runs it, at each attempt anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from duly.codec import Codec, decode_value
from duly.errors import JobError
from duly.failure import decode_error, rebuild_error
from duly.job import Feed, Filter, GateView, Job, JobView, Lease, Options, Place, Result, State
from duly.result import chord_error
from duly.store.contract import Store

_call = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode
_decode_options = msgspec.json.Decoder(Options).decode
_NULL = b"null"


class Predecessors(Protocol):
    """Where the jobs before it are: in a store, or in the hands of who runs a canvas eagerly."""

    def members(self, gate: str) -> list[Result]: ...
    def gate(self, id: str) -> GateView | None: ...
    def job(self, id: str) -> Job | JobView | None: ...
    def result(self, id: str) -> Result | None: ...


class InStore:
    """The jobs of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def members(self, gate: str) -> list[Result]:
        return self._store.members(gate)

    def gate(self, id: str) -> GateView | None:
        return self._store.gates([id])[0]

    def job(self, id: str) -> JobView | None:
        found = self._store.jobs(Filter(ids=(id,))).jobs
        return found[0] if found else None

    def result(self, id: str) -> Result | None:
        return self._store.results([id])[0]


class FailedRequest:
    """The job that an errback is called for, as far as the store knows it."""

    def __init__(self, job: Job | JobView) -> None:
        self.id = job.id
        self.task = job.task
        self.queue = job.queue
        self.priority = job.priority
        self.due = job.due
        self.headers: Mapping[str, Any] = {} if job.headers is None else decode_value(job.headers)
        self.args, self.kwargs = decode_value(job.args)
        place = place_of(job)
        self.root_id = job.id if place is None or place.root is None else place.root
        self.parent_id = None if place is None else place.parent
        self.group = None if place is None else place.group

    def __repr__(self) -> str:
        return f"<FailedRequest {self.task}[{self.id}]>"


def place_of(job: Job | JobView | Lease) -> Place | None:
    """Where in a canvas it stands; None if it is in none."""
    return None if job.options is None else _decode_options(job.options).place


def arguments(before: Predecessors, codec: Codec, args: bytes, feed: Feed) -> tuple[list[Any], dict[str, Any]]:
    """The whole arguments of a job, decoded. Raises DecodeError, StoreError, and JobError if results are gone."""
    if feed.kind == "error":
        return _of_errback(before, codec, args, feed)
    return codec.decode_args(fed(before, args, feed))


def fed(before: Predecessors, args: bytes, feed: Feed) -> bytes:
    """The stored arguments with the results before them."""
    results = [_value(one) for one in before.members(feed.gate)]
    if len(results) != feed.size:
        raise JobError(
            f"{feed.size - len(results)} of {feed.size} results that this job is to get are no longer in the store: "
            "their jobs were forgotten or pruned"
        )
    first = results[0] if feed.kind == "one" else msgspec.Raw(b"[" + b",".join(map(bytes, results)) + b"]")
    positional, named = _call.decode(args)
    return _encode(([first, *positional], named))


def sent(before: Predecessors, args: bytes, feed: Feed) -> bytes:
    """:func:`fed` for a task that is run elsewhere; an errback gets the id of the job that failed, as Celery's do."""
    if feed.kind != "error":
        return fed(before, args, feed)
    positional, named = _call.decode(args)
    return _encode(([_origin(before, feed.gate)[0], *positional], named))


def _value(one: Result) -> msgspec.Raw:
    if one.state != State.SUCCEEDED:
        raise JobError(f"job {one.id}, whose result this job is to get, is run again and has not succeeded")
    return msgspec.Raw(one.result or _NULL)


def _of_errback(before: Predecessors, codec: Codec, args: bytes, feed: Feed) -> tuple[list[Any], dict[str, Any]]:
    """(request, exc, traceback) before its own; or the id of the job that failed, if there is room for no more."""
    failed, through = _origin(before, feed.gate)
    own, named = decode_value(args)
    if codec.room(own, named) <= 1:
        return codec.decode_args(_encode(([failed, *own], named)))
    positional, named = codec.decode_rest(args, 3)
    job, result = before.job(failed), before.result(failed)
    if job is None or result is None:
        raise JobError(f"job {failed}, which this is the errback of, is no longer in the store")
    error = result.error or _encode({"type": "JobCancelled", "message": "cancelled", "module": "duly.errors"})
    exc = through or rebuild_error(error)
    return [FailedRequest(job), exc, decode_error(error).traceback or "", *positional], named


def _origin(before: Predecessors, gate: str) -> tuple[str, Exception | None]:
    """The job whose end failed the gate, down the chain of those that never ran; and the ChordError of one that
    waited for a group, which is as far as it goes."""
    while True:
        view = before.gate(gate)
        failed = None if view is None else view.first_failed
        if failed is None:
            raise JobError(f"gate {gate}, which this is the errback of, is no longer in the store")
        result, job = before.result(failed), before.job(failed)
        if result is None or job is None or result.attempt or job.after is None or result.state != State.FAILED:
            return failed, None
        place = place_of(job)
        if result.error is not None and place is not None and place.feed is not None and place.feed.kind == "all":
            return failed, chord_error(before.gate(place.feed.gate), result.error)
        gate = job.after
