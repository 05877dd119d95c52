"""The loop that takes messages off inboxes: what is due far ahead becomes a job, the rest goes straight on.

A message is the broker's until the store has it, and if anything fails in between it comes again; a job has its
message's id, so it is stored once. While the store does not answer, nothing is taken.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from duly.clock import MICROS
from duly.errors import StoreError
from duly.gateway.publishing import BrokerAway
from duly.job import Filter, Job
from duly.relay import holding
from duly.relay.broker import Intake, Taken
from duly.store import Store

log = logging.getLogger("duly.relay")

_WAIT = 0.5  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries while the broker or the store does not answer


class Keeping:
    """One thread's loop; ``run`` it until ``stop`` is set."""

    def __init__(self, store: Store, intake: Intake, targets: Mapping[str, str], near: float) -> None:
        """``targets``: the queue that each inbox is for. ``near``: seconds within which a message is passed on."""
        self._store = store
        self._intake = intake
        self._targets = targets
        self._near = near

    def run(self, stop: threading.Event) -> None:
        pause = _FIRST_PAUSE
        while not stop.is_set():
            try:
                if pause > _FIRST_PAUSE:
                    self._store.next_due(())  # whether it answers: what is given back too often, a quorum queue drops
                self.step(_WAIT)
                if pause > _FIRST_PAUSE:
                    log.warning("messages are taken again")
                pause = _FIRST_PAUSE
            except (BrokerAway, StoreError) as exc:
                if pause == _FIRST_PAUSE:
                    log.error("no messages are taken: %s", exc)
                self._intake.reconnect()
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        self._intake.close()

    def step(self, wait: float) -> None:
        """Take what has come, and see to it. Raises BrokerAway and StoreError."""
        taken = self._intake.take(wait)
        if not taken:
            return
        jobs = [self._as_job(one) for one in taken]
        straight = self._straight(taken, jobs)
        kept = [one for one in range(len(taken)) if one not in straight]
        self._keep([jobs[one] for one in kept])
        forward = [(taken[one], self._targets[taken[one].inbox]) for one in straight]
        returned = self._intake.finish([taken[one] for one in kept], forward)
        self._keep([self._as_job(one) for one in returned])

    def _straight(self, taken: Sequence[Taken], jobs: Sequence[Job]) -> list[int]:
        """Which of them go straight on: they are due soon, their queue is there, and the store does not have them (it
        does, or soon will, if they come again because somebody died before the broker was told)."""
        soon = self._store.now() + int(self._near * MICROS)
        near = [one for one, job in enumerate(jobs) if job.due <= soon and not taken[one].again]
        if not near:
            return []
        known = self._store.results([jobs[one].id for one in near])
        fresh = [one for one, result in zip(near, known, strict=True) if result is None]
        there = self._intake.has({self._targets[taken[one].inbox] for one in fresh})
        return [one for one in fresh if self._targets[taken[one].inbox] in there]

    def _as_job(self, taken: Taken) -> Job:
        form = self._intake.form
        envelope = form.envelope(taken.raw)
        message = holding.read(envelope) or holding.unreadable(envelope)
        return holding.to_job(message, taken.raw, taken.inbox, self._store.now(), form)

    def _keep(self, jobs: Sequence[Job]) -> None:
        """Store them, those too whose id another message's job has."""
        if not jobs:
            return
        answers = self._store.enqueue(jobs)
        refused = [job for job, answer in zip(jobs, answers, strict=True) if not answer.stored]
        if not refused:
            return
        ids = tuple({job.id for job in refused})  # of which a batch may have several messages
        form = self._intake.form
        there = self._store.jobs(Filter(ids=ids), limit=len(ids)).jobs
        kept = {one.id: holding.message_of(one.headers, form) for one in there}
        ours = [holding.message_of(job.headers, form) for job in refused]
        others = [(job, message) for job, message in zip(refused, ours, strict=True) if kept.get(job.id) != message]
        if others:
            self._store.enqueue([holding.another(job, message) for job, message in others])
