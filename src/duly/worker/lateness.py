"""What becomes of a job that is late when it is about to start. Asked only for jobs with a policy."""

from __future__ import annotations

from duly.clock import MICROS, from_micros
from duly.errors import JobCancelled, JobTooLate
from duly.failure import encode_error
from duly.job import Kind, Lease, Options, WhenLate
from duly.why import span


def verdict(
    lease: Lease, started: int, options: Options, on_late: WhenLate, tolerance: float
) -> tuple[Kind, bytes] | None:
    """How the job ends instead of running, and its error; None: it runs. ``tolerance`` in seconds; both are the
    task's and yield to what the call said. A retry is as late as it is after its own due."""
    on_late = options.on_late or on_late
    if on_late == "run":
        return None
    tolerance = tolerance if options.late_tolerance is None else options.late_tolerance
    late = started - lease.due
    if late <= tolerance * MICROS:
        return None
    text = (
        f"due {from_micros(lease.due):%Y-%m-%d %H:%M:%S} UTC, it could start only {span(late)} later; "
        f"tolerated are {span(round(tolerance * MICROS))} (late_tolerance)"
    )
    if on_late == "skip":
        return Kind.CANCELLED, encode_error(JobCancelled(f"skipped: {text}"))
    return Kind.FAILED, encode_error(JobTooLate(f"too late: {text}"))
