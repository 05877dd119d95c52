"""What people do to jobs: cancel, move, retry, forget, prune. Functions of an open write transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from duly.clock import MICROS
from duly.job import Answer, Change, Filter, State, Verdict
from duly.store.sql import gates
from duly.store.sql.db import Db
from duly.store.sql.deleting import delete_unneeded
from duly.store.sql.filters import where
from duly.store.sql.gates import Closed
from duly.store.sql.rows import error

Picked = tuple[int, str, int]  # seq, id, state


def cancel(db: Db, which: Filter, terminate: bool, now: int) -> tuple[list[Answer], Closed]:
    picked = _pick(db, which, now)
    closed = cancel_waiting(db, [seq for seq, _, state in picked if state == State.WAITING], now, "cancelled")
    running = [seq for seq, _, state in picked if state == State.RUNNING]
    db.run("cancel_running", (2 if terminate else 1, db.array(running)))
    verdicts: dict[int, Verdict] = {State.WAITING: "prevented", State.RUNNING: "signalled"}
    return _answers(picked, which, lambda _, state: verdicts.get(state, "too late")), closed


def cancel_waiting(db: Db, seqs: Sequence[int], now: int, message: str) -> Closed:
    ended = db.run("cancel_waiting", (now, error("JobCancelled", message), db.array(seqs))).fetchall()
    return gates.count(db, gates.members(ended), now)


def move(db: Db, which: Filter, change: Change, now: int) -> list[Answer]:
    picked = _pick(db, which, now)
    waiting = db.array(seq for seq, _, state in picked if state == State.WAITING)
    values = {"due": change.due, "args": change.args, "queue": change.queue, "priority": change.priority}
    db.run("move", values | {"jobs": waiting})
    return _answers(picked, which, lambda _, state: "moved" if state == State.WAITING else "too late")


def retry(db: Db, which: Filter, now: int) -> list[Answer]:
    return _answers(_pick(db, which, now), which, lambda seq, state: _retry_one(db, seq, state, now))


def _retry_one(db: Db, seq: int, state: int, now: int) -> Verdict:
    if not _has_ended(db, seq, state):
        return "too late"
    verdict = gates.retry_held(db, seq)
    if verdict is not None:
        return verdict
    if db.run("key_is_taken", (seq,)).fetchone():
        return "key taken"
    db.run("archive_attempt", (seq,))
    db.run("requeue", (now, seq))
    gates.take_back(db, seq)
    if state == State.SUCCEEDED:  # run again from the start; after a failure, steps that were done stay done
        db.run("clear_effects", (seq,))
    return "retried"


def _has_ended(db: Db, seq: int, state: int) -> bool:
    """Still: the retry of another may have led to its being held again."""
    return State(state).final and bool(db.run("has_ended", (seq,)).fetchone())


def forget(db: Db, ids: Sequence[str], now: int) -> int:
    picked = _pick(db, Filter(ids=tuple(ids)), now)
    return delete_unneeded(db, [seq for seq, _, state in picked if State(state).final])


def prune(db: Db, before: int, failed_before: int, limit: int) -> int:
    old: list[int] = []
    for state, until in (
        (State.SUCCEEDED, before),
        (State.CANCELLED, before),
        (State.FAILED, failed_before),
        (State.UNCERTAIN, failed_before),
    ):
        old += (seq for (seq,) in db.run("old", (state, until, limit - len(old))))
    db.run("delete_workers", (before,))
    db.run("idle_lanes", (before,))
    db.run("delete_actions", (failed_before,))
    db.run("delete_rollups", (failed_before // (60 * MICROS),))
    return delete_unneeded(db, old)


def _pick(db: Db, which: Filter, now: int) -> list[Picked]:
    condition, values = where(db, which, now)
    return db.query(db.text("pick").format(condition=condition), values).fetchall()


def _answers(picked: list[Picked], which: Filter, verdict: Callable[[int, int], Verdict]) -> list[Answer]:
    """One answer a job; ids that were asked for by name come in that order, the unknown ones too."""
    answers = {id: Answer(id, verdict(seq, state)) for seq, id, state in picked}
    if which.ids is None:
        return list(answers.values())
    return [answers.get(id) or Answer(id, "unknown") for id in dict.fromkeys(which.ids)]
