"""``duly doctor``: what could go wrong, or has, as a list of findings. It reads and changes nothing.

The store speaks about itself (``Store.examine``); the rest is what any store says about jobs, workers and limits.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from duly.clock import MICROS, Clock
from duly.errors import StoreCorrupt
from duly.job import Filter, JobView, WorkerInfo
from duly.messages import Finding
from duly.store.contract import CAPABILITIES, Store
from duly.why import argument, span

_CLOCKS_DIFFER = 2 * MICROS  # µs a worker's clock may be ahead of the store's
_JUMP = MICROS // 2  # µs that wall and monotonic clock may differ over one examination
_LEASE_AHEAD = 3600 * MICROS  # a lease further ahead than this was written by another time
_FAR_TOO_OLD = 3600 * MICROS  # µs a due job may wait
_A_PAUSE_IS_LONG = 86_400 * MICROS
_LAPSED_FOR = 60 * MICROS  # a worker is gone that lapsed so long ago and was not rescued
_RECENT = 86_400 * MICROS  # "the last day"
_MANY = 20  # failed jobs in the last day
_SCHEDULE_BEHIND = 120 * MICROS  # µs an occurrence may be made late
_FEW = 20  # findings of one kind
_LOOK = 1000  # jobs looked at per question


def examine(store: Store, clock: Clock) -> list[Finding]:
    """Every finding, the good ones too. Raises StoreError when the store cannot be read at all."""
    findings: list[Finding] = []
    try:
        findings += store.examine()
        findings += [_ok("store", f"It can do this ({name}): {CAPABILITIES[name]}.") for name in store.capabilities]
        findings += Doctor(store, clock).findings()
    except StoreCorrupt as exc:
        findings.append(_error("store", f"It cannot be read any further: {exc}.", "repair the store first"))
    return findings


def status(findings: list[Finding]) -> Literal[0, 1, 2]:
    """The exit status: 0 clean, 1 warnings, 2 errors."""
    severities = {finding.severity for finding in findings}
    return 2 if "error" in severities else 1 if "warning" in severities else 0


class Doctor:
    """One examination."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.now = store.now()
        self._began = clock.now(), clock.monotonic()
        self._workers = store.workers()
        self._alive = [worker for worker in self._workers if worker.expires > self.now]

    def findings(self) -> Iterator[Finding]:
        yield from self._registered_times()
        yield from self._workers_gone()
        yield from self._queues()
        yield from self._tasks()
        yield from self._pauses()
        yield from self._schedules()
        yield from self._ended_badly()
        yield self._clock_jump()

    # -- clocks ----------------------------------------------------------------------------------

    def _clock_jump(self) -> Finding:
        wall, monotonic = self._began
        passed = (self.clock.now() - wall) - round((self.clock.monotonic() - monotonic) * MICROS)
        if abs(passed) > _JUMP:
            return _warning(
                "clock",
                f"This host's clock jumped by {passed / MICROS:+.1f} s while it was looked at.",
                "see what sets it (chronyc tracking, timedatectl); jobs are due by this clock",
            )
        return _ok("clock", "This host's clock runs evenly.")

    def _registered_times(self) -> Iterator[Finding]:
        fine = True
        for worker in self._alive:
            ahead = worker.started - self.now
            if ahead > _CLOCKS_DIFFER:
                fine = False
                yield _error(
                    "clock",
                    f"Worker {_name(worker)} registered {span(ahead)} in the future: one clock is wrong.",
                    "set the hosts' clocks by NTP, then restart the worker",
                )
            elif worker.expires - self.now > _LEASE_AHEAD:
                fine = False
                yield _error(
                    "clock",
                    f"The lease of worker {_name(worker)} ends in {span(worker.expires - self.now)}: the clock was "
                    "set back since; if it dies, its jobs wait that long.",
                    "restart the worker",
                )
        if fine and self._alive:
            yield _ok("clock", "The workers' times fit the store's.")

    # -- workers ---------------------------------------------------------------------------------

    def _workers_gone(self) -> Iterator[Finding]:
        held = Counter(job.worker for job in self._some("running"))
        for worker in self._workers:
            gone = worker.expires > 0 and self.now - worker.expires > _LAPSED_FOR
            if gone and held[_name(worker)] and not self._is_alive(_name(worker)):
                jobs = _count(held[_name(worker)], "job")
                yield _error(
                    "workers",
                    f"Worker {_name(worker)} gave its last sign of life {span(self.now - worker.expires)} ago and "
                    f"still holds {jobs}.",
                    "start any worker of this store: it gives them back",
                )
        if self._alive:
            slots = sum(worker.slots for worker in self._alive)
            yield _ok("workers", f"{_count(len(self._alive), 'worker')} alive, {_count(slots, 'slot')}.")
        else:
            yield _warning("workers", "No worker is alive: nothing runs.", "start one: `duly -A APP worker`")

    def _is_alive(self, name: str) -> bool:
        return any(_name(worker) == name for worker in self._alive)

    # -- waiting jobs ----------------------------------------------------------------------------

    def _queues(self) -> Iterator[Finding]:
        served = {queue for worker in self._alive for queue in worker.queues}
        paused = self.store.paused()
        fine = True
        for count in self.store.counts():
            if not count.ready or count.oldest is None or count.queue in paused:
                continue
            late = span(self.now - count.oldest)
            if count.queue not in served:
                fine = False
                yield _error(
                    "queues",
                    f"Queue {count.queue!r} has {_count(count.ready, 'due job')} and no live worker serves it; the "
                    f"oldest waits for {late}.",
                    f"`duly -A APP worker -Q {shlex.quote(count.queue)}`, or "
                    f"`duly control add_consumer {argument(count.queue)}`",
                )
            elif self.now - count.oldest > _FAR_TOO_OLD:
                fine = False
                yield _warning(
                    "queues",
                    f"Queue {count.queue!r}: the oldest of {_count(count.ready, 'due job')} waits for {late}.",
                    "`duly why ID` says why; more workers, or limits that are less strict",
                )
        if fine:
            yield _ok("queues", "No queue is unserved or far behind.")

    def _tasks(self) -> Iterator[Finding]:
        if not self._alive:
            return
        known = {task for worker in self._alive for task in worker.tasks}
        waiting = [*self._some("queued"), *self._some("scheduled"), *self._some("retrying")]
        unknown = Counter(job.task for job in waiting if job.task not in known)
        for task, n in sorted(unknown.items()):
            yield _error(
                "tasks",
                f"{_count(n, 'waiting job')} of task {task!r}, which no live worker registers.",
                f"start a worker whose app has it, or `duly cancel --task {shlex.quote(task)}`",
            )
        if not unknown:
            yield _ok("tasks", "Every task that waits is registered by a worker.")

    def _pauses(self) -> Iterator[Finding]:
        for queue, since in self.store.paused().items():
            if self.now - since > _A_PAUSE_IS_LONG:
                yield _warning(
                    "queues",
                    f"Queue {queue!r} is paused for {span(self.now - since)}.",
                    f"`duly control resume {argument(queue)}`, if that was forgotten",
                )

    def _schedules(self) -> Iterator[Finding]:
        behind = self.store.due_schedules(self.now - _SCHEDULE_BEHIND)
        for schedule in behind[:_FEW]:
            yield _error(
                "schedules",
                f"Schedule {schedule.name!r} is behind: its occurrence of {span(self.now - (schedule.next or 0))} "
                "ago is not made yet.",
                "start a worker (each makes occurrences), or `duly beat`; see its log if one is alive",
            )
        if not behind:
            yield _ok("schedules", "No schedule is behind.")

    # -- finished jobs ---------------------------------------------------------------------------

    def _ended_badly(self) -> Iterator[Finding]:
        uncertain = len(self._some("uncertain"))
        if uncertain:
            yield _warning(
                "jobs",
                f"{_count(uncertain, 'job')} ended uncertain: nobody knows how far they came.",
                "`duly jobs -s uncertain` lists them; retry or forget each",
            )
        failed = [job for job in self._some("failed") if job.finished and self.now - job.finished < _RECENT]
        if len(failed) >= _MANY:
            task, n = Counter(job.task for job in failed).most_common(1)[0]
            yield _warning(
                "jobs",
                f"{_count(len(failed), 'job')} failed in the last 24 hours, most of them ({n:,}) of task {task!r}.",
                "`duly jobs -s failed` lists them",
            )
        if not uncertain and len(failed) < _MANY:
            yield _ok("jobs", "Few jobs failed in the last 24 hours, and none is uncertain.")

    def _some(self, state: str) -> list[JobView]:
        """Some jobs of a state; for questions whose answer does not need every one."""
        return self.store.jobs(Filter(states=(state,)), limit=_LOOK).jobs


def _name(worker: WorkerInfo) -> str:
    return f"{worker.name}@{worker.host}"


def _count(n: int, noun: str) -> str:
    more = "+" if n in (_LOOK, 10_000) else ""
    return f"{n:,}{more} {noun}" + ("" if n == 1 else "s")


def _ok(about: str, text: str) -> Finding:
    return Finding(severity="ok", about=about, text=text)


def _warning(about: str, text: str, help: str) -> Finding:  # noqa: A002
    return Finding(severity="warning", about=about, text=text, help=help)


def _error(about: str, text: str, help: str) -> Finding:  # noqa: A002
    return Finding(severity="error", about=about, text=text, help=help)
