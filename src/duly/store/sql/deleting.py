"""Deleting jobs with all that belongs to them. Functions of an open write transaction."""

from __future__ import annotations

from collections.abc import Sequence

from duly.store.sql.db import Db


def delete(db: Db, seqs: Sequence[int]) -> int:
    """Delete these jobs, and the gates that have no job left; gives how many jobs went."""
    return _delete(db, seqs, _gates(db, seqs))


def delete_unneeded(db: Db, seqs: Sequence[int]) -> int:
    """The same of these ended jobs, but for those whose results somebody waits for at a gate.

    That is asked when the gates are ours: whoever stores another job at one of them has done so, or waits for us.
    """
    if not seqs:
        return 0
    gates = _gates(db, seqs)
    return _delete(db, [seq for (seq,) in db.run("unneeded", (db.array(seqs),))], gates)


def _gates(db: Db, seqs: Sequence[int]) -> list[str]:
    return [gate for (gate,) in db.run("gates_of_jobs", {"jobs": db.array(seqs)}).fetchall()]


def _delete(db: Db, seqs: Sequence[int], gates: Sequence[str]) -> int:
    jobs = db.array(seqs)
    for statement in ("delete_attempts", "delete_effects", "delete_occurrences", "delete_members"):
        db.run(statement, (jobs,))
    gone = db.run("delete_jobs", (jobs,)).rowcount
    db.run("delete_gates", (db.array(gates),))
    return gone
