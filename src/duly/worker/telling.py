"""What the worker's log says of attempts that did not succeed.

Executors say it of what they ran, the supervisor of what ended with an executor (``burial.py``).
"""

from __future__ import annotations

import logging

from duly.clock import MICROS, from_micros
from duly.failure import decode_error, describe, theirs
from duly.job import Kind, Outcome

log = logging.getLogger("duly.worker")


def facts_of(outcome: Outcome) -> dict[str, object]:
    """What a line of JSON has of an attempt's end beside its text; ``runtime`` in seconds."""
    runtime = (outcome.finished - outcome.started) / MICROS if outcome.started else None
    lease = outcome.lease
    return {"job_id": lease.id, "task": lease.task, "outcome": outcome.kind.name.lower(), "runtime": runtime}


def tell(outcome: Outcome, exc: BaseException | None = None, expected: bool = False) -> None:
    """Log an attempt that did not succeed: failed as ERROR, with the traceback of ``exc``, or as INFO and without if
    it was ``expected``; others as WARNING."""
    lease = outcome.lease
    facts = facts_of(outcome)
    try:
        info = None if outcome.error is None else decode_error(outcome.error)
        why = "no reason given" if info is None else f"{info.type}: {info.message}"
        if outcome.kind == Kind.FAILED and expected:
            log.info("job %s (%s) failed, as its task expects: %s", lease.id, lease.task, why, extra=facts)
        elif outcome.kind == Kind.FAILED:
            trace = None if exc is None else (type(exc), exc, theirs(exc.__traceback__))
            log.error("job %s (%s) failed: %s", lease.id, lease.task, why, exc_info=trace, extra=facts)
        elif outcome.kind == Kind.RETRY:
            pause = (outcome.due - outcome.finished) / MICROS
            at = from_micros(outcome.due).isoformat(" ", "seconds")
            log.warning(
                "job %s (%s) is retried in %.1f s, at %s: %s", lease.id, lease.task, pause, at, why, extra=facts
            )
        else:
            log.warning("job %s (%s) ended %s: %s", lease.id, lease.task, facts["outcome"], why, extra=facts)
    except BaseException as second:  # an exception whose traceback cannot be written
        log.error("job %s: how it ended cannot be told: %s", lease.id, describe(second))
