"""The Redis store moved to another one, or filled from one: see ``store/moving.py`` for the whole course.

What is packed may be read by several scripts: ``ship`` deletes only what is still as it was read, by digests of
bodies and states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from duly.job import JobView, Occurrence, Page, State
from duly.store.contract import Order
from duly.store.moving import (
    Membership,
    Moving,
    Parcel,
    Record,
    Wanted,
    pack_from,
    refuse_other,
    unchanged,
)
from duly.store.redis import looking
from duly.store.redis.packing import (
    HELD,
    Blob,
    Body,
    attempt_of,
    packed_attempt,
    packed_body,
    packed_state,
    view_of,
)
from duly.store.redis.server import Server
from duly.store.redis.workers import Names

_moving = msgspec.msgpack.Decoder(tuple[str, str, bool]).decode
_remembered = msgspec.msgpack.Decoder(tuple[str, int]).decode


class Moves:
    """A ``store.moving.Movable``."""

    def __init__(self, server: Server, names: Names) -> None:
        self._server = server
        self._names = names

    # -- the store that is emptied ---------------------------------------------------------------

    def moving(self) -> Moving | None:
        packed = self._server.command("GET", f"{self._server.place.prefix}:moving")
        if packed is None:
            return None
        to, since, sealed = _moving(packed)
        return Moving(to, int(since), sealed)

    def begin_move(self, to: str) -> None:
        if not refuse_other(self.moving(), to):
            self._server.call("begin_move", "begin", to)
            refuse_other(self.moving(), to)  # somebody may have been first

    def end_move(self) -> None:
        self._server.call("begin_move", "end", "")

    def seal(self) -> bool:
        (sealed,) = self._server.call("begin_move", "seal", "")
        return bool(sealed)

    def pack(self, limit: int) -> list[Parcel]:
        return pack_from(_Shelves(self._server, self._names), limit)

    def ship(self, parcels: Sequence[Parcel]) -> list[bool]:
        read = _Reader(self._server, self._names)
        same = unchanged(parcels, read.parcel)
        sent = [parcel for parcel, is_same in zip(parcels, same, strict=True) if is_same]
        digests = [[word for id in parcel.ids for word in (id, read.digests[id])] for parcel in sent]
        (gone,) = self._server.call("ship", digests) if sent else ([],)
        went = iter(gone)
        return [is_same and next(went) == 1 for is_same in same]

    # -- the store that is filled ----------------------------------------------------------------

    def unpack(self, parcels: Sequence[Parcel]) -> None:
        gates = [
            (g.id, (g.size, g.left, g.failed, g.first_failed or False, g.finished or False))
            for parcel in parcels
            for g in parcel.gates
        ]
        self._server.call("carry_in", gates, [_row(record) for parcel in parcels for record in parcel.records])

    def in_transit(self, limit: int) -> list[str]:
        (ids,) = self._server.call("in_transit", limit)
        return [id.decode() for id in ids]

    def release(self, ids: Sequence[str], keep: bool = True) -> None:
        if ids:
            self._server.call("release_moved", list(ids), keep)


# -- reading -------------------------------------------------------------------------------------


class _Shelves:
    """What ``pack_from`` asks of a store."""

    def __init__(self, server: Server, names: Names) -> None:
        self._server = server
        self._names = names

    def page(self, which: Any, order: Order, after: str | None, limit: int) -> Page:
        return looking.page(self._server, self._names, which, order, after, limit)

    def neighbours(self, ids: Sequence[str]) -> dict[str, State]:
        (found,) = self._server.call("neighbours", list(ids))
        return {found[i].decode(): State(found[i + 1]) for i in range(0, len(found), 2)}

    def parcel(self, ids: Sequence[str]) -> Parcel:
        return _Reader(self._server, self._names).parcel(ids)


class _Reader:
    """Jobs with all that belongs to them, and the digests of what was read."""

    def __init__(self, server: Server, names: Names) -> None:
        self._server = server
        self._names = names
        self.digests: dict[str, str] = {}  # of bodies and states, by id

    def parcel(self, ids: Sequence[str]) -> Parcel:
        (found,) = self._server.call("carried", list(ids)) if ids else ([],)
        records = tuple(map(self._record, found))
        names = {one.gate for record in records for one in record.memberships}
        names |= {record.job.after for record in records if record.job.after is not None}
        gates = looking.gates(self._server, sorted(names)) if names else []
        return Parcel(records, tuple(gate for gate in gates if gate is not None))

    def _record(self, row: Sequence[Any]) -> Record:
        name, body, state, history, effects, counted, occurrence, wanted = row
        id = name.decode()
        whole = body + (state or b"")
        self.digests[id] = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        return Record(
            job=view_of(body, state, None, {}),
            let_go=not Body.read(body).marks & HELD,
            history=tuple(attempt_of(packed, {}) for packed in history),
            effects=tuple(sorted((effects[i].decode(), effects[i + 1]) for i in range(0, len(effects), 2))),
            memberships=tuple(
                sorted((Membership(gate.decode(), index, how) for gate, index, how in counted), key=_place)
            ),
            occurrence=_occurrence(id, occurrence),
            wanted=_wanted(wanted),
        )


def _place(one: Membership) -> tuple[str, int]:
    return one.gate, one.index


def _occurrence(id: str, row: Any) -> Occurrence | None:
    if not row:
        return None
    schedule, nominal, member = row
    return Occurrence(schedule=schedule.decode(), nominal=int(nominal), job=id, made=int(member.split()[0]))


def _wanted(row: Any) -> Wanted | None:
    if not row:
        return None
    namespace, key, packed = row
    return Wanted(namespace.decode(), key.decode(), _remembered(packed)[1])


# -- writing -------------------------------------------------------------------------------------


def _row(record: Record) -> tuple[object, ...]:
    """A record as ``lua/carry_in.lua`` takes it."""
    job = record.job
    state = packed_state(job)
    return (
        job.id,
        Blob(packed_body(job, held=not record.let_go)),
        False if state is None else Blob(state),
        job.key or False,
        job.finished or 0,
        [Blob(packed_attempt(one)) for one in record.history],
        [word for key, value in record.effects for word in (key, Blob(value))],
        [(one.gate, one.index, one.counted) for one in record.memberships],
        job.after or False,
        _made(record.occurrence),
        _want(record.wanted, job),
    )


def _made(occurrence: Occurrence | None) -> object:
    if occurrence is None:
        return False
    return (occurrence.schedule, occurrence.nominal, f"{occurrence.made} {occurrence.job}")


def _want(wanted: Wanted | None, job: JobView) -> object:
    if wanted is None:
        return False
    return (wanted.namespace, wanted.key, Blob(msgspec.msgpack.encode((job.id, wanted.due))))
