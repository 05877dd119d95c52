"""Reconciling: make the waiting jobs of a namespace what is wanted. Functions of an open write transaction.

The table ``synced`` remembers which job stands for which key, and the due that was last wanted. A job's own due is
compared while it has never run; afterwards retries have moved it, and the remembered one counts.

A key is forgotten when its job is cancelled here, and when it is neither wanted nor in the store any more. Until
then a key that has ended stays known, so that an event which is still in the calendar is not done twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from duly.job import Job, State
from duly.messages import OnLate, Synced, SyncVerdict
from duly.store.sql.db import Db, Row
from duly.store.sql.managing import cancel_waiting

Insert = Callable[[Job], None]

_MISSING = (None,) * 14  # a job that was pruned or forgotten


class Known:
    """What the store remembers of one key."""

    def __init__(self, row: Row) -> None:
        (self.key, self.id, self.wanted_due, self.seq, state, self.attempt, self.due, self.expires,
         *self.fields) = row  # fmt: skip
        self.state = None if state is None else State(state)


def sync(db: Db, namespace: str, wanted: Sequence[Job], late: OnLate, now: int, insert: Insert) -> list[Synced]:
    """One answer for each of ``wanted``, in order, then one for each other key that had a live job."""
    known = {row[0]: Known(row) for row in db.run("synced", {"namespace": namespace})}
    answers = []
    for job in wanted:
        assert job.key is not None
        found = known.pop(job.key, None)
        answers.append(_reconcile(db, namespace, job, found, late, now, insert))
    answers += [answer for found in known.values() if (answer := _unwanted(db, namespace, found, now))]
    return answers


def _reconcile(
    db: Db, namespace: str, job: Job, found: Known | None, late: OnLate, now: int, insert: Insert
) -> Synced:
    key = str(job.key)
    if found is None:
        if (late == "skip" and job.due < now) or (job.expires is not None and job.expires <= now):
            return Synced(key, "too late", None)
        return _create(db, namespace, job, insert)
    if found.state is None or found.state.final:
        if job.due != found.wanted_due and job.due > now:
            return _create(db, namespace, job, insert)
        return Synced(key, "left", found.id)
    verdict = _difference(job, found)
    if verdict == "unchanged":
        return Synced(key, verdict, found.id)
    if found.state == State.RUNNING:
        return Synced(key, "too late", found.id)
    _change(db, namespace, job, found, verdict)
    return Synced(key, verdict, found.id)


def _create(db: Db, namespace: str, job: Job, insert: Insert) -> Synced:
    insert(job)
    db.run("put_synced", (namespace, job.key, job.id, job.due))
    return Synced(str(job.key), "created", job.id)


def _difference(job: Job, found: Known) -> SyncVerdict:
    fresh = found.attempt == 0
    if job.due != (found.due if fresh else found.wanted_due):
        return "moved"
    if fresh and job.expires != found.expires:
        return "edited"
    same = all(_same(mine, its) for mine, its in zip(_fields(job), found.fields, strict=True))
    return "unchanged" if same else "edited"


def _change(db: Db, namespace: str, job: Job, found: Known, verdict: SyncVerdict) -> None:
    retrying = verdict == "edited" and found.attempt > 0  # its due and expiry are its own by now
    due, expires = (found.due, found.expires) if retrying else (job.due, job.expires)
    db.run("edit", (due, expires, *_fields(job), found.seq))
    if job.due != found.wanted_due:
        db.run("put_synced", (namespace, job.key, found.id, job.due))


def _unwanted(db: Db, namespace: str, found: Known, now: int) -> Synced | None:
    if found.state == State.RUNNING:
        return Synced(found.key, "too late", found.id)
    if found.state == State.WAITING:
        cancel_waiting(db, [found.seq], now, f"no longer wanted in {namespace!r}")
    elif found.state is not None:
        return None
    db.run("delete_synced", (namespace, found.key))
    return None if found.state is None else Synced(found.key, "cancelled", found.id)


def _fields(job: Job) -> tuple[object, ...]:
    """What is compared beside due and expires, in the order of the statements ``synced`` and ``edit``."""
    return (job.task, job.args, job.queue, job.priority, job.headers, job.options, job.flags, job.limit_key)


def _same(mine: object, its: object) -> bool:
    """Equal, or the same JSON with its objects' members in another order."""
    if mine == its:
        return True
    if not isinstance(mine, bytes) or not isinstance(its, bytes):
        return False
    return _sorted(mine) == _sorted(its)


def _sorted(value: bytes) -> str:
    return json.dumps(json.loads(value), sort_keys=True)
