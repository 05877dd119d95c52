"""Gates: counting the ends of members, and what becomes of the jobs held there. Functions of an open write
transaction.

    1. ``attach`` makes the gates and memberships of jobs that were inserted.
    2. Whatever ends jobs calls ``count`` with those that are members (Flag.MEMBER), in the same transaction.
    3. A gate whose count closes releases, fails or deletes what is held at it. Those that fail may be members
       themselves, so this goes on until nothing more ends: a list of work and no recursion, however long the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from duly.errors import ConfigError
from duly.job import Enqueued, Flag, Gate, Job, Lease, Then, Verdict
from duly.store.sql.db import Db
from duly.store.sql.deleting import delete
from duly.store.sql.rows import canvas_row, error, gate_lane

Row = tuple[Any, ...]

_MEMBER, _ON_FAILURE = int(Flag.MEMBER), int(Flag.ON_FAILURE)
_FAILED = 2  # members.counted
_NO_ERROR = error("JobError", "a job that it waited for was cancelled")  # which alone ends without an error


@dataclass
class Closed:
    """What came of gates that closed their count."""

    released: int | None = None  # the earliest due of the jobs that were let go
    failed: bool = False  # jobs ended because of it

    def __or__(self, other: Closed) -> Closed:
        dues = [due for due in (self.released, other.released) if due is not None]
        return Closed(min(dues, default=None), self.failed or other.failed)


# -- storing -------------------------------------------------------------------------------------


def attach(db: Db, jobs: Sequence[Job], stored: Sequence[Enqueued], gates: Sequence[Gate], now: int) -> Closed:
    """Make the gates, and those of the inserted ``jobs`` that were ``stored`` their members."""
    db.run_many("put_gate", [(one.id, one.size, one.size, None if one.size else now) for one in gates])
    new = [job for job, answer in zip(jobs, stored, strict=True) if answer.stored]
    held_at = {job.after for job in new if job.after is not None}
    _check(db, held_at | {gate for job in new for gate, _ in job.gates})
    db.run_many("put_member", [(gate, index, job.id) for job in new for gate, index in job.gates])
    closed = Closed()
    already = db.run("closed_gates", (db.array(held_at),)).fetchall()
    _count(db, _close(db, already, now, closed), now, closed)
    return closed


def _check(db: Db, named: Iterable[str]) -> None:
    unknown = db.run("unknown_gates", {"named": db.array(named)}).fetchone()
    if unknown:
        raise ConfigError(f"gate {unknown[0]!r}: no such gate; store it with, or before, the jobs that name it")


def store_then(db: Db, then: Then, now: int, replaced: Lease | None = None) -> Closed:
    """What comes with an accepted outcome. The job of the id of ``replaced``, if any, is in its row already."""
    jobs = [job for job in then.jobs if replaced is None or job.id != replaced.id]
    answers = [Enqueued(job.id, db.run("insert_canvas", canvas_row(job, now)).rowcount == 1) for job in jobs]
    if replaced is not None:
        [successor] = [job for job in then.jobs if job.id == replaced.id]
        _become(db, replaced, successor, now)
        jobs.append(successor)
        answers.append(Enqueued(successor.id, True))
    return attach(db, jobs, answers, then.gates, now)


def _become(db: Db, lease: Lease, job: Job, now: int) -> None:
    flags = job.flags | _MEMBER if job.gates else job.flags
    values = (
        job.task, job.args, job.queue, job.priority, job.due, job.expires, flags,
        job.headers, job.options, job.limit_key, job.after, gate_lane(job.after), now, lease.ref,
    )  # fmt: skip
    db.run("become", values)
    db.run("clear_effects", (lease.ref,))


# -- counting ------------------------------------------------------------------------------------


def count(db: Db, seqs: Sequence[int], now: int) -> Closed:
    """Count the ends of these jobs, which are members; of those that have not ended, nothing."""
    closed = Closed()
    _count(db, seqs, now, closed)
    return closed


def _count(db: Db, seqs: Sequence[int], now: int, closed: Closed) -> None:
    while seqs:
        seqs = _close(db, _count_down(db, seqs, now), now, closed)


def _count_down(db: Db, seqs: Sequence[int], now: int) -> list[Row]:
    """The gates that have no members left, and how many of these failed."""
    order = {seq: i for i, seq in enumerate(seqs)}
    ends: dict[str, list[tuple[int, int]]] = {}  # gate: seq and counted, in the order they ended
    found = db.run("count_ended", (db.array(seqs),)).fetchall()
    for gate, seq, counted in sorted(found, key=lambda end: order[end[1]]):
        ends.setdefault(gate, []).append((seq, counted))
    if not ends:
        return []
    tally = []
    for gate, its in ends.items():
        failed = [seq for seq, counted in its if counted == _FAILED]
        tally.append((gate, len(its), len(failed), failed[0] if failed else None))
    gates, ended, failures, firsts = (db.array(column) for column in zip(*tally, strict=True))
    values = {"gates": gates, "ended": ended, "failed": failures, "first": firsts, "now": now}
    rows = db.run("count_down", values).fetchall()
    return [(gate, failed) for gate, left, failed in rows if left == 0]


# -- closing -------------------------------------------------------------------------------------


def _close(db: Db, gates: Sequence[Row], now: int, closed: Closed) -> list[int]:
    """Let go, fail or delete what is held at these gates (id, failed); gives the members among those that failed."""
    opened = [gate for gate, failed in gates if not failed]
    failed = [gate for gate, failed in gates if failed]
    if opened:
        _release(db, opened, 0, now, closed)
        _drop(db, [seq for (seq,) in db.run("unwanted", (db.array(opened),)).fetchall()])
    if not failed:
        return []
    ended = db.run("fail_held", {"gates": db.array(failed), "now": now, "error": _NO_ERROR}).fetchall()
    closed.failed = closed.failed or bool(ended)
    _release(db, failed, _ON_FAILURE, now, closed)
    return members(ended)


def _release(db: Db, gates: Sequence[str], kind: int, now: int, closed: Closed) -> None:
    values = {"gates": db.array(gates), "now": now, "kind": kind}
    dues = [due for (due,) in db.run("release_held", values).fetchall()]
    if dues:
        closed.released = min(dues) if closed.released is None else min(closed.released, *dues)


def _drop(db: Db, seqs: list[int]) -> None:
    """Delete held jobs that nobody wants any more, and what was to come after them."""
    while seqs:
        after = [seq for (seq,) in db.run("held_downstream", (db.array(seqs),)).fetchall()]
        delete(db, seqs)
        seqs = after


def members(rows: Iterable[Row]) -> list[int]:
    """Of jobs given by seq and flags, those that count in gates."""
    return [seq for seq, flags in rows if flags & _MEMBER]


# -- retrying ------------------------------------------------------------------------------------


def retry_held(db: Db, seq: int) -> Verdict | None:
    """What a retry of this job comes to if it ended before its gate had let it go; None: it runs as any other."""
    row = db.run("gate_of", (seq,)).fetchone()
    if row is None:
        return None
    left, failed, flags = row
    if left:
        db.run("hold", (seq,))
        take_back(db, seq)
        return "retried"
    against = bool(failed) != bool(flags & _ON_FAILURE)
    return "too late" if against else None


def take_back(db: Db, seq: int) -> None:
    """The job, a member, is to run again: its end, and what came of it, counts no longer."""
    seqs = [seq]
    while seqs:
        counted = db.run("counted_members", (db.array(seqs),)).fetchall()
        seqs = []
        for gate, index, _, how, was_closed, was_first in counted:
            db.run("uncount", (gate, index))
            db.run("count_up", (how == _FAILED, gate))
            if was_first:
                db.run("next_failed", (gate,))
            if was_closed:
                seqs += members(db.run("hold_again", (gate,)).fetchall())
