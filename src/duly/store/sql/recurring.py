"""Recurring work: schedules and their occurrences. Functions of an open transaction.

An occurrence is made once because of three things done in one transaction: the schedule is still as it was seen
(its revision and its ``next``), (schedule, nominal) is the occurrence's primary key, and the job is stored with it.
No rule is computed here; whoever calls brings the instants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from duly.job import Advance, Schedule
from duly.store.owning import check_owner, check_removable, definition
from duly.store.sql import rules
from duly.store.sql.db import Db, Row
from duly.store.sql.rows import error, job_row

_ALL = -1  # before every nominal instant

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Schedule).decode


# -- looking -------------------------------------------------------------------------------------


def schedules(db: Db, names: Sequence[str] | None) -> list[Schedule]:
    if names is None:
        return _read(db.run("schedules"))
    return _read(db.run("schedules_named", (db.array(names),)))


def earliest(db: Db) -> int | None:
    """The next instant at which a schedule has an occurrence to be made."""
    (instant,) = db.run("next_schedule").fetchone()
    return None if instant is None else int(instant)


def due(db: Db, until: int) -> list[Schedule]:
    return _read(db.run("schedules_due", (until,)))


def _read(rows: Iterable[Row]) -> list[Schedule]:
    return [
        msgspec.structs.replace(
            _decode(info), name=name, owner=owner, revision=revision, paused=bool(paused), next=next_, last=last
        )
        for name, owner, revision, paused, next_, last, info in rows
    ]


def _named(db: Db, name: str) -> Schedule | None:
    found = schedules(db, [name])
    return found[0] if found else None


# -- changing ------------------------------------------------------------------------------------


def declare(db: Db, owner: str, wanted: Sequence[Schedule], now: int) -> None:
    """What the code of ``owner`` says, in place of what it said before."""
    names = {schedule.name for schedule in wanted}
    for schedule in schedules(db, None):
        if schedule.owner == owner and schedule.name not in names:
            _delete(db, schedule, now)
    for schedule in wanted:
        put(db, msgspec.structs.replace(schedule, owner=owner), now)


def put(db: Db, wanted: Schedule, now: int) -> None:
    """Store a schedule, in place of its owner's one of this name."""
    before = _named(db, wanted.name)
    if before is None:
        _write(db, msgspec.structs.replace(wanted, paused=False, last=None))
        return
    check_owner(before, wanted)
    if definition(before) == definition(wanted):
        return
    withdrawn = _withdraw(db, before.name, now, now, "withdrawn: its schedule was changed")
    next_ = _earliest(before.next, withdrawn) if before.rule == wanted.rule else wanted.next
    _write(db, msgspec.structs.replace(wanted, paused=before.paused, next=next_, last=before.last))
    if before.overlap != wanted.overlap:
        rules.changed(db)


def remove(db: Db, name: str, now: int) -> bool:
    schedule = _named(db, name)
    if schedule is None:
        return False
    check_removable(schedule)
    _delete(db, schedule, now)
    return True


def pause(db: Db, name: str, now: int) -> bool:
    schedule = _named(db, name)
    if schedule is None:
        return False
    if not schedule.paused:
        withdrawn = _withdraw(db, name, now, now, "withdrawn: its schedule was paused")
        db.run("pause_schedule", (_new_revision(db), _earliest(schedule.next, withdrawn), name))
    return True


def resume(db: Db, seen: Schedule, next_: int | None) -> bool:
    values = (_new_revision(db), next_, seen.name, seen.revision)
    return db.run("resume_schedule", values).rowcount == 1


def advance(db: Db, step: Advance, now: int) -> int | None:
    """Store the jobs of a schedule's occurrences; gives how many, None if the schedule has changed since."""
    seen = step.seen
    last = max((nominal for nominal, _ in step.jobs), default=seen.last)
    if db.run("advance", (step.next, last, last, seen.name, seen.revision, seen.next)).rowcount == 0:
        return None
    stored = 0
    for nominal, job in step.jobs:
        if db.run("add_occurrence", (seen.name, nominal, job.id, now)).rowcount:
            stored += db.run("insert", job_row(job, now)).rowcount
    return stored


# -- the steps of a change -----------------------------------------------------------------------


def _write(db: Db, schedule: Schedule) -> None:
    values = (schedule.name, schedule.owner, _new_revision(db), schedule.paused, schedule.next, schedule.last)
    db.run("put_schedule", (*values, _encode(definition(schedule))))
    if schedule.overlap != "allow":
        rules.changed(db)


def _delete(db: Db, schedule: Schedule, now: int) -> None:
    _withdraw(db, schedule.name, _ALL, now, "withdrawn: its schedule was removed")
    db.run("delete_schedule", (schedule.name,))
    if schedule.overlap != "allow":
        rules.changed(db)


def _withdraw(db: Db, name: str, after: int, now: int, why: str) -> list[int]:
    """Take back the occurrences after an instant that have not started; gives their nominal instants."""
    taken = db.run("withdraw", (name, after)).fetchall()
    if taken:
        db.run("cancel_by_id", (now, error("JobCancelled", why), db.array(job for _, job in taken)))
    return [nominal for nominal, _ in taken]


def _earliest(next_: int | None, withdrawn: list[int]) -> int | None:
    return min(withdrawn if next_ is None else [next_, *withdrawn], default=None)


def _new_revision(db: Db) -> int:
    return int(db.run("new_revision").fetchone()[0])
