"""Telling Celery's clients how their jobs ended: the loop over what the store says is unanswered.

    1. A wake-up on the channel "results", or a second has passed: read what has ended and was not told.
    2. Go on with what follows it elsewhere (``onward.py``); write the answers to the result back end.
    3. Say to the store that they were told.

Whatever dies between two of these, the same is told again, and does no harm. Every worker with a gateway runs this
loop on the same store: each tells of the jobs of its own worker at once, of those of others only when they have
waited for a while, because then their worker is gone.

How a job stands that has not ended yet (STARTED, RETRY, a state of the task's own) is looked at each second. Nobody
relies on that.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence

from duly.clock import MICROS
from duly.errors import DulyError, StoreError
from duly.failure import describe
from duly.gateway import celery_results
from duly.gateway.backends import Answer, Backend, BackendAway
from duly.gateway.celery_results import Origin, Standing
from duly.gateway.onward import Onward
from duly.gateway.publishing import BrokerAway
from duly.job import Filter, Flag, JobView
from duly.store import Listener, Store

log = logging.getLogger("duly.gateway")

_AT_ONCE = 500  # jobs
_LOOK_EVERY = 1.0  # seconds
_OTHERS_AFTER = 3 * MICROS  # how long the jobs of another worker are left to its own gateway
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries


class Answers:
    """The loop of one gateway; ``run`` it in a thread of its own until ``stop`` is set."""

    def __init__(
        self,
        store: Store,
        node: str | None,
        backend: Backend | None,
        onward: Onward,
        extended: bool = False,
        track_started: bool = False,
    ) -> None:
        """``node``: "name@host" of our worker; None: we have none, and tell of all. ``backend``: None if nobody reads
        results."""
        self._store = store
        self._node = node
        self._backend = backend
        self._onward = onward
        self._extended = extended
        self._track_started = track_started
        self._shown: dict[str, Standing] = {}  # how jobs stand that have not ended, as it was told last
        self._pause = _FIRST_PAUSE

    def run(self, stop: threading.Event) -> None:
        listener = self._store.listen("results")
        try:
            while not stop.is_set():
                self._turn(listener, stop)
            with contextlib.suppress(DulyError):  # else the next gateway tells
                while self.step():
                    pass
        finally:
            listener.close()
            self._onward.close()
            if self._backend is not None:
                self._backend.close()

    def _turn(self, listener: Listener, stop: threading.Event) -> None:
        try:
            if not self.step():
                self.show()
                listener.wait(_LOOK_EVERY)
            self._recovered()
        except DulyError as exc:  # the store, the back end or the broker does not answer
            self._failed(exc)
            stop.wait(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def step(self) -> int:
        """Tell what has ended; how many jobs. Raises StoreError, BackendAway and BrokerAway."""
        now = self._store.now()
        jobs = [job for job in self._store.unanswered(_AT_ONCE) if self._is_ours(job, now)]
        if jobs:
            self._tell(jobs)
            self._store.answered(jobs)
        return len(jobs)

    def show(self) -> None:
        """Tell how jobs stand that have not ended, where that is another way than before."""
        self._onward.tend()
        if self._backend is None:
            return
        self._backend.tend()
        jobs = self._store.jobs(Filter(states=("running", "retrying")), limit=_AT_ONCE).jobs
        wanted = [job for job in jobs if job.flags & Flag.ANSWER and self._node in (None, job.worker)]
        found = {job.id: (job, celery_results.under_way(job, self._track_started)) for job in wanted}
        changed = [
            (job, standing)
            for job, standing in found.values()
            if standing is not None and self._shown.get(job.id) != standing
        ]
        self._backend.publish([self._answer(*one, celery_results.origin(one[0])) for one in changed])
        self._shown = {id: standing for id, (_, standing) in found.items() if standing}

    def _is_ours(self, job: JobView, now: int) -> bool:
        if self._node is None or job.worker in (None, self._node):
            return True
        return (job.finished or 0) < now - _OTHERS_AFTER

    def _tell(self, jobs: Sequence[JobView]) -> None:
        answers: list[Answer] = []
        for job in jobs:
            standing, origin = celery_results.ended(job), celery_results.origin(job)
            if standing is None:
                continue
            self._go_on(job, standing, origin)
            if not celery_results.ignores_result(job):
                answers.append(self._answer(job, standing, origin))
        if self._backend is not None:
            self._backend.publish(answers)

    def _go_on(self, job: JobView, standing: Standing, origin: Origin) -> None:
        """What nobody can call must not keep others from being told."""
        try:
            self._onward.after(job, standing, origin)
        except (BackendAway, BrokerAway, StoreError):
            raise
        except Exception as exc:
            log.error("what follows job %s (%s) is not called: %s", job.id, job.task, describe(exc), exc_info=True)

    def _answer(self, job: JobView, standing: Standing, origin: Origin) -> Answer:
        meta = celery_results.meta(job, standing, self._extended)
        return Answer(job.id, meta, origin.sender.reply_to, origin.sender.correlation_id)

    def _failed(self, exc: DulyError) -> None:
        """Say so once, until it is well again."""
        if self._pause == _FIRST_PAUSE:
            what = "the store" if isinstance(exc, StoreError) else "Celery's clients"
            log.error("%s cannot be reached, and answers wait: %s", what, describe(exc))

    def _recovered(self) -> None:
        if self._pause > _FIRST_PAUSE:
            log.warning("answers are told again")
        self._pause = _FIRST_PAUSE
