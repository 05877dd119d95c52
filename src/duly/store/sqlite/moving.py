"""The SQLite store moved to another one, or filled from one: see ``store/moving.py`` for the whole course.

A job in transit has a row in ``transit``; one that waits has the lane "transit" besides, which keeps it out of the
index by which jobs are reserved.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from duly.errors import StoreMoved
from duly.job import Attempt, JobView, Kind, Occurrence, State
from duly.store.moving import Membership, Moving, Parcel, Record, Wanted, pack_from, refuse_other, unchanged
from duly.store.sqlite import looking, rules
from duly.store.sqlite.database import Database
from duly.store.sqlite.deleting import delete
from duly.store.sqlite.sql import SQL, array, gate_lane

Row = tuple[Any, ...]

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
        def begin(db: sqlite3.Connection) -> None:
            if refuse_other(_moving(db), to):
                return
            db.execute("INSERT INTO moving (place, since) VALUES (?, ?)", (to, self._now()))
            rules.changed(db)

        self._db.write(begin)

    def end_move(self) -> None:
        def end(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM moving")
            rules.changed(db)

        self._db.write(end)
        self._wake()

    def seal(self) -> bool:
        def close(db: sqlite3.Connection) -> bool:
            if db.execute("SELECT 1 FROM jobs WHERE state < 2 LIMIT 1").fetchone():
                return False
            db.execute("UPDATE moving SET sealed = 1")
            return True

        return self._db.write(close)

    def pack(self, limit: int) -> list[Parcel]:
        return self._db.read(lambda db: pack_from(_Shelves(db, self._now()), limit))

    def ship(self, parcels: Sequence[Parcel]) -> list[bool]:
        def send(db: sqlite3.Connection) -> list[bool]:
            gone = unchanged(parcels, lambda ids: _read(db, ids))
            ids = array(id for parcel, same in zip(parcels, gone, strict=True) if same for id in parcel.ids)
            db.execute(SQL["forget_wanted"], (ids,))
            delete(db, [seq for (seq,) in db.execute(SQL["seqs_of"], (ids,)).fetchall()])
            return gone

        return self._db.write(send)

    # -- the store that is filled ----------------------------------------------------------------

    def unpack(self, parcels: Sequence[Parcel]) -> None:
        def store(db: sqlite3.Connection) -> None:
            for parcel in parcels:
                db.executemany(
                    SQL["carry_gate"],
                    [(g.id, g.size, g.left, g.failed, g.first_failed, g.finished) for g in parcel.gates],
                )
                for record in parcel.records:
                    _carry_in(db, record)

        self._db.write(store)

    def in_transit(self, limit: int) -> list[str]:
        return self._db.read(lambda db: [id for (id,) in db.execute(SQL["in_transit"], (limit,))])

    def release(self, ids: Sequence[str], keep: bool = True) -> None:
        def let_go(db: sqlite3.Connection) -> None:
            seqs = [seq for (seq,) in db.execute(SQL["seqs_in_transit"], (array(ids),)).fetchall()]
            db.execute("DELETE FROM transit WHERE job IN (SELECT value FROM json_each(?))", (array(seqs),))
            if keep:
                db.execute(SQL["arrive"], (array(seqs),)).fetchall()
            else:
                db.execute(SQL["forget_wanted"], (array(ids),))
                delete(db, seqs)

        self._db.write(let_go)
        if keep:
            self._wake()


def check_open(db: sqlite3.Connection) -> None:
    """Raise StoreMoved if no job may be stored here any more."""
    row = db.execute("SELECT place FROM moving WHERE sealed").fetchone()
    if row:
        raise StoreMoved(moved_text(row[0]))


def moved_text(place: str) -> str:
    return (
        f"this store was moved to {place} and takes no jobs any more; set the app's store (or DULY_STORE) to that one"
    )


def _moving(db: sqlite3.Connection) -> Moving | None:
    row = db.execute("SELECT place, since, sealed FROM moving").fetchone()
    return None if row is None else Moving(row[0], row[1], bool(row[2]))


# -- reading -------------------------------------------------------------------------------------


class _Shelves:
    """What ``pack_from`` asks of a store."""

    def __init__(self, db: sqlite3.Connection, now: int) -> None:
        self._db = db
        self._now = now

    def page(self, which: Any, order: Any, after: str | None, limit: int) -> Any:
        return looking.page(self._db, which, order, after, limit, self._now)

    def neighbours(self, ids: Sequence[str]) -> dict[str, State]:
        return {id: State(state) for id, state in self._db.execute(SQL["neighbours"], (array(ids),))}

    def parcel(self, ids: Sequence[str]) -> Parcel:
        return _read(self._db, ids)


def _read(db: sqlite3.Connection, ids: Sequence[str]) -> Parcel:
    """These jobs, those that are there, with all that belongs to them."""
    wanted = array(ids)
    let_go = {id: bool(free) for id, _, free in db.execute(SQL["carried"], (wanted,))}
    history = _grouped(db.execute(SQL["history_of"], (wanted,)))
    effects = _grouped(db.execute(SQL["effects_of"], (wanted,)))
    memberships = _grouped(db.execute(SQL["memberships_of"], (wanted,)))
    occurrences = _grouped(db.execute(SQL["occurrences_of"], (wanted,)))
    synced = _grouped(db.execute(SQL["wanted_of"], (wanted,)))
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
    gates = [gate for (gate,) in db.execute(SQL["gates_of_ids"], (wanted,)).fetchall()]
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


def _carry_in(db: sqlite3.Connection, record: Record) -> None:
    job = record.job
    row = db.execute(SQL["carry_in"], _row(job, _lane(record), _free_key(db, job))).fetchone()
    if row is None:
        return  # it is here already
    (seq,) = row
    db.execute("INSERT INTO transit (job) VALUES (?)", (seq,))
    for one in record.history:
        kind = Kind[one.outcome.upper()]
        values = (seq, one.attempt, kind, None, one.slot, one.started, one.finished, one.error, one.log)
        db.execute(SQL["record"], values)
    db.executemany(SQL["put_effect"], [(seq, key, value) for key, value in record.effects])
    db.executemany(SQL["carry_member"], [(m.gate, m.index, seq, m.counted) for m in record.memberships])
    if made := record.occurrence:
        db.execute(SQL["carry_occurrence"], (made.schedule, made.nominal, made.job, made.made))
    if wanted := record.wanted:
        db.execute(SQL["carry_wanted"], (wanted.namespace, wanted.key, job.id, wanted.due))


def _lane(record: Record) -> str | None:
    if not record.let_go:
        return gate_lane(record.job.after)
    return _TRANSIT if record.job.state == State.WAITING else None


def _free_key(db: sqlite3.Connection, job: JobView) -> str | None:
    """Its key, unless a live job here holds it."""
    if job.key is None or job.state.final:
        return job.key
    return None if db.execute(SQL["key_holder"], (job.key,)).fetchone() else job.key


def _row(job: JobView, lane: str | None, key: str | None) -> tuple[object, ...]:
    return (
        job.id, job.task, job.args, job.queue, job.priority, job.due, job.expires, job.state, job.attempt,
        job.retries, job.lost, job.flags, job.headers, job.options, key, job.limit_key, lane, job.created,
        job.slot, job.started, job.finished, job.result, job.error, job.progress, job.log, job.after,
    )  # fmt: skip
