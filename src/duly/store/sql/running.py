"""The hot path: settle what is done, reserve what is due. Functions of an open write transaction."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from duly.job import Flag, Kind, Lease, Outcome, State
from duly.messages import Rollup
from duly.store import stats
from duly.store.sql import gates, lanes
from duly.store.sql.db import Db, Row
from duly.store.sql.gates import Closed
from duly.store.sql.rows import error
from duly.store.sql.rules import Rules

_MEMBER = int(Flag.MEMBER)
_FINAL = int(Kind.UNCERTAIN)  # kinds up to here are final states of the same number
_EXPIRES, _FLAGS = 7, 11  # columns of the statement "due"
_ASIDE_AT_ONCE = 500  # jobs that one transaction finds expired or parks before it makes way for others
_FETCH = 100  # rows to look at once some were put aside: more of the same may follow


@dataclass
class Reserved:
    """What a reserve brought."""

    leases: list[Lease]  # in the order to run them
    expired: bool  # some had expired
    more: bool  # nothing was found, but not everything was looked at


NOTHING = Reserved([], expired=False, more=False)


def next_due(db: Db, rules: Rules, queues: Sequence[str]) -> int | None:
    """When to look again: a waiting job is due, or a lane opens."""
    dues = [due for _, _, due in db.run("levels", (_open(db, rules, queues),))]
    if rules.version:  # also after the last limit was taken away: jobs may be parked still
        dues += (opens for (opens,) in db.run("next_lane") if opens is not None)
    return min(dues, default=None)


def reserve(
    db: Db,
    rules: Rules,
    worker: int,
    slot: int,
    want: int,
    queues: Sequence[str],
    now: int,
    token: int | None = None,
) -> Reserved:
    """Up to ``want`` due jobs, marked as running on this seat under ``token``, or a new one.

    Jobs that turn out to have expired, or are held back by a limit, are put aside and make room for the next ones;
    _ASIDE_AT_ONCE of them, so that a hundred thousand keep the write lock from nobody for long.
    """
    got = Reserved([], expired=False, more=False)
    if not db.run("alive", (worker,)).fetchone():
        return got
    if rules.version:
        lanes.open_lanes(db, rules, now)
    token = token or int.from_bytes(os.urandom(8), "big") >> 1  # 63 bits: with the job's seq, unique for good
    aside, fetch = 0, want
    while True:
        found = _due(db, rules, fetch, queues, now)
        rows, expired, held_back = _startable(db, rules, found, want - len(got.leases), now, first=not got.leases)
        if rows:
            db.run("reserve", (worker, slot, token, now, db.array([row[0] for row in rows])))
            got.leases += [Lease(token, *row[:-1]) for row in rows]
        aside += expired + held_back
        got.expired = got.expired or expired > 0
        if not (expired or held_back) or len(got.leases) >= want:
            return got
        if aside >= _ASIDE_AT_ONCE:
            got.more = not got.leases
            return got
        fetch = max(want - len(got.leases), _FETCH)


def _startable(db: Db, rules: Rules, rows: list[Row], want: int, now: int, first: bool) -> tuple[list[Row], int, int]:
    """The rows that may start now, ``want`` at most; how many expired, and how many a limit holds back.

    ``first``: nothing was reserved before them in this batch.
    """
    limited = bool(rules.limits) or rules.exclusive
    if not limited and all(row[_EXPIRES] is None for row in rows):
        return rows[:want], 0, 0
    admission = lanes.Admission(db, rules, now, first)
    kept: list[Row] = []
    expired: list[Row] = []
    for row in rows:
        if len(kept) == want:
            break
        if row[_EXPIRES] is not None and row[_EXPIRES] <= now:
            expired.append(row)
        elif not limited or admission.admit(row):
            kept.append(row)
    if expired:
        reason = error("JobCancelled", "expired before it could start")
        db.run("expire", (now, reason, db.array(row[0] for row in expired)))
        gates.count(db, gates.members((row[0], row[_FLAGS]) for row in expired), now)
    return kept, len(expired), admission.park()


def _open(db: Db, rules: Rules, queues: Sequence[str]) -> object:
    if rules.moving:
        return db.array(())
    return db.array(queue for queue in dict.fromkeys(queues) if queue not in rules.paused)


def _due(db: Db, rules: Rules, want: int, queues: Sequence[str], now: int) -> list[Row]:
    """Due rows: the queues take turns in the order given; within one, priority (9 first), due, age."""
    levels: dict[str, list[int]] = {}
    for queue, priority, due in db.run("levels", (_open(db, rules, queues),)).fetchall():
        if due <= now:
            levels.setdefault(queue, []).append(priority)
    sources = {queue: _rows(db, queue, found, want, now) for queue, found in levels.items()}
    if len(sources) == 1:
        (source,) = sources.values()
        return list(itertools.islice(source, want))
    rows: list[Row] = []
    turns = [queue for queue in queues if queue in sources]
    while turns and len(rows) < want:
        for queue in turns:
            row = next(sources[queue], None)
            if row is not None:
                rows.append(row)
                if len(rows) == want:
                    break
            elif queue in levels:
                del levels[queue]  # it has no more
        turns = [queue for queue in turns if queue in levels]
    return rows  # from here on nobody holds the sources: none is half read when the rows are changed


def _rows(db: Db, queue: str, priorities: list[int], want: int, now: int) -> Iterator[Row]:
    """What is due in one queue, read only as far as it is asked for."""

    def level(priority: int) -> Iterator[Row]:
        return iter(db.run("due", (queue, priority, now, want)))

    return itertools.chain.from_iterable(map(level, sorted(priorities, reverse=True)))


def settle(
    db: Db, rules: Rules, worker: int, slot: int, outcomes: Sequence[Outcome], now: int
) -> tuple[list[Outcome], Closed]:
    """Write what still holds its lease, with the statistics; gives the outcomes that were refused, and what came of
    gates whose members ended."""
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
    db.run_many("roll", [tuple_of(row) for row in stats.rollup(accepted)])
    return refused, _follow(db, accepted, now)


def _follow(db: Db, accepted: Sequence[Outcome], now: int) -> Closed:
    """What these outcomes lead to: jobs that come with them, and jobs that waited for them."""
    closed = Closed()
    for outcome in accepted:
        if outcome.then is not None and outcome.kind <= _FINAL:
            closed |= gates.store_then(db, outcome.then, now)
    members = [outcome.lease.ref for outcome in accepted if outcome.lease.flags & _MEMBER]
    return closed | gates.count(db, members, now) if members else closed


def _finish_all(db: Db, outcomes: list[Outcome]) -> bool:
    """Write final outcomes in one go; writes none of them and says False if any lease is stale."""
    many = len(outcomes) > 1
    if many:
        db.query("SAVEPOINT finish")
    cursor = db.run_many(
        "finish",
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
            db.query("ROLLBACK TO finish")
        db.query("RELEASE finish")
    return complete


def _give_back(db: Db, worker: int, slot: int, outcome: Outcome, now: int) -> bool:
    """A retry or a release: the job waits again, unless it was asked to cancel meanwhile."""
    lease = outcome.lease
    if outcome.kind == Kind.RELEASED:  # it has no times of its own
        return db.run("release", (now, lease.ref, lease.token)).rowcount == 1
    if outcome.kind == Kind.REPLACED:
        return _replace(db, worker, slot, outcome, now)
    counted = 1 if outcome.kind == Kind.RETRY else 0
    values = (outcome.finished, outcome.due, counted, outcome.error, outcome.progress, lease.ref, lease.token)
    if db.run("again", values).rowcount == 0:
        return False
    if outcome.args is not None:
        db.run("again_with", (outcome.args, lease.ref))
    record(db, lease.ref, lease.attempt, outcome.kind, worker, slot, outcome.started, outcome.finished,
           outcome.error, outcome.log)  # fmt: skip
    return True


def _replace(db: Db, worker: int, slot: int, outcome: Outcome, now: int) -> bool:
    """The job goes on as another, unless it was asked to cancel meanwhile."""
    lease, then = outcome.lease, outcome.then
    row = db.run("replace", (outcome.finished, lease.ref, lease.token)).fetchone()
    if row is None:
        return False
    record(db, lease.ref, lease.attempt, outcome.kind, worker, slot, outcome.started, outcome.finished,
           None, outcome.log)  # fmt: skip
    if row[0] == State.WAITING:
        assert then is not None, "REPLACED says by what, in then"
        gates.store_then(db, then, now, replaced=lease)
    return True


def record(
    db: Db, job: int, attempt: int, kind: Kind, worker: int, slot: int | None,
    started: int | None, finished: int, error: bytes | None, log: bytes | None,
) -> None:  # fmt: skip
    """A line of history for an attempt that was not the job's last."""
    db.run("record", (job, attempt, kind, worker, slot, started, finished, error, log))


def tuple_of(row: Rollup) -> tuple[object, ...]:
    return (row.minute, row.queue, row.task, row.outcome, row.measure, row.bucket, row.n, row.total)
