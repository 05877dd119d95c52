"""The hot path: settle what is done, reserve what is due. Functions of an open write transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Any

from duly.job import Kind, Lease, Outcome, Rollup
from duly.store import stats
from duly.store.sqlite import lanes
from duly.store.sqlite.rules import Rules
from duly.store.sqlite.sql import SQL, array, error

Row = tuple[Any, ...]

_FINAL = int(Kind.UNCERTAIN)  # kinds up to here are final states of the same number


def next_due(db: sqlite3.Connection, rules: Rules, queues: Sequence[str]) -> int | None:
    """When to look again: a waiting job is due, or a lane opens."""
    dues = [due for _, _, due in db.execute(SQL["levels"], (_open(rules, queues),))]
    if rules.version:  # also after the last limit was taken away: jobs may be parked still
        dues += (opens for (opens,) in db.execute(SQL["next_lane"]) if opens is not None)
    return min(dues, default=None)


def reserve(
    db: sqlite3.Connection, rules: Rules, worker: int, slot: int, want: int, queues: Sequence[str], now: int
) -> tuple[list[Lease], bool]:
    """Up to ``want`` due jobs, marked as running on this seat under a new token; and whether some had expired."""
    if not db.execute(SQL["alive"], (worker,)).fetchone():
        return [], False
    if rules.version:
        lanes.open_lanes(db, rules, now)
    rows = _due(db, rules, want, queues, now)
    expired = [row[0] for row in rows if row[7] is not None and row[7] <= now]
    if expired:
        reason = error("JobCancelled", "expired before it could start")
        db.execute(SQL["expire"], (now, reason, array(expired)))
        rows = [row for row in rows if row[7] is None or row[7] > now]
    if rules.limits or rules.exclusive:
        rows = lanes.admit(db, rules, rows, now)
    if not rows:
        return [], bool(expired)
    token = int.from_bytes(os.urandom(8), "big") >> 1  # 63 bits: with the job's seq, unique for good
    db.execute(SQL["reserve"], (worker, slot, token, now, array([row[0] for row in rows])))
    return [Lease(token, *row[:-1]) for row in rows], bool(expired)


def _open(rules: Rules, queues: Sequence[str]) -> str:
    return array(queue for queue in dict.fromkeys(queues) if queue not in rules.paused)


def _due(db: sqlite3.Connection, rules: Rules, want: int, queues: Sequence[str], now: int) -> list[Row]:
    """Due rows: queues in the order given; within one, priority (9 first), due, age."""
    place = {queue: i for i, queue in enumerate(queues)}
    levels = [level for level in db.execute(SQL["levels"], (_open(rules, queues),)) if level[2] <= now]
    levels.sort(key=lambda level: (place[level[0]], -level[1]))
    rows: list[Row] = []
    for queue, priority, _ in levels:
        rows += db.execute(SQL["due"], (queue, priority, now, want - len(rows)))
        if len(rows) >= want:
            break
    return rows


def settle(
    db: sqlite3.Connection, rules: Rules, worker: int, slot: int, outcomes: Sequence[Outcome], now: int
) -> list[Outcome]:
    """Write what still holds its lease, with the statistics; gives the outcomes that were refused."""
    refused: list[Outcome] = []
    finals = [outcome for outcome in outcomes if outcome.kind <= _FINAL]
    if finals and not _finish_all(db, finals):
        refused += [outcome for outcome in finals if not _finish_all(db, [outcome])]
    for outcome in outcomes:
        if outcome.kind > _FINAL and not _give_back(db, worker, slot, outcome, now):
            refused.append(outcome)
    accepted = outcomes if not refused else [o for o in outcomes if not any(o is r for r in refused)]
    if rules.version:
        lanes.let_go(db, [outcome.lease.ref for outcome in accepted])
    db.executemany(SQL["roll"], [tuple_of(row) for row in stats.rollup(accepted)])
    return refused


def _finish_all(db: sqlite3.Connection, outcomes: list[Outcome]) -> bool:
    """Write final outcomes in one go; writes none of them and says False if any lease is stale."""
    many = len(outcomes) > 1
    if many:
        db.execute("SAVEPOINT finish")
    cursor = db.executemany(
        SQL["finish"],
        [
            (
                o.kind,
                o.started or None,
                o.finished,
                o.result,
                o.error,
                o.progress,
                o.log,
                o.lease.ref,
                o.lease.token,
            )
            for o in outcomes
        ],
    )
    complete = cursor.rowcount == len(outcomes)
    if many:
        if not complete:
            db.execute("ROLLBACK TO finish")
        db.execute("RELEASE finish")
    return complete


def _give_back(db: sqlite3.Connection, worker: int, slot: int, outcome: Outcome, now: int) -> bool:
    """A retry or a release: the job waits again, unless it was asked to cancel meanwhile."""
    lease = outcome.lease
    if outcome.kind == Kind.RELEASED:  # it has no times of its own
        return db.execute(SQL["release"], (now, lease.ref, lease.token)).rowcount == 1
    counted = 1 if outcome.kind == Kind.RETRY else 0
    values = (outcome.finished, outcome.due, counted, outcome.error, outcome.progress, lease.ref, lease.token)
    if db.execute(SQL["again"], values).rowcount == 0:
        return False
    record(db, lease.ref, lease.attempt, outcome.kind, worker, slot, outcome.started, outcome.finished,
           outcome.error, outcome.log)  # fmt: skip
    return True


def record(
    db: sqlite3.Connection, job: int, attempt: int, kind: Kind, worker: int, slot: int | None,
    started: int | None, finished: int, error: bytes | None, log: bytes | None,
) -> None:  # fmt: skip
    """A line of history for an attempt that was not the job's last."""
    db.execute(SQL["record"], (job, attempt, kind, worker, slot, started, finished, error, log))


def tuple_of(row: Rollup) -> tuple[object, ...]:
    return (row.minute, row.queue, row.task, row.outcome, row.measure, row.bucket, row.n, row.total)
