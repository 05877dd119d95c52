"""What people ask about jobs. Functions of an open connection; none of them takes a lock."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from duly.job import COUNT_CAP, Attempt, Filter, GateView, JobView, Kind, Page, QueueCount, Result, State
from duly.messages import Rollup
from duly.store import paging
from duly.store.contract import Order
from duly.store.paging import FINAL, WAITING
from duly.store.sql.db import Db, Row
from duly.store.sql.filters import where
from duly.store.sql.rows import is_held

UNANSWERED = "j.state >= 2 AND j.flags & 384 = 128"
"""As the index jobs_unanswered says it: Flag.ANSWER without Flag.ANSWERED."""

_SEQ, _DUE, _FINISHED = 0, 6, 18  # columns of the statement "view"


def page(db: Db, which: Filter, order: Order, after: str | None, limit: int, now: int) -> Page:
    """A page by the cheapest road: waiting jobs by due through their index, ended ones newest first through theirs,
    everything else by age through the table itself."""
    condition, values = where(db, which, now)
    cursor = paging.cursor(after)
    states = set(which.states or ())
    if order == "due":
        rows, key = _by_due(db, condition, values, cursor, limit, states, which.queues), _DUE
    elif states and states <= FINAL.keys() and which.ids is None:
        rows, key = _ended(db, condition, values, cursor, limit, states), _FINISHED
    else:
        rows, key = _by_age(db, condition, values, cursor, limit, few=states == {"running"}), _SEQ
    last = f"{rows[-1][key]}.{rows[-1][_SEQ]}" if len(rows) == limit else None
    return Page([_view(row) for row in rows], last)


def unanswered(db: Db, limit: int) -> list[JobView]:
    rows = db.query(f"{db.text('view')} WHERE {UNANSWERED} ORDER BY j.finished LIMIT :limit", {"limit": limit})
    return [_view(row) for row in rows]


def views(db: Db, ids: Sequence[str]) -> list[JobView]:
    """These jobs, those that are there, in this order."""
    rows = db.query(f"{db.text('view')} WHERE {db.one_of('j.id', 'ids')}", {"ids": db.array(ids)})
    found = {row[1]: row for row in rows}
    return [_view(found[id]) for id in ids if id in found]


def _by_age(db: Db, condition: str, values: dict[str, Any], cursor: Row | None, limit: int, few: bool) -> list[Row]:
    """``few``: sort what an index finds (the +) instead of walking the whole table in its order."""
    age = "+j.seq" if few else "j.seq"
    if cursor:
        condition += f" AND {age} < :seq"
        values |= {"seq": cursor[1]}
    return db.query(
        f"{db.text('view')} WHERE {condition} ORDER BY {age} DESC LIMIT :limit", values | {"limit": limit}
    ).fetchall()


def _ended(
    db: Db,
    condition: str,
    values: dict[str, Any],
    cursor: Row | None,
    limit: int,
    states: set[str],
) -> list[Row]:
    """Each state is one range of the index, newest first; merge them."""
    if cursor:
        condition += " AND (j.finished, j.seq) < (:finished, :seq)"
        values |= {"finished": cursor[0], "seq": cursor[1]}
    parts = [
        db.query(
            f"{db.text('view')} WHERE j.state >= 2 AND j.state = {FINAL[state]} AND {condition} "
            "ORDER BY j.finished DESC, j.seq DESC LIMIT :limit",
            values | {"limit": limit},
        ).fetchall()
        for state in sorted(states)
    ]
    return list(heapq.merge(*parts, key=lambda row: (-row[_FINISHED], -row[_SEQ])))[:limit]


def _by_due(
    db: Db,
    condition: str,
    values: dict[str, Any],
    cursor: Row | None,
    limit: int,
    states: set[str],
    wanted: Collection[str] | None,
) -> list[Row]:
    """Waiting jobs: each queue and priority is one range of the index in the order of due; merge those of the
    ``wanted`` queues (None: all)."""
    if cursor:
        condition += " AND (j.due, j.seq) > (:due, :seq)"
        values |= {"due": cursor[0], "seq": cursor[1]}
    if not states or not states <= WAITING:
        sql = f"{db.text('view')} WHERE {condition} ORDER BY j.due, j.seq LIMIT :limit"
        return db.query(sql, values | {"limit": limit}).fetchall()
    parts = [
        db.query(
            f"{db.text('view')} WHERE j.state = 0 AND j.lane IS NULL AND j.queue = :q AND j.priority = :p "
            f"AND {condition} ORDER BY j.due, j.seq LIMIT :limit",
            values | {"limit": limit, "q": queue, "p": priority},
        ).fetchall()
        for queue, priority, _ in _levels(db)
        if wanted is None or queue in wanted
    ]
    condition = f"j.state = 0 AND j.lane IS NOT NULL AND {condition}"
    parked = f"{db.text('view')} WHERE {condition} ORDER BY j.due, j.seq LIMIT :limit"
    parts.append(db.query(parked, values | {"limit": limit}).fetchall())
    return list(heapq.merge(*parts, key=lambda row: (row[_DUE], row[_SEQ])))[:limit]


def _view(row: Row) -> JobView:
    (_, id, task, args, queue, priority, due, expires, key, headers, options, flags, state, attempt, retries, lost,
     created, started, finished, worker, slot, result, error, progress, log, cancel, lane, limit_key,
     after, members) = row  # fmt: skip
    held = is_held(state, lane)
    return JobView(
        id=id, task=task, args=args, queue=queue, priority=priority, due=due, expires=expires, key=key,
        headers=headers, options=options, flags=flags, state=State(state), attempt=attempt, retries=retries,
        lost=lost, created=created, started=started, finished=finished, worker=worker, slot=slot, result=result,
        error=error, progress=progress, log=log, cancelling=cancel > 0 and state == State.RUNNING,
        lane=lane if state == State.WAITING and not held else None, limit_key=limit_key, after=after, held=held,
        gates=() if members is None else _memberships(members),
    )  # fmt: skip


_memberships = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode


def attempts(db: Db, id: str) -> list[Attempt]:
    current = db.run("current_attempt", (id,)).fetchone()
    if current is None:
        return []
    seq, number, state, worker, slot, started, finished, error, log = current
    history = [
        Attempt(
            attempt=number, outcome=Kind(kind).name.lower(), worker=worker, slot=slot,
            started=started, finished=finished, error=error, log=log,
        )
        for number, kind, worker, slot, started, finished, error, log in db.run("attempts", (seq,))
    ]  # fmt: skip
    if started is not None:
        history.append(
            Attempt(
                attempt=number, outcome=State(state).name.lower(), worker=worker, slot=slot,
                started=started, finished=finished, error=error, log=log,
            )
        )  # fmt: skip
    return history


def results(db: Db, ids: Sequence[str]) -> list[Result | None]:
    found: dict[str, Result] = {}
    for row in db.run("results", (db.array(ids),)):
        found[row[0]] = result_of(row)
    return [found.get(id) for id in ids]


def result_of(row: Row) -> Result:
    """A row of the statements "results" and "members"."""
    id, state, attempt, due, result, error, progress, lane = row
    return Result(
        id=id, state=State(state), attempt=attempt, due=due, result=result, error=error, progress=progress,
        held=is_held(state, lane),
    )  # fmt: skip


def members(db: Db, gate: str) -> list[Result]:
    return [result_of(row) for row in db.run("members", (gate,))]


def gates(db: Db, ids: Sequence[str]) -> list[GateView | None]:
    found = {
        id: GateView(id=id, size=size, left=left, failed=failed, first_failed=first, finished=finished)
        for id, size, left, failed, first, finished in db.run("gates", (db.array(ids),))
    }
    return [found.get(id) for id in ids]


def counts(db: Db, now: int) -> list[QueueCount]:
    running = dict(db.run("count_running").fetchall())
    tally: dict[str, list[int]] = {queue: [0, 0] for queue in running}
    oldest: dict[str, int] = {}
    for queue, priority, due in _levels(db):
        ready_and_scheduled = tally.setdefault(queue, [0, 0])
        for i, statement in enumerate(("count_ready", "count_scheduled")):
            ready_and_scheduled[i] += db.run(statement, (queue, priority, now, COUNT_CAP)).fetchone()[0]
        if due <= now:
            oldest[queue] = min(due, oldest.get(queue, due))
    for queue, parked, due in db.run("count_parked"):
        tally.setdefault(queue, [0, 0])[0] += parked
        oldest[queue] = min(due, oldest.get(queue, due))
    return [
        QueueCount(
            queue=queue,
            ready=min(ready, COUNT_CAP),
            scheduled=min(scheduled, COUNT_CAP),
            running=min(running.get(queue, 0), COUNT_CAP),
            oldest=oldest.get(queue),
        )
        for queue, (ready, scheduled) in sorted(tally.items())
    ]


def due_counts(db: Db, edges: Sequence[int], cap: int) -> dict[str, list[int]]:
    """Each queue, priority and span is one range of an index; the spans of a queue and priority are one question."""
    if len(edges) < 2:
        return {}
    tally: dict[str, list[int]] = {}
    for queue, priority, due in _levels(db):
        if due >= edges[-1]:
            continue
        counted = tally.setdefault(queue, [0] * (len(edges) - 1))
        for i, (n,) in enumerate(db.run("count_due", (db.array(edges), queue, priority, cap))):
            counted[i] = min(counted[i] + n, cap)
    return {queue: counted for queue, counted in sorted(tally.items()) if any(counted)}


def effects(db: Db, id: str) -> list[tuple[str, bytes]]:
    return [(key, bytes(value)) for key, value in db.run("effects", (id,))]


def rollups(db: Db, first_minute: int, end_minute: int) -> list[Rollup]:
    return [Rollup(*row) for row in db.run("rollups", (first_minute, end_minute))]


def _levels(db: Db) -> list[tuple[str, int, int]]:
    queues = [queue for (queue,) in db.run("queues")]
    return db.run("levels", (db.array(queues),)).fetchall()
