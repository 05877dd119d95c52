"""A world: a store in memory, a clock that you drive, and workers that live and die on command.

::

    with World() as world:
        @world.app.task
        def attend(link): ...

        world.worker()
        job = attend.apply_async(("https://...",), countdown=23 * 3600)
        world.advance(days=1)
        assert job.successful()

Days pass in no time and nothing happens by itself: everything follows from the seed, so a run that went wrong
goes wrong again. While the clock moves, the history checker watches the engine's promises (``history.py``)
and raises BrokenPromise with the seed.

What a world leaves out: processes, signals, time limits and pools. Tasks run in the test's own process.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from duly import store as stores
from duly.app import Duly
from duly.clock import MICROS, to_micros
from duly.job import Filter, Kind, Lease, Outcome, Rescued, State
from duly.scheduler import Scheduler
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.history import BrokenPromise, Event, History
from duly.testing.simworker import NEVER, SimWorker

Duration = float | Callable[[random.Random], float]

_LOOKS_AT_ONE_INSTANT = 100_000  # more means that workers run in circles


class World:
    """A whole installation in one object.

    1. Made with a seed; its app is its own, or yours, which it borrows until ``close``.
    2. ``worker`` adds workers; ``advance`` lets time pass; ``kill`` and its kin disturb it.
    3. ``close`` (or the end of ``with``) gives a borrowed app its store and clock back.
    """

    def __init__(self, seed: int = 0, app: Duly | None = None, start: datetime | None = None) -> None:
        """``app``: yours, whose tasks to run; its jobs go to the world's store meanwhile. ``start``: what the
        clock shows at first (an aware datetime)."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = ManualClock() if start is None else ManualClock(to_micros(start, start.tzinfo))  # type: ignore[arg-type]
        self.store: Store = stores.open("sqlite:///:memory:", clock=self.clock)
        self.app = app if app is not None else Duly("world", store="sqlite:///:memory:")
        self._borrowed = self.app.lend(self.store, self.clock)
        self.workers: list[SimWorker] = []
        self.history = History(seed)
        self.scheduler = Scheduler(self.store)
        self._durations: dict[str, Duration] = {}
        self._spent = 0  # µs that the task which runs now says it takes

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.workers.clear()
        self._borrowed()
        self.store.close()

    # -- setting up ----------------------------------------------------------------------------------

    def worker(
        self,
        name: str | None = None,
        queues: tuple[str, ...] | None = None,
        concurrency: int = 1,
        lease: float = 10.0,
    ) -> SimWorker:
        """A worker that runs ``concurrency`` jobs at once. ``lease`` in seconds."""
        name = name or f"w{len(self.workers) + 1}"
        worker = SimWorker(self, name, queues or (self.app.conf.task_default_queue,), concurrency, lease)
        worker.next_at = self.clock.now()
        self.workers.append(worker)
        return worker

    def takes(self, task: str, seconds: Duration) -> None:
        """How long the jobs of a task take: seconds, or a function of the world's random source."""
        self._durations[task] = seconds

    def spend(self, seconds: float) -> None:
        """Called by a task: this run takes so much longer."""
        self._spent += round(seconds * MICROS)

    # -- time ----------------------------------------------------------------------------------------

    def advance(self, seconds: float = 0, *, days: float = 0, hours: float = 0, minutes: float = 0) -> None:
        """Let time pass, and all happen that happens in it. Raises BrokenPromise."""
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        until = self.clock.now() + span // timedelta(microseconds=1)
        self._deliver_wakeups()
        looks = 0
        while (worker := self._next_worker(until)) is not None:
            looks = looks + 1 if worker.next_at <= self.clock.now() else 0
            if looks > _LOOKS_AT_ONE_INSTANT:
                raise self.history.broken("the workers run in circles: no time passes")
            self._move_clock(worker.next_at)
            worker.act()
            self._deliver_wakeups()
        self._move_clock(until)

    def settle(self, limit_days: float = 366) -> None:
        """Advance until no job is waiting or running. Raises BrokenPromise if that takes too long."""
        end = self.clock.now() + round(limit_days * 86_400 * MICROS)
        while self.live():
            moments = [worker.next_at for worker in self.workers if not (worker.dead or worker.paused)]
            upcoming = min(moments, default=NEVER)
            if upcoming > end:
                raise self.history.broken(f"jobs wait for ever: {', '.join(self.live()[:5])}")
            self.advance(max(upcoming - self.clock.now(), 0) / MICROS)

    def _next_worker(self, until: int) -> SimWorker | None:
        awake = [w for w in self.workers if not (w.dead or w.paused) and w.next_at <= until]
        if not awake:
            return None
        first = min(w.next_at for w in awake)
        return self.rng.choice([w for w in awake if w.next_at == first])

    def _move_clock(self, to: int) -> None:
        """Move on and renew. A worker in good health would have renewed all along; nobody could have seen the
        difference, since nobody acted in between. So an idle year is one step."""
        now = self.clock.now()
        if to > now:
            self.clock.advance(timedelta(microseconds=to - now))
        for worker in self.workers:
            if worker.healthy:
                worker.beat()

    def _deliver_wakeups(self) -> None:
        for worker in self.workers:
            if worker.paused or worker.dead:
                continue
            if worker.work.wait(0) | worker.control.wait(0) and not worker.partitioned:
                worker.woken()

    # -- disturbing ----------------------------------------------------------------------------------

    def kill(self, worker: SimWorker) -> None:
        """SIGKILL to the whole worker: it and what it ran are gone; its lease lapses."""
        worker.end("killed")
        worker.dead = True
        self._look_soon()

    def crash(self, worker: SimWorker, slot: int = 0) -> None:
        """SIGKILL to one executor; its supervisor notices."""
        if worker.healthy:
            worker.crash(slot)

    def pause(self, worker: SimWorker) -> None:
        """SIGSTOP: it does nothing until resumed, and does not know that time passed."""
        worker.paused = True
        self._look_soon()

    def resume(self, worker: SimWorker) -> None:
        """SIGCONT."""
        if worker.paused:
            worker.thaw()

    def partition(self, worker: SimWorker) -> None:
        """Cut it off from the store; it goes on running, and must end its tasks before its lease can lapse."""
        worker.partitioned = True
        worker.next_at = self.clock.now() + 1
        self._look_soon()

    def heal(self, worker: SimWorker) -> None:
        """End a partition."""
        worker.partitioned = False
        worker.next_at = self.clock.now()

    def stop(self, worker: SimWorker) -> None:
        """Leave at once but properly: what runs is given back."""
        if worker.healthy:
            worker.leave()

    def _look_soon(self) -> None:
        for worker in self.workers:
            worker.next_at = min(worker.next_at, self.clock.now() + 1)

    # -- what workers ask and tell -------------------------------------------------------------------

    def duration(self, lease: Lease) -> int:
        """µs that the run which has just begun will take."""
        takes = self._durations.get(lease.task, 0.0)
        seconds = takes(self.rng) if callable(takes) else takes
        spent, self._spent = self._spent, 0
        return round(seconds * MICROS) + spent

    def next_lapse(self) -> int:
        """When the lease of a disturbed worker lapses, for the others to rescue its jobs."""
        return min((w.lapses() for w in self.workers if not w.healthy), default=NEVER)

    def write_off(self) -> None:
        """Somebody has just rescued: those whose lease had lapsed need no more looking after."""
        for worker in self.workers:
            if not worker.healthy and worker.lapses() <= self.clock.now():
                worker.written_off = True

    def starting(self, worker: SimWorker, lease: Lease) -> None:
        now = self.clock.now()
        if now < lease.due:
            raise self.history.broken(f"job {lease.id} started {lease.due - now} µs before its due")
        for other in self.workers:
            if other is not worker and not other.paused and any(run.id == lease.id for run in other.running):
                raise self.history.broken(f"job {lease.id} starts on {worker.name} while {other.name} runs it")
        self.history.add(Event(now, "started", worker.name, lease.id, lease.task, lease.attempt))

    def settled(self, worker: SimWorker, outcome: Outcome, refused: bool) -> None:
        lease = outcome.lease
        what = "refused" if refused else outcome.kind.name.lower()
        event = Event(self.clock.now(), what, worker.name, lease.id, lease.task, lease.attempt)
        if not refused and outcome.kind <= Kind.UNCERTAIN:
            self.history.ended(event)
        else:
            self.history.add(event)

    def rescued(self, worker: SimWorker, job: Rescued) -> None:
        event = Event(self.clock.now(), "rescued", worker.name, job.id, job.task)
        self.history.add(event)
        if job.state.final:
            self.history.ended(Event(self.clock.now(), job.state.name.lower(), worker.name, job.id, job.task))

    # -- looking -------------------------------------------------------------------------------------

    def live(self) -> list[str]:
        """The ids of all waiting and running jobs."""
        states = ("scheduled", "held", "queued", "retrying", "running")
        return [job.id for job in self._all(Filter(states=states))]

    def states(self) -> dict[str, State]:
        """Every job's state."""
        return {job.id: job.state for job in self._all(Filter())}

    def _all(self, which: Filter) -> list[Any]:
        jobs, after = [], None
        while True:
            page = self.store.jobs(which, after=after, limit=1_000)
            jobs += page.jobs
            if (after := page.after) is None:
                return jobs


__all__ = ["BrokenPromise", "World"]
