"""Deleting jobs with all that belongs to them. Functions of an open write transaction."""

from __future__ import annotations

from collections.abc import Sequence

from duly.store.sql.db import Db


def unneeded(db: Db, seqs: Sequence[int]) -> list[int]:
    """Of these jobs, those whose results nobody waits for at a gate."""
    return [seq for (seq,) in db.run("unneeded", (db.array(seqs),))]


def delete(db: Db, seqs: Sequence[int]) -> int:
    """Delete these jobs, and the gates that have no job left; gives how many jobs went."""
    jobs = db.array(seqs)
    gates = db.array(gate for (gate,) in db.run("gates_of_jobs", {"jobs": jobs}).fetchall())
    for statement in ("delete_attempts", "delete_effects", "delete_occurrences", "delete_members"):
        db.run(statement, (jobs,))
    gone = db.run("delete_jobs", (jobs,)).rowcount
    db.run("delete_gates", (gates,))
    return gone
