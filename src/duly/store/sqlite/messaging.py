"""Messages to workers and their replies, time limits, and what explains a waiting job. Functions of an open
connection; those that write, of a write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from duly.clock import MICROS
from duly.job import COUNT_CAP
from duly.messages import Action, Control, Lane, Reply, TimeLimit
from duly.store.sqlite.lanes import next_allowed
from duly.store.sqlite.liveness import worker_info
from duly.store.sqlite.rules import Rules, plain
from duly.store.sqlite.sql import SQL, array

_KEEP = 3600 * MICROS  # µs a message is kept after it expired, for whoever still wants to read its reply

_NO_ID = 2**63 - 1  # larger than any

_action = msgspec.json.Decoder(Action).decode
_time_limit = msgspec.json.Decoder(TimeLimit).decode


def send(
    db: sqlite3.Connection, workers: Sequence[int], method: str, args: bytes, expires: int, now: int
) -> list[int]:
    db.execute("DELETE FROM control WHERE expires < ?", (now - _KEEP,))
    return [int(db.execute(SQL["send"], (worker, method, args, now, expires)).lastrowid or 0) for worker in workers]


def unanswered(db: sqlite3.Connection, worker: int, now: int) -> list[Control]:
    return [Control(*row) for row in db.execute(SQL["unanswered"], (worker, now))]


def replies(db: sqlite3.Connection, ids: Sequence[int]) -> list[Reply]:
    return [Reply(*row) for row in db.execute(SQL["replies"], (array(ids),))]


def set_time_limit(db: sqlite3.Connection, limit: TimeLimit) -> None:
    if limit.soft is None and limit.hard is None:
        db.execute("DELETE FROM time_limits WHERE task = ?", (limit.task,))
    else:
        db.execute(SQL["set_time_limit"], (limit.task, msgspec.json.encode(limit)))


def time_limits(db: sqlite3.Connection) -> list[TimeLimit]:
    return [_time_limit(info) for (info,) in db.execute("SELECT info FROM time_limits ORDER BY task")]


def record_action(db: sqlite3.Connection, action: Action) -> int:
    info = msgspec.json.encode(action)
    if action.id:
        db.execute(SQL["change_action"], (info, action.id))
        return action.id
    return int(db.execute(SQL["add_action"], (action.at, info)).lastrowid or 0)


def actions(db: sqlite3.Connection, before: int | None, limit: int) -> list[Action]:
    rows = db.execute(SQL["actions"], (_NO_ID if before is None else before, limit))
    return [msgspec.structs.replace(_action(info), id=id) for id, info in rows]


def update_worker(db: sqlite3.Connection, worker: int, queues: Sequence[str], slots: int) -> None:
    row = db.execute("SELECT info FROM workers WHERE id = ? AND state = 0", (worker,)).fetchone()
    if row is not None:
        info = msgspec.structs.replace(worker_info(row[0]), queues=tuple(queues), slots=slots)
        db.execute("UPDATE workers SET info = ? WHERE id = ?", (msgspec.json.encode(info), worker))


def lanes_of(db: sqlite3.Connection, rules: Rules, job: str, now: int) -> list[Lane]:
    row = db.execute("SELECT task, queue, limit_key FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        return []
    found = []
    for name, limit in rules.lanes(*row):
        tat = db.execute("SELECT tat FROM lanes WHERE name = ?", (name,)).fetchone()
        (running,) = db.execute("SELECT count(*) FROM holding WHERE lane = ?", (name,)).fetchone()
        next_start = next_allowed(limit, tat[0] if tat else 0, now)
        found.append(
            Lane(
                name=plain(name), scope=limit.scope, rate=limit.rate, per=limit.per, concurrency=limit.concurrency,
                next_start=next_start, running=running,
            )
        )  # fmt: skip
    return found


def ahead(db: sqlite3.Connection, job: str, now: int) -> int:
    row = db.execute("SELECT queue, priority, due, seq FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        return 0
    queue, priority, due, seq = row
    values = {"queue": queue, "priority": priority, "due": due, "seq": seq, "now": now, "cap": COUNT_CAP}
    return int(db.execute(SQL["ahead"], values).fetchone()[0])
