"""Reconciling: make the waiting jobs of a namespace what is wanted. Functions of an open write transaction.

The table ``synced`` remembers which job stands for which key, and the due that was last wanted. A job's own due is
compared while it has never run; afterwards retries have moved it, and the remembered one counts.

A key is forgotten when its job is cancelled here, and when it is neither wanted nor in the store any more. Until
then a key that has ended stays known, so that an event which is still in the calendar is not done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from duly.job import Job, State
from duly.messages import OnLate, Synced, SyncVerdict
from duly.store.reconciling import Known, decide, fields_of, times
from duly.store.sql.db import Db, Row
from duly.store.sql.managing import cancel_waiting

Insert = Callable[[Job], None]


class _Found:
    """One key that the store remembers, and where its job is."""

    def __init__(self, row: Row) -> None:
        self.key, id, wanted_due, self.seq, state, attempt, due, expires, *fields = row
        self.known = Known(
            id=id, wanted_due=wanted_due, state=None if state is None else State(state), attempt=attempt or 0,
            due=due or 0, expires=expires, fields=tuple(fields),
        )  # fmt: skip


def sync(db: Db, namespace: str, wanted: Sequence[Job], late: OnLate, now: int, insert: Insert) -> list[Synced]:
    """One answer for each of ``wanted``, in order, then one for each other key that had a live job."""
    known = {row[0]: _Found(row) for row in db.run("synced", {"namespace": namespace})}
    answers = []
    for job in wanted:
        assert job.key is not None
        found = known.pop(job.key, None)
        answers.append(_reconcile(db, namespace, job, found, late, now, insert))
    answers += [answer for found in known.values() if (answer := _unwanted(db, namespace, found, now))]
    return answers


def _reconcile(
    db: Db, namespace: str, job: Job, found: _Found | None, late: OnLate, now: int, insert: Insert
) -> Synced:
    key, verdict = str(job.key), decide(job, found.known if found else None, late, now)
    if verdict == "created":
        return _create(db, namespace, job, insert)
    if found is None:
        return Synced(key, verdict, None)
    if verdict in ("moved", "edited"):
        _change(db, namespace, job, found, verdict)
    return Synced(key, verdict, found.known.id)


def _create(db: Db, namespace: str, job: Job, insert: Insert) -> Synced:
    insert(job)
    db.run("put_synced", (namespace, job.key, job.id, job.due))
    return Synced(str(job.key), "created", job.id)


def _change(db: Db, namespace: str, job: Job, found: _Found, verdict: SyncVerdict) -> None:
    db.run("edit", (*times(job, found.known, verdict), *fields_of(job), found.seq))
    if job.due != found.known.wanted_due:
        db.run("put_synced", (namespace, job.key, found.known.id, job.due))


def _unwanted(db: Db, namespace: str, found: _Found, now: int) -> Synced | None:
    known = found.known
    if known.state == State.RUNNING:
        return Synced(found.key, "too late", known.id)
    if known.state == State.WAITING:
        cancel_waiting(db, [found.seq], now, f"no longer wanted in {namespace!r}")
    elif known.state is not None:
        return None
    db.run("delete_synced", (namespace, found.key))
    return None if known.state is None else Synced(found.key, "cancelled", known.id)
