"""Storing jobs: ids once, keys unique, canvases whole. Functions of an open write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from duly.errors import DuplicateKey
from duly.job import Enqueued, Gate, Job, State
from duly.store.sqlite import gates as gating
from duly.store.sqlite import managing
from duly.store.sqlite.moving import check_open
from duly.store.sqlite.sql import SQL, canvas_row, job_row


def enqueue(db: sqlite3.Connection, jobs: Sequence[Job], gates: Sequence[Gate], now: int) -> list[Enqueued]:
    check_open(db)
    keyed = any(job.key is not None for job in jobs)
    canvas = bool(gates) or any(job.gates or job.after is not None for job in jobs)
    if keyed:
        answers = [_insert_keyed(db, job, now) for job in jobs]
    elif canvas:
        answers = _insert(db, SQL["insert_canvas"], [canvas_row(job, now) for job in jobs], jobs)
    else:
        answers = _insert(db, SQL["insert"], [job_row(job, now) for job in jobs], jobs)
    if canvas:
        gating.attach(db, jobs, answers, gates, now)
    return answers


def _insert(
    db: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]], jobs: Sequence[Job]
) -> list[Enqueued]:
    """No keys: one statement for all, unless some id turns out to be there already."""
    if len(rows) > 1:
        db.execute("SAVEPOINT bulk")
        if db.executemany(statement, rows).rowcount == len(jobs):
            return [Enqueued(job.id, True) for job in jobs]
        db.execute("ROLLBACK TO bulk")
    return [Enqueued(job.id, db.execute(statement, row).rowcount == 1) for job, row in zip(jobs, rows, strict=True)]


def _insert_keyed(db: sqlite3.Connection, job: Job, now: int) -> Enqueued:
    if db.execute("SELECT 1 FROM jobs WHERE id = ?", (job.id,)).fetchone():
        return Enqueued(job.id, False)
    holder = job.key is not None and db.execute(SQL["key_holder"], (job.key,)).fetchone()
    if holder:
        seq, holder_id, state = holder
        if job.on_conflict == "error":
            raise DuplicateKey(str(job.key), holder_id)
        if job.on_conflict == "skip":
            return Enqueued(holder_id, False)
        if state == State.WAITING:
            managing.cancel_waiting(db, [seq], now, f"replaced by job {job.id}, which has the same key")
        else:
            db.execute(SQL["give_up_key"], (seq,))
    db.execute(SQL["insert_canvas"], canvas_row(job, now))
    return Enqueued(job.id, True)
