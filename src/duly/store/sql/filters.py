"""A ``Filter`` as SQL: the part of WHERE that says which jobs."""

from __future__ import annotations

from duly.job import Filter
from duly.store.paging import check_states
from duly.store.sql.db import Db

_HELD = "j.lane >= 'gate:' AND j.lane < 'gate;'"  # at a gate: a range of the index of parked jobs
_NOT_HELD = f"(j.lane IS NULL OR NOT ({_HELD}))"
_STATES = {  # "j.state >= 2" tells the planner that the index of ended jobs has them all
    "scheduled": f"j.state = 0 AND j.attempt = 0 AND j.due > :now AND {_NOT_HELD}",
    "held": f"j.state = 0 AND {_HELD}",
    "queued": f"j.state = 0 AND j.attempt = 0 AND j.due <= :now AND {_NOT_HELD}",
    "retrying": f"j.state = 0 AND j.attempt > 0 AND {_NOT_HELD}",
    "running": "j.state = 1",
    "succeeded": "j.state >= 2 AND j.state = 2",
    "failed": "j.state >= 2 AND j.state = 3",
    "cancelled": "j.state >= 2 AND j.state = 4",
    "uncertain": "j.state >= 2 AND j.state = 5",
}


def where(db: Db, which: Filter, now: int) -> tuple[str, dict[str, object]]:
    """A condition on ``jobs j`` and its parameters. Raises ConfigError for an unknown state name."""
    check_states(which)
    terms: list[str] = []
    values: dict[str, object] = {"now": now}
    if which.ids is not None:
        terms.append(db.one_of("j.id", "ids"))
        values["ids"] = db.array(which.ids)
    if which.id_prefix is not None:
        terms.append("j.id >= :id_from AND j.id < :id_to")
        values["id_from"] = which.id_prefix
        values["id_to"] = which.id_prefix + "\U0010ffff"
    if which.states is not None:
        terms.append(
            "(" + " OR ".join(f"({_STATES[name]})" for name in which.states) + ")" if which.states else "FALSE"
        )
    if which.queues is not None:
        terms.append(db.one_of("j.queue", "queues"))
        values["queues"] = db.array(which.queues)
    if which.task is not None:
        terms.append(db.like("j.task", "task"))
        values["task"] = db.pattern(which.task)
    if which.due_from is not None:
        terms.append("j.due >= :due_from")
        values["due_from"] = which.due_from
    if which.due_before is not None:
        terms.append("j.due < :due_before")
        values["due_before"] = which.due_before
    if which.after is not None:
        terms.append("j.after = :after")
        values["after"] = which.after
    if which.key is not None:
        terms.append("j.key = :key")
        values["key"] = which.key
    return " AND ".join(terms) or "TRUE", values
