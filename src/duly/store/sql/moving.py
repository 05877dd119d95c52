"""A store moved to another one, or filled from one: see ``store/moving.py`` for the whole course.

A job in transit has a row in ``transit``; one that waits has the lane "transit" besides, which keeps it out of the
index by which jobs are reserved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from duly.errors import StoreMoved
from duly.job import Attempt, JobView, Kind, Occurrence, State
from duly.store.moving import (
    Membership,
    Moving,
    Parcel,
    Record,
    Wanted,
    moved_text,
    pack_from,
    refuse_other,
    unchanged,
)
from duly.store.sql import looking, rules
from duly.store.sql.db import Database, Db, Row
from duly.store.sql.deleting import delete
from duly.store.sql.rows import gate_lane

_TRANSIT = "transit"


class Moves:
    """A ``store.moving.Movable``."""

    def __init__(self, db: Database, now: Callable[[], int], wake: Callable[[], None]) -> None:
        self._db = db
        self._now = now
        self._wake = wake  # the workers

    # -- the store that is emptied ---------------------------------------------------------------

    def moving(self) -> Moving | None:
        return self._db.read(_moving)

    def begin_move(self, to: str) -> None:
        def begin(db: Db) -> None:
            if refuse_other(_moving(db), to):
                return
            db.run("put_moving", (to, self._now()))
            rules.changed(db)

        self._db.write(begin)

    def end_move(self) -> None:
        def end(db: Db) -> None:
            db.run("delete_moving")
            rules.changed(db)

        self._db.write(end)
        self._wake()

    def seal(self) -> bool:
        def close(db: Db) -> bool:
            db.run("seal", (1,))  # before the look, so that whoever is storing a job just now comes before or after
            if db.run("any_live").fetchone():
                db.run("seal", (0,))
                return False
            return True

        return self._db.write(close)

    def pack(self, limit: int) -> list[Parcel]:
        return self._db.read(lambda db: pack_from(_Shelves(db, self._now()), limit))

    def ship(self, parcels: Sequence[Parcel]) -> list[bool]:
        def send(db: Db) -> list[bool]:
            gone = unchanged(parcels, lambda ids: _read(db, ids))
            ids = db.array(id for parcel, same in zip(parcels, gone, strict=True) if same for id in parcel.ids)
            db.run("forget_wanted", (ids,))
            delete(db, [seq for (seq,) in db.run("seqs_of", (ids,)).fetchall()])
            return gone

        return self._db.write(send)

    # -- the store that is filled ----------------------------------------------------------------

    def unpack(self, parcels: Sequence[Parcel]) -> None:
        def store(db: Db) -> None:
            for parcel in parcels:
                db.run_many(
                    "carry_gate",
                    [(g.id, g.size, g.left, g.failed, g.first_failed, g.finished) for g in parcel.gates],
                )
                for record in parcel.records:
                    _carry_in(db, record)

        self._db.write(store)

    def in_transit(self, limit: int) -> list[str]:
        return self._db.read(lambda db: [id for (id,) in db.run("in_transit", (limit,))])

    def release(self, ids: Sequence[str], keep: bool = True) -> None:
        def let_go(db: Db) -> None:
            seqs = [seq for (seq,) in db.run("seqs_in_transit", (db.array(ids),)).fetchall()]
            db.run("delete_transit", (db.array(seqs),))
            if keep:
                db.run("arrive", (db.array(seqs),)).fetchall()
            else:
                db.run("forget_wanted", (db.array(ids),))
                delete(db, seqs)

        self._db.write(let_go)
        if keep:
            self._wake()


def check_open(db: Db) -> None:
    """Raise StoreMoved if no job may be stored here any more."""
    row = db.run("sealed").fetchone()
    if row:
        raise StoreMoved(moved_text(row[0]))


def _moving(db: Db) -> Moving | None:
    row = db.run("moving").fetchone()
    return None if row is None else Moving(row[0], row[1], bool(row[2]))


# -- reading -------------------------------------------------------------------------------------


class _Shelves:
    """What ``pack_from`` asks of a store."""

    def __init__(self, db: Db, now: int) -> None:
        self._db = db
        self._now = now

    def page(self, which: Any, order: Any, after: str | None, limit: int) -> Any:
        return looking.page(self._db, which, order, after, limit, self._now)

    def neighbours(self, ids: Sequence[str]) -> dict[str, State]:
        return {id: State(state) for id, state in self._db.run("neighbours", {"ids": self._db.array(ids)})}

    def parcel(self, ids: Sequence[str]) -> Parcel:
        return _read(self._db, ids)


def _read(db: Db, ids: Sequence[str]) -> Parcel:
    """These jobs, those that are there, with all that belongs to them."""
    wanted = db.array(ids)
    let_go = {id: bool(free) for id, _, free in db.run("carried", (wanted,))}
    history = _grouped(db.run("history_of", (wanted,)))
    effects = _grouped(db.run("effects_of", (wanted,)))
    memberships = _grouped(db.run("memberships_of", (wanted,)))
    occurrences = _grouped(db.run("occurrences_of", (wanted,)))
    synced = _grouped(db.run("wanted_of", (wanted,)))
    records = [
        Record(
            job=job,
            let_go=let_go[job.id],
            history=tuple(map(_attempt, history.get(job.id, ()))),
            effects=tuple((key, bytes(value)) for key, value in effects.get(job.id, ())),
            memberships=tuple(Membership(*row) for row in memberships.get(job.id, ())),
            occurrence=_first(
                Occurrence(schedule=s, nominal=n, job=job.id, made=m) for s, n, m in occurrences.get(job.id, ())
            ),
            wanted=_first(Wanted(*row) for row in synced.get(job.id, ())),
        )
        for job in looking.views(db, ids)
    ]
    gates = [gate for (gate,) in db.run("gates_of_ids", {"ids": wanted}).fetchall()]
    return Parcel(tuple(records), tuple(gate for gate in looking.gates(db, sorted(gates)) if gate is not None))


def _grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rest of each row, by its first column."""
    groups: dict[str, list[Row]] = {}
    for id, *rest in rows:
        groups.setdefault(id, []).append(tuple(rest))
    return groups


def _first(values: Iterable[Any]) -> Any:
    return next(iter(values), None)


def _attempt(row: Row) -> Attempt:
    number, kind, worker, slot, started, finished, error, log = row
    return Attempt(
        attempt=number, outcome=Kind(kind).name.lower(), worker=worker, slot=slot,
        started=started, finished=finished, error=error, log=log,
    )  # fmt: skip


# -- writing -------------------------------------------------------------------------------------


def _carry_in(db: Db, record: Record) -> None:
    job = record.job
    row = db.run("carry_in", _row(job, _lane(record), _free_key(db, job))).fetchone()
    if row is None:
        return  # it is here already
    (seq,) = row
    db.run("put_transit", (seq,))
    for one in record.history:
        kind = Kind[one.outcome.upper()]
        values = (seq, one.attempt, kind, None, one.slot, one.started, one.finished, one.error, one.log)
        db.run("record", values)
    db.run_many("put_effect", [(seq, key, value) for key, value in record.effects])
    db.run_many("carry_member", [(m.gate, m.index, seq, m.counted) for m in record.memberships])
    if made := record.occurrence:
        db.run("carry_occurrence", (made.schedule, made.nominal, made.job, made.made))
    if wanted := record.wanted:
        db.run("carry_wanted", (wanted.namespace, wanted.key, job.id, wanted.due))


def _lane(record: Record) -> str | None:
    if not record.let_go:
        return gate_lane(record.job.after)
    return _TRANSIT if record.job.state == State.WAITING else None


def _free_key(db: Db, job: JobView) -> str | None:
    """Its key, unless a live job here holds it."""
    if job.key is None or job.state.final:
        return job.key
    return None if db.run("key_holder", (job.key,)).fetchone() else job.key


def _row(job: JobView, lane: str | None, key: str | None) -> tuple[object, ...]:
    return (
        job.id, job.task, job.args, job.queue, job.priority, job.due, job.expires, job.state, job.attempt,
        job.retries, job.lost, job.flags, job.headers, job.options, key, job.limit_key, lane, job.created,
        job.slot, job.started, job.finished, job.result, job.error, job.progress, job.log, job.after,
    )  # fmt: skip
