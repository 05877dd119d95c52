"""What people do to jobs: cancel, move, retry, forget, prune. Functions of an open write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from duly.clock import MICROS
from duly.job import Answer, Change, Filter, State, Verdict
from duly.store.sqlite import gates
from duly.store.sqlite.deleting import delete, unneeded
from duly.store.sqlite.filters import where
from duly.store.sqlite.gates import Closed
from duly.store.sqlite.sql import SQL, array, error

Picked = tuple[int, str, int]  # seq, id, state


def cancel(db: sqlite3.Connection, which: Filter, terminate: bool, now: int) -> tuple[list[Answer], Closed]:
    picked = _pick(db, which, now)
    closed = cancel_waiting(db, [seq for seq, _, state in picked if state == State.WAITING], now, "cancelled")
    running = [seq for seq, _, state in picked if state == State.RUNNING]
    db.execute(SQL["cancel_running"], (2 if terminate else 1, array(running)))
    verdicts: dict[int, Verdict] = {State.WAITING: "prevented", State.RUNNING: "signalled"}
    return _answers(picked, which, lambda _, state: verdicts.get(state, "too late")), closed


def cancel_waiting(db: sqlite3.Connection, seqs: Sequence[int], now: int, message: str) -> Closed:
    ended = db.execute(SQL["cancel_waiting"], (now, error("JobCancelled", message), array(seqs))).fetchall()
    return gates.count(db, gates.members(ended), now)


def move(db: sqlite3.Connection, which: Filter, change: Change, now: int) -> list[Answer]:
    picked = _pick(db, which, now)
    waiting = array(seq for seq, _, state in picked if state == State.WAITING)
    values = {"due": change.due, "args": change.args, "queue": change.queue, "priority": change.priority}
    db.execute(SQL["move"], values | {"jobs": waiting})
    return _answers(picked, which, lambda _, state: "moved" if state == State.WAITING else "too late")


def retry(db: sqlite3.Connection, which: Filter, now: int) -> list[Answer]:
    return _answers(_pick(db, which, now), which, lambda seq, state: _retry_one(db, seq, state, now))


def _retry_one(db: sqlite3.Connection, seq: int, state: int, now: int) -> Verdict:
    if not _has_ended(db, seq, state):
        return "too late"
    verdict = gates.retry_held(db, seq)
    if verdict is not None:
        return verdict
    try:
        db.execute("SAVEPOINT retry")
        db.execute(SQL["archive_attempt"], (seq,))
        db.execute(SQL["requeue"], (now, seq))
    except sqlite3.IntegrityError:  # the index of keys: another live job holds this one's
        db.execute("ROLLBACK TO retry")
        return "key taken"
    finally:
        db.execute("RELEASE retry")
    gates.take_back(db, seq)
    if state == State.SUCCEEDED:  # run again from the start; after a failure, steps that were done stay done
        db.execute(SQL["clear_effects"], (seq,))
    return "retried"


def _has_ended(db: sqlite3.Connection, seq: int, state: int) -> bool:
    """Still: the retry of another may have led to its being held again."""
    return State(state).final and bool(db.execute(SQL["has_ended"], (seq,)).fetchone())


def forget(db: sqlite3.Connection, ids: Sequence[str], now: int) -> int:
    picked = _pick(db, Filter(ids=tuple(ids)), now)
    return delete(db, unneeded(db, [seq for seq, _, state in picked if State(state).final]))


def prune(db: sqlite3.Connection, before: int, failed_before: int, limit: int) -> int:
    old: list[int] = []
    for state, until in (
        (State.SUCCEEDED, before),
        (State.CANCELLED, before),
        (State.FAILED, failed_before),
        (State.UNCERTAIN, failed_before),
    ):
        old += (seq for (seq,) in db.execute(SQL["old"], (state, until, limit - len(old))))
    db.execute(SQL["delete_workers"], (before,))
    db.execute(SQL["idle_lanes"], (before,))
    db.execute(SQL["delete_actions"], (failed_before,))
    db.execute(SQL["delete_rollups"], (failed_before // (60 * MICROS),))
    return delete(db, old)


def _pick(db: sqlite3.Connection, which: Filter, now: int) -> list[Picked]:
    condition, values = where(which, now)
    return db.execute(f"SELECT j.seq, j.id, j.state FROM jobs j WHERE {condition}", values).fetchall()


def _answers(picked: list[Picked], which: Filter, verdict: Callable[[int, int], Verdict]) -> list[Answer]:
    """One answer a job; ids that were asked for by name come in that order, the unknown ones too."""
    answers = {id: Answer(id, verdict(seq, state)) for seq, id, state in picked}
    if which.ids is None:
        return list(answers.values())
    return [answers.get(id) or Answer(id, "unknown") for id in dict.fromkeys(which.ids)]
