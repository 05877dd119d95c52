"""Deleting jobs with all that belongs to them. Functions of an open write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from duly.store.sqlite.sql import SQL, array


def unneeded(db: sqlite3.Connection, seqs: Sequence[int]) -> list[int]:
    """Of these jobs, those whose results nobody waits for at a gate."""
    return [seq for (seq,) in db.execute(SQL["unneeded"], (array(seqs),))]


def delete(db: sqlite3.Connection, seqs: Sequence[int]) -> int:
    """Delete these jobs, and the gates that have no job left; gives how many jobs went."""
    jobs = array(seqs)
    gates = array(gate for (gate,) in db.execute(SQL["gates_of_jobs"], (jobs,)).fetchall())
    for statement in ("delete_attempts", "delete_effects", "delete_occurrences", "delete_members"):
        db.execute(SQL[statement], (jobs,))
    gone = db.execute(SQL["delete_jobs"], (jobs,)).rowcount
    db.execute(SQL["delete_gates"], (gates,))
    return gone
