"""A worker of a world: supervisor and executors as one object that acts when the world's clock says so.

It keeps the protocol of the real one (``duly.worker``): register, renew, reserve, run, settle with the token,
rescue, fence itself when it cannot renew. What it does not have is processes, threads and signals; those are
tested with real ones. Tasks run for real, at the instant they start; how long they *take* is the world's
decision, so that their worker can die in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from duly import scheduler
from duly.clock import MICROS
from duly.errors import StoreUnavailable
from duly.failure import encode_error
from duly.job import Kind, Lease, Outcome, WorkerInfo
from duly.limits import declared
from duly.store.contract import Store
from duly.testing.history import Event
from duly.worker import board
from duly.worker.attempt import Attempts
from duly.worker.interrupt import Guard
from duly.worker.link import Go

if TYPE_CHECKING:
    from duly.testing.world import World

NEVER = 1 << 62  # µs; no event
_TICK_AGAIN = 1_000  # µs between two ticks when one was not enough
_POLL = MICROS  # how long a lost wake-up goes unnoticed


class Seat:
    """One executor: what it runs and when that ends."""

    __slots__ = ("ends", "outcome", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.outcome: Outcome | None = None
        self.ends = NEVER


class SimWorker:
    """A simulated worker.

    1. Made by ``World.worker``; it registers at once.
    2. The world calls ``beat`` whenever the clock has moved past a renewal, and ``act`` at ``next_at``.
    3. ``World.kill`` ends it; ``pause``, ``partition`` and their opposites disturb it.
    """

    def __init__(self, world: World, name: str, queues: tuple[str, ...], slots: int, lease: float) -> None:
        self.name = name
        self.paused = False  # frozen: does nothing, knows nothing
        self.partitioned = False  # runs, but does not reach the store
        self.dead = False
        self.written_off = False  # its lease lapsed and somebody has looked after its jobs
        self.next_at = 0
        self.seats = [Seat(slot) for slot in range(slots)]
        self._world = world
        self._queues = queues
        self._lease = round(lease * MICROS)
        self._id: int | None = None  # the incarnation
        self._old: int | None = None  # the one before, until the store has heard of its end
        self._safe_until = 0  # µs; the lease certainly holds until then
        self._next_beat = 0
        self._board = board.private(slots)
        go = Go(worker=0, name=name, slot=0, pool="process", slots=slots, queues=queues,
                homes=(None,) * slots, poll=1.0, lease=lease,
                soft_time_limit=None, time_limit=None, max_tasks=None, reload=False)  # fmt: skip
        self._attempts = Attempts(world.app, go, self._board, world.clock)
        self._guard = Guard()
        self.work = world.store.listen("work")
        self.control = world.store.listen("control")

    def __repr__(self) -> str:
        return f"<SimWorker {self.name}>"

    @property
    def healthy(self) -> bool:
        return not (self.dead or self.paused or self.partitioned)

    @property
    def running(self) -> list[Lease]:
        """What it runs now."""
        return [seat.outcome.lease for seat in self.seats if seat.outcome is not None]

    def lapses(self) -> int:
        """When its lease lapses if it is not renewed any more; NEVER without one."""
        return (
            NEVER if (self._id or self._old) is None or self.written_off else self._safe_until + self._lease // 5 + 1
        )

    # -- acting --------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Renew if it is time to; take note of what was asked to cancel."""
        now = self._world.clock.now()
        if self._id is None or now < self._next_beat:
            return
        renewal = self._store().renew(self._id, self._lease)
        if not renewal.alive:
            self._fence("fenced")
            return
        self._renewed(now)
        for cancel in renewal.cancels:
            seat = self.seats[cancel.slot]
            if seat.outcome is not None and seat.outcome.lease.id == cancel.id:
                error = encode_error(Exception("cancelled"))
                seat.outcome = msgspec.structs.replace(seat.outcome, kind=Kind.CANCELLED, result=None, error=error)
                seat.ends = now

    def act(self) -> None:
        """Do all that is due, in an order that the seed decides; set ``next_at``."""
        now = self._world.clock.now()
        if self._id is not None and now >= self._safe_until:
            self._fence("fenced")
        try:
            if self._id is None:
                self._register(now)
            steps = [self.beat, self._maintain, *(lambda s=seat: self._serve(s) for seat in self.seats)]
            self._world.rng.shuffle(steps)
            for step in steps:
                step()
            self.next_at = self._next(now)
        except StoreUnavailable:
            self.next_at = now + min(self._lease // 10, MICROS // 2)

    def thaw(self) -> None:
        """Frozen no more. Its executors may go on before its supervisor notices that the lease has lapsed: then
        their outcomes come too late and have to be refused."""
        self.paused = False
        self.next_at = self._world.clock.now()
        if not self.partitioned and self._world.rng.random() < 0.5:
            for seat in self.seats:
                self._serve(seat)

    def end(self, what: str) -> None:
        """Lose everything that runs, without a word to the store."""
        for lease in self.running:
            self._tell(what, lease)
        for seat in self.seats:
            seat.outcome, seat.ends = None, NEVER

    def crash(self, slot: int) -> None:
        """One executor dies; the supervisor sees it and gives its job back."""
        seat = self.seats[slot]
        if seat.outcome is None or self._id is None:
            return
        lease, seat.outcome, seat.ends = seat.outcome.lease, None, NEVER
        self._tell("crashed", lease)
        error = encode_error(RuntimeError("the executor died"))
        self._store().abandon(self._id, slot, [lease.id], error, self._world.app.conf.worker_max_lost)
        self.next_at = self._world.clock.now()

    def leave(self) -> None:
        """Stop properly: what runs is given back."""
        if self._id is not None:
            self._store().unregister(self._id)
        self.end("released")
        self.dead = True

    def close(self) -> None:
        self.work.close()
        self.control.close()
        self._attempts.close()
        self._guard.close()
        self._board.close()

    # -- its steps -----------------------------------------------------------------------------------

    def _store(self) -> Store:
        if self.partitioned:
            raise StoreUnavailable(f"{self.name} is cut off from the store")
        return self._world.store

    def _register(self, now: int) -> None:
        if self._old is not None:
            self._store().unregister(self._old)
            self._old = None
        info = WorkerInfo(name=self.name, host="world", pid=0, queues=self._queues, slots=len(self.seats),
                          tasks=tuple(self._world.app.tasks))  # fmt: skip
        tasks = self._world.app.tasks
        self._store().declare_limits(sorted(tasks), declared(tasks.values()))
        scheduler.declare(self._store(), self._world.app.name, tuple(self._world.app.declared_schedules()))
        self._id = self._store().register(info, self._lease)
        self._renewed(now)
        self.written_off = False
        self._tell("registered")

    def _renewed(self, now: int) -> None:
        self._safe_until = now + self._lease - self._lease // 5
        self._next_beat = now + self._lease // 3

    def _fence(self, what: str) -> None:
        self._tell(what)
        self.end(what)
        self._old, self._id = self._id, None

    def _maintain(self) -> None:
        for rescued in self._store().rescue(self._world.app.conf.worker_max_lost):
            self._world.rescued(self, rescued)
        self._world.write_off()
        if self._next_tick() <= self._world.clock.now():
            self._world.scheduler.tick()

    def _serve(self, seat: Seat) -> None:
        """Settle what has ended and start the next job."""
        now = self._world.clock.now()
        if self._id is None or (seat.outcome is not None and seat.ends > now):
            return
        ended = [] if seat.outcome is None else [seat.outcome]
        answer = self._store().exchange(self._id, seat.slot, ended, 1, self._queues)
        seat.outcome, seat.ends = None, NEVER
        for outcome in ended:
            self._world.settled(self, outcome, refused=bool(answer.refused))
        for lease in answer.leases:
            self._start(seat, lease, now)

    def _start(self, seat: Seat, lease: Lease, now: int) -> None:
        self._world.starting(self, lease)
        outcome = self._attempts.run(lease, now, seat.slot, self._guard)
        seat.ends = now + self._world.duration(lease)
        seat.outcome = msgspec.structs.replace(outcome, finished=seat.ends)
        self._attempts.rest()

    def _next(self, now: int) -> int:
        """When there is something to do again. Renewals are not events (see ``World``)."""
        moments = [min(seat.ends for seat in self.seats), self._world.next_lapse()]
        moments.append(max(self._next_tick(), now + _TICK_AGAIN))
        if any(seat.outcome is None for seat in self.seats):
            due = self._world.store.next_due(self._queues)
            if due is not None:
                moments.append(due if due > now else now + self._world.rng.randrange(1, 2_000))
        return max(min(moments), now + 1)

    def _next_tick(self) -> int:
        """When the scheduler has something to do."""
        upcoming = self._world.store.next_schedule()
        return NEVER if upcoming is None else upcoming - scheduler.NEAR

    def woken(self) -> None:
        """A wake-up came, soon or, now and then, not at all: then polling finds what it was for."""
        late = _POLL if self._world.rng.random() < 0.1 else self._world.rng.randrange(1, 1_000)
        self.next_at = min(self.next_at, self._world.clock.now() + late)

    def _tell(self, what: str, lease: Lease | None = None) -> None:
        event = Event(self._world.clock.now(), what, self.name)
        if lease is not None:
            event = msgspec.structs.replace(event, job=lease.id, task=lease.task, attempt=lease.attempt)
        self._world.history.add(event)
