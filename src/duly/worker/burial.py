"""What becomes of the jobs of an executor that ended before it could settle them.

The supervisor writes it in the executor's name, with the leases it finds on the board, so a job is failed,
cancelled or given back under the token it ran under, and never twice.

==========  ==================================  ========================================================
reason      who is to blame                     jobs on the board
==========  ==================================  ========================================================
None        it died by itself                   lost: given back, counted, failed after ``max_lost``
limit       those past their hard limit         failed with TimeLimitExceeded, or retried if they ask for it
memory      the job, if it was alone            failed with MemoryError; several: all lost
cancel      those that were asked to cancel     cancelled
fence,      nobody                              released
cold
==========  ==================================  ========================================================

What had ended before the executor did stands in the board's journal, and is settled as it ended. Whoever is not
to blame is released, as if never reserved; of at-most-once jobs, nobody can say that, so they count as lost, which
ends them *uncertain*. What was reserved but not started is released in every case.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping

import msgspec

from duly.clock import MICROS
from duly.job import ErrorInfo, Filter, Flag, Kind, Outcome, Rescued
from duly.store import Store
from duly.worker.board import Running
from duly.worker.telling import tell

_encode = msgspec.json.Encoder().encode

_KILLED = {
    "limit": "another job in it passed its hard time limit",
    "cancel": "another job in it was cancelled and had to be ended",
    "fence": "its worker could not renew its lease",
    "cold": "its worker was told to leave at once",
}
"""Why the supervisor killed an executor, to a job that is not to blame."""


class Grave(msgspec.Struct):
    """A dead executor's seat, to be written off in the store."""

    worker: int
    slot: int
    running: list[Running]
    ended: list[Outcome]  # the journal
    reason: str | None
    died: float  # monotonic: when it was killed, or was seen dead
    died_at: int  # µs UTC, the same moment
    culprits: Mapping[str, str]  # for reason cancel: why each of these jobs was ended
    text: str  # how it died, for people


def bury(store: Store, grave: Grave, max_lost: int) -> list[Rescued]:
    """Write the executor's jobs off. Raises StoreError; may then be called again."""
    outcomes, lost = verdicts(grave)
    outcomes = _with_logs(store, outcomes)
    outcomes += grave.ended  # of those the executor settled itself, the tokens are stale
    if outcomes:
        refused = store.exchange(grave.worker, grave.slot, outcomes, 0, ()).refused
        _tell(grave, [outcome for outcome in outcomes if not any(outcome is one for one in refused)])
    error = _encode(ErrorInfo(type="WorkerLost", module="duly.errors", message=grave.text))
    return store.abandon(grave.worker, grave.slot, lost, error, max_lost)


def _with_logs(store: Store, outcomes: list[Outcome]) -> list[Outcome]:
    """With what the attempts had logged: executors write it to the store while a job runs."""
    began = [outcome for outcome in outcomes if outcome.kind != Kind.RELEASED]
    if not began:
        return outcomes
    found = store.jobs(Filter(ids=tuple(outcome.lease.id for outcome in began)), limit=len(began)).jobs
    logs = {(job.id, job.attempt): job.log for job in found}
    return [
        msgspec.structs.replace(outcome, log=logs.get((outcome.lease.id, outcome.lease.attempt)))
        for outcome in outcomes
    ]


def _tell(grave: Grave, settled: list[Outcome]) -> None:
    """Log what became of its jobs by its end; what had ended before, the executor has told."""
    for outcome in settled:
        if outcome.kind != Kind.RELEASED and not any(outcome is one for one in grave.ended):
            tell(outcome)


def verdicts(grave: Grave) -> tuple[list[Outcome], list[str]]:
    """The outcomes to settle, and the ids of the jobs that count as lost."""
    outcomes: list[Outcome] = []
    lost: list[str] = []
    ended = {(outcome.lease.id, outcome.lease.token) for outcome in grave.ended}
    for running in grave.running:
        if (running.lease.id, running.lease.token) in ended:
            continue
        outcome = _outcome(grave, running)
        if outcome is None:
            lost.append(running.lease.id)
        else:
            outcomes.append(outcome)
    return outcomes, lost


def _outcome(grave: Grave, running: Running) -> Outcome | None:
    """None: it counts as lost."""
    if grave.reason is None:
        return None
    if grave.reason == "limit" and 0 < running.deadline <= grave.died:
        return _past_limit(grave, running)
    if grave.reason == "memory":
        return _too_big(grave, running) if len(grave.running) == 1 else None
    if grave.reason == "cancel" and running.lease.id in grave.culprits:
        return _cancelled(grave, running)
    if running.lease.flags & Flag.AT_MOST_ONCE:
        return None
    return Outcome(running.lease, Kind.RELEASED, finished=grave.died_at)


def _past_limit(grave: Grave, running: Running) -> Outcome:
    error = ErrorInfo(
        type="TimeLimitExceeded",
        module="duly.errors",
        message=f"killed at its hard time limit, {running.deadline - running.started:g} s",
        help="raise time_limit, or make the task shorter; soft_time_limit lets it clean up before it is killed",
    )
    retried = running.retry >= 0
    return Outcome(
        running.lease,
        Kind.RETRY if retried else Kind.FAILED,
        started=_started(grave, running),
        finished=grave.died_at,
        error=_encode(error),
        due=grave.died_at + int(running.retry * MICROS) if retried else 0,
    )


def _cancelled(grave: Grave, running: Running) -> Outcome:
    error = ErrorInfo(type="JobCancelled", module="duly.errors", message=grave.culprits[running.lease.id])
    started = _started(grave, running)
    return Outcome(running.lease, Kind.CANCELLED, started=started, finished=grave.died_at, error=_encode(error))


def _too_big(grave: Grave, running: Running) -> Outcome:
    error = ErrorInfo(
        type="MemoryError",
        message=grave.text,
        help="raise max_memory_per_child, or make the task use less",
    )
    started = _started(grave, running)
    return Outcome(running.lease, Kind.FAILED, started=started, finished=grave.died_at, error=_encode(error))


def _started(grave: Grave, running: Running) -> int:
    return grave.died_at - int((grave.died - running.started) * MICROS)


def killed(reason: str) -> str:
    """How an executor ended that its supervisor killed, for people."""
    return f"the executor was killed while it ran the job: {_KILLED[reason]}"


def describe(code: int) -> str:
    """How a process with this ``Popen.returncode`` ended, for people."""
    if code >= 0:
        return f"the executor left with exit status {code} while it ran the job"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory, or killed by hand?)" if name == "SIGKILL" else ""
    return f"the executor was ended by {name}{hint} while it ran the job"
