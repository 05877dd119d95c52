"""Workers come, go and die. Functions of an open write transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from duly.job import Flag, Kind, Rescued, State, WorkerInfo
from duly.store import stats
from duly.store.sql import gates
from duly.store.sql.db import Db, Row
from duly.store.sql.lanes import let_go
from duly.store.sql.rows import error
from duly.store.sql.running import record, tuple_of

ALIVE, LEFT, RESCUED = 0, 1, 2  # workers.state
_FLAGS = 7  # column of the statement "held"

worker_info = msgspec.json.Decoder(WorkerInfo).decode


def any_lapsed(db: Db, now: int) -> bool:
    return db.run("any_lapsed", (now,)).fetchone() is not None


def leave(db: Db, worker: int, now: int) -> None:
    """A worker says goodbye; whatever it still holds waits again as if never reserved."""
    held = db.run("held", (worker,)).fetchall()
    for seq, _, _, _, token, *_ in held:
        _release(db, seq, token, now)
    _count(db, held, now)
    db.run("end_worker", (LEFT, LEFT, now, worker))


def abandon(
    db: Db,
    worker: int,
    slot: int,
    started: Collection[str],
    reason: bytes,
    max_lost: int,
    now: int,
) -> list[Rescued]:
    rescued = []
    mine = [held for held in db.run("held", (worker,)).fetchall() if held[-1] == slot]
    for held in mine:
        seq, id, task, queue, token, _, lost, _, _, _, cancel, _ = held
        if id in started:
            rescued.append(_lose(db, held, worker, reason, max_lost, now))
        else:
            _release(db, seq, token, now)
            rescued.append(Rescued(id, task, queue, State.CANCELLED if cancel else State.WAITING, lost))
    _count(db, mine, now)
    return rescued


def rescue(db: Db, max_lost: int, dead: Sequence[int], before: int, now: int) -> list[Rescued]:
    """Of the ``dead``, and of those whose lease ended at ``before`` or earlier."""
    rescued = []
    for worker, name, host, info in db.run("lapsed", (before, db.array(dead))).fetchall():
        pid = worker_info(info).pid
        how = "is dead" if worker in dead else "stopped answering"
        reason = error("WorkerLost", f"worker {name}@{host} (pid {pid}) {how}; it held this job")
        theirs = db.run("held", (worker,)).fetchall()
        for held in theirs:
            rescued.append(_lose(db, held, worker, reason, max_lost, now))
        _count(db, theirs, now)
        db.run("end_worker", (RESCUED, RESCUED, now, worker))
    return rescued


def _release(db: Db, seq: int, token: int, now: int) -> None:
    db.run("release", (now, seq, token))
    let_go(db, [seq])


def _count(db: Db, held: Sequence[Row], now: int) -> None:
    gates.count(db, gates.members((row[0], row[_FLAGS]) for row in held), now)


def _lose(db: Db, held: Row, worker: int, reason: bytes, max_lost: int, now: int) -> Rescued:
    """An attempt ended with its worker: what becomes of the job."""
    seq, id, task, queue, _, attempt, lost, flags, started, log, cancel, slot = held
    lost += 1
    state, kind = _after_loss(flags, cancel, lost, max_lost)
    if state == State.WAITING:
        db.run("lose", (state, lost, reason, None, None, None, seq))
        record(db, seq, attempt, Kind.LOST, worker, slot, started, now, reason, log)
    else:
        db.run("lose", (state, lost, reason, started, now, log, seq))
    let_go(db, [seq])
    db.run("roll", tuple_of(stats.lost(queue, task, kind, now)))
    return Rescued(id, task, queue, state, lost)


def _after_loss(flags: int, cancel: int, lost: int, max_lost: int) -> tuple[State, Kind]:
    if cancel:
        return State.CANCELLED, Kind.CANCELLED
    if flags & Flag.AT_MOST_ONCE:
        return State.UNCERTAIN, Kind.UNCERTAIN
    if lost >= max_lost:
        return State.FAILED, Kind.FAILED
    return State.WAITING, Kind.LOST
