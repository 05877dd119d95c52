"""Storing jobs: ids once, keys unique, canvases whole. Functions of an open write transaction."""

from __future__ import annotations

from collections.abc import Sequence

from duly.errors import DuplicateKey
from duly.job import Enqueued, Gate, Job, State
from duly.store.sql import gates as gating
from duly.store.sql import managing
from duly.store.sql.db import Db
from duly.store.sql.moving import check_open
from duly.store.sql.rows import canvas_row, job_row


def enqueue(db: Db, jobs: Sequence[Job], gates: Sequence[Gate], now: int) -> list[Enqueued]:
    check_open(db)
    keyed = any(job.key is not None for job in jobs)
    canvas = bool(gates) or any(job.gates or job.after is not None for job in jobs)
    if keyed:
        answers = [_insert_keyed(db, job, now) for job in jobs]
    elif canvas:
        answers = _insert(db, "insert_canvas", [canvas_row(job, now) for job in jobs], jobs)
    else:
        answers = _insert(db, "insert", [job_row(job, now) for job in jobs], jobs)
    if canvas:
        gating.attach(db, jobs, answers, gates, now)
    return answers


def locks(jobs: Sequence[Job]) -> list[str]:
    """What a database that lets several write at once has to lock: who holds a key is read before it is decided."""
    return sorted({f"key:{job.key}" for job in jobs if job.key is not None})


def _insert(db: Db, statement: str, rows: Sequence[tuple[object, ...]], jobs: Sequence[Job]) -> list[Enqueued]:
    """No keys: one statement for all, unless some id turns out to be there already."""
    if len(rows) > 1:
        db.query("SAVEPOINT bulk")
        if db.run_many(statement, rows).rowcount == len(jobs):
            return [Enqueued(job.id, True) for job in jobs]
        db.query("ROLLBACK TO bulk")
    return [Enqueued(job.id, db.run(statement, row).rowcount == 1) for job, row in zip(jobs, rows, strict=True)]


def _insert_keyed(db: Db, job: Job, now: int) -> Enqueued:
    if db.run("has_id", (job.id,)).fetchone():
        return Enqueued(job.id, False)
    holder = job.key is not None and db.run("key_holder", (job.key,)).fetchone()
    if holder:
        seq, holder_id, state = holder
        if job.on_conflict == "error":
            raise DuplicateKey(str(job.key), holder_id)
        if job.on_conflict == "skip":
            return Enqueued(holder_id, False)
        if state == State.WAITING:
            managing.cancel_waiting(db, [seq], now, f"replaced by job {job.id}, which has the same key")
        else:
            db.run("give_up_key", (seq,))
    db.run("insert_canvas", canvas_row(job, now))
    return Enqueued(job.id, True)
