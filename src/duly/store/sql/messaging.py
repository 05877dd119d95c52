"""Messages to workers and their replies, time limits, and what explains a waiting job. Functions of an open
connection; those that write, of a write transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duly.clock import MICROS
from duly.job import COUNT_CAP
from duly.messages import Action, Control, Lane, Reply, TimeLimit
from duly.store.sql.db import Db
from duly.store.sql.lanes import next_allowed
from duly.store.sql.liveness import worker_info
from duly.store.sql.rules import Rules, plain

_KEEP = 3600 * MICROS  # µs a message is kept after it expired, for whoever still wants to read its reply

_NO_ID = 2**63 - 1  # larger than any

_action = msgspec.json.Decoder(Action).decode
_time_limit = msgspec.json.Decoder(TimeLimit).decode


def send(db: Db, workers: Sequence[int], method: str, args: bytes, expires: int, now: int) -> list[int]:
    db.run("delete_control", (now - _KEEP,))
    return [int(db.run("send", (worker, method, args, now, expires)).fetchone()[0]) for worker in workers]


def unanswered(db: Db, worker: int, now: int) -> list[Control]:
    return [Control(*row) for row in db.run("unanswered", (worker, now))]


def replies(db: Db, ids: Sequence[int]) -> list[Reply]:
    return [Reply(*row) for row in db.run("replies", (db.array(ids),))]


def set_time_limit(db: Db, limit: TimeLimit) -> None:
    if limit.soft is None and limit.hard is None:
        db.run("unset_time_limit", (limit.task,))
    else:
        db.run("set_time_limit", (limit.task, msgspec.json.encode(limit)))


def time_limits(db: Db) -> list[TimeLimit]:
    return [_time_limit(info) for (info,) in db.run("time_limits")]


def record_action(db: Db, action: Action) -> int:
    info = msgspec.json.encode(action)
    if action.id:
        db.run("change_action", (info, action.id))
        return action.id
    return int(db.run("add_action", (action.at, info)).fetchone()[0])


def actions(db: Db, before: int | None, limit: int) -> list[Action]:
    rows = db.run("actions", (_NO_ID if before is None else before, limit))
    return [msgspec.structs.replace(_action(info), id=id) for id, info in rows]


def update_worker(db: Db, worker: int, queues: Sequence[str], slots: int) -> None:
    row = db.run("worker_info", (worker,)).fetchone()
    if row is not None:
        info = msgspec.structs.replace(worker_info(row[0]), queues=tuple(queues), slots=slots)
        db.run("set_worker_info", (msgspec.json.encode(info), worker))


def lanes_of(db: Db, rules: Rules, job: str, now: int) -> list[Lane]:
    row = db.run("passes", (job,)).fetchone()
    if row is None:
        return []
    found = []
    for name, limit in rules.lanes(*row):
        tat = db.run("tat", (name,)).fetchone()
        (running,) = db.run("count_held", (name,)).fetchone()
        next_start = next_allowed(limit, tat[0] if tat else 0, now)
        found.append(
            Lane(
                name=plain(name), scope=limit.scope, rate=limit.rate, per=limit.per, concurrency=limit.concurrency,
                next_start=next_start, running=running,
            )
        )  # fmt: skip
    return found


def ahead(db: Db, job: str, now: int) -> int:
    row = db.run("place", (job,)).fetchone()
    if row is None:
        return 0
    queue, priority, due, seq = row
    values = {"queue": queue, "priority": priority, "due": due, "seq": seq, "now": now, "cap": COUNT_CAP}
    return int(db.run("ahead", values).fetchone()[0])
