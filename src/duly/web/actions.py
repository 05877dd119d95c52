"""What people do to jobs, and the line of the audit trail that says so.

Each verb knows the states it is for and what the store is asked; the same for one job, a selection, and all that
match a filter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from duly.call import check_length
from duly.cli.text import plural
from duly.job import MAX_PRIORITY, Answer, Change, Filter, JobView, State
from duly.messages import Action
from duly.store.contract import Store

BATCH = 500
"""Jobs in one transaction: short enough not to hold up the workers."""

GOOD = frozenset({"prevented", "signalled", "moved", "retried", "forgotten"})
"""Verdicts of jobs that were changed."""


@dataclass(frozen=True)
class Verb:
    """Something that can be done to jobs."""

    name: str
    label: str  # on a button
    past: str  # "12 jobs cancelled"
    states: frozenset[State]  # of the jobs it is for
    question: str = ""  # asked before it is done to one job

    def fits(self, job: JobView) -> bool:
        return job.state in self.states


_FINAL = frozenset(state for state in State if state.final)
_WAITS = frozenset({State.WAITING})

VERBS = {
    verb.name: verb
    for verb in (
        Verb("cancel", "Cancel", "cancelled", _WAITS | {State.RUNNING}, "Cancel this job?"),
        Verb("terminate", "Kill", "told to stop at once", frozenset({State.RUNNING}),
             "Kill the process that runs this job, at once?"),
        Verb("retry", "Run again", "run again", _FINAL),
        Verb("now", "Run now", "made due now", _WAITS),
        Verb("move", "Move", "moved", _WAITS),
        Verb("forget", "Delete", "deleted", _FINAL, "Delete this job with its history?"),
    )
}  # fmt: skip

SAID = {
    "prevented": "Cancelled before it started.",
    "signalled": "It runs, and was asked to stop.",
    "moved": "Moved.",
    "retried": "It will run again.",
    "forgotten": "Deleted, with its history.",
    "too late": "Too late: its state does not allow it any more.",
    "key taken": "Another live job holds its key; nothing was changed.",
    "unknown": "There is no such job any more.",
}
"""What became of one job, in words."""


def apply(store: Store, verb: Verb, ids: Sequence[str], change: Change) -> list[Answer]:
    """Do it to these jobs, in one transaction; each answers. ``change`` is for *move*."""
    which = Filter(ids=tuple(ids))
    if verb.name in ("cancel", "terminate"):
        return store.cancel(which, terminate=verb.name == "terminate")
    if verb.name == "retry":
        return store.retry(which)
    if verb.name == "now":
        return store.move(which, Change(due=store.now()))
    if verb.name == "move":
        return store.move(which, change)
    return _forget(store, ids)


def _forget(store: Store, ids: Sequence[str]) -> list[Answer]:
    """``forget`` counts; what each job answers is what is left of it."""
    before = [found is not None for found in store.results(ids)]
    store.forget(ids)
    after = [found is not None for found in store.results(ids)]
    return [
        Answer(id, "unknown" if not was else "too late" if still else "forgotten")  # type: ignore[arg-type]
        for id, was, still in zip(ids, before, after, strict=True)
    ]


def changed(answers: Sequence[Answer]) -> int:
    return sum(answer.verdict in GOOD for answer in answers)


def verdicts(answers: Sequence[Answer]) -> str:
    """``12 retried, 3 too late``."""
    return ", ".join(f"{n:,} {verdict}" for verdict, n in Counter(answer.verdict for answer in answers).most_common())


def record(store: Store, who: str, verb: str, what: str, detail: str = "", total: int = 1, done: int = 1) -> None:
    """A line in the audit trail about something that has been done."""
    now = store.now()
    store.record_action(
        Action(
            at=now, who=who, verb=verb, what=what, detail=detail, total=total, done=done, seen=total, updated=now,
            state="done" if done else "failed",
        )
    )  # fmt: skip


def described(change: Change) -> str:
    """A change in words, for the audit trail."""
    parts = [
        f"due={change.due}" if change.due is not None else "",
        f"queue={change.queue}" if change.queue is not None else "",
        f"priority={change.priority}" if change.priority is not None else "",
        "other arguments" if change.args is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def change_of(due: int | None, queue: str, priority: str) -> Change:
    """What a form asks to be changed; empty fields change nothing. Raises ValueError."""
    if queue:
        check_length("queue", queue)
    level: int | None = None
    if priority:
        if not priority.isascii() or not priority.isdigit() or int(priority) > MAX_PRIORITY:
            raise ValueError(f"priority {priority!r}: expected 0 to {MAX_PRIORITY}; {MAX_PRIORITY} runs first")
        level = int(priority)
    change = Change(due=due, queue=queue or None, priority=level)
    if change == Change():
        raise ValueError("nothing to change: give a time, a queue or a priority")
    return change


def summary(verb: str, done: int, total: int) -> str:
    """``12 of 15 jobs cancelled``."""
    past = VERBS[verb].past if verb in VERBS else verb
    return f"{plural(done, 'job')} {past}" if done == total else f"{done:,} of {plural(total, 'job')} {past}"


def copied(action: Action, **fields: object) -> Action:
    return msgspec.structs.replace(action, **fields)
