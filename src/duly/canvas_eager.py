"""A canvas that runs in its caller: the same jobs and gates as in a store, worked off in the order they were woven.

Each job comes after those it waits for, so one pass is enough. For tests and ``apply``; see ``eager.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duly import eager
from duly.errors import JobError
from duly.failure import encode_error
from duly.feeding import Predecessors, arguments, place_of
from duly.group_result import GroupResult
from duly.job import Flag, GateView, Job, Result, State
from duly.result import AsyncResult, chord_error

if TYPE_CHECKING:
    from duly.task import Task
    from duly.weaving import Ends, Loom


class _Here(Predecessors):
    """What ended so far."""

    def __init__(self, loom: Loom, jobs: Sequence[Job]) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.ended: dict[str, AsyncResult[Any]] = {}
        self._sizes = {gate.id: gate.size for gate in loom.gates}
        self.errors: dict[str, bytes] = {}  # of jobs that never ran: what they were failed with
        indexed: dict[str, list[tuple[int, str]]] = {gate.id: [] for gate in loom.gates}
        for job in jobs:
            for gate, index in job.gates:
                indexed[gate].append((index, job.id))
        self._members = {gate: [id for _, id in sorted(found)] for gate, found in indexed.items()}

    def members(self, gate: str) -> list[Result]:
        return [found for id in self._members[gate] if (found := self.ended[id].peek()) is not None]

    def gate(self, id: str) -> GateView | None:
        failed = [one.id for one in self.members(id) if one.state != State.SUCCEEDED]
        first = failed[0] if failed else None
        return GateView(id=id, size=self._sizes[id], left=0, failed=len(failed), first_failed=first, finished=None)

    def complete(self, gate: str) -> bool:
        """Whether its members have all ended; those of an errback that was not wanted never do."""
        return all(id in self.ended for id in self._members[gate])

    def job(self, id: str) -> Job | None:
        return self.jobs.get(id)

    def result(self, id: str) -> Result | None:
        return self.ended[id].peek()


def run(loom: Loom, ends: Ends, throw: bool | None) -> AsyncResult[Any] | GroupResult:
    """Run the jobs of a canvas; gives its result. Raises a task's exception if ``throw`` (None: by the setting)."""
    jobs = loom.finish()
    here = _Here(loom, jobs)
    for job in jobs:
        result = _one(loom, here, job, throw)
        if result is not None:
            here.ended[job.id] = result
    return _result(loom, here, ends)


def _one(loom: Loom, here: _Here, job: Job, throw: bool | None) -> AsyncResult[Any] | None:
    """Run a job, or fail it, or (None) leave out one that is not wanted."""
    on_failure = bool(job.flags & Flag.ON_FAILURE)
    if job.after is not None:
        if not here.complete(job.after):
            return None
        gate = here.gate(job.after)
        assert gate is not None
        if bool(gate.failed) != on_failure:
            return None if on_failure else _failed(loom, here, job, gate)
    task = _task(loom, job)
    place = place_of(job)
    given = None if place is None or place.feed is None else arguments(here, task.codec, job.args, place.feed)
    return eager.run(task, job, throw, given)


def _failed(loom: Loom, here: _Here, job: Job, gate: GateView) -> AsyncResult[Any]:
    first = str(gate.first_failed)
    found = here.result(first)
    error = here.errors.get(first) or (None if found is None else found.error)
    error = here.errors[job.id] = error or encode_error(JobError("a job that it waited for was cancelled"))
    place = place_of(job)
    if place is not None and place.feed is not None and place.feed.kind == "all":
        error = encode_error(chord_error(gate, error))
    result = Result(id=job.id, state=State.FAILED, attempt=0, due=job.due, result=None, progress=None, error=error)
    return loom.app.eager_result_type(loom.app, _task(loom, job), result)


def _task(loom: Loom, job: Job) -> Task[..., Any]:
    task = loom.app.known(job.task)
    if task is None:
        raise loom.app.unknown(job.task)
    return task


def _result(loom: Loom, here: _Here, ends: Ends) -> AsyncResult[Any] | GroupResult:
    parent = None if ends.before is None else _result(loom, here, ends.before)
    made = [here.ended[draft.id] for draft in ends.drafts]
    if ends.group is not None:
        return loom.app.group_result_type(ends.group, made, loom.app, parent)
    made[0].parent = parent
    return made[0]
