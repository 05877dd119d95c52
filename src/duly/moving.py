"""Emptying one store into another while producers and workers go on: what ``duly move-store`` does.

The steps of one parcel, and why none is lost or doubled by whoever dies in between, are in ``store/moving.py``.

    1. The old store gives out no leases any more; workers on the new one run what arrives there.
    2. What an earlier mover had on its way when it was killed is brought to its end.
    3. Limits, pauses, time limits and schedules are set in the new store.
    4. Jobs are moved, those due soonest first, until none is left: what ran in the old store too, when it has ended.
    5. The old store may be sealed: it refuses jobs from then on, and says where they belong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from duly import store as stores
from duly.errors import ConfigError
from duly.job import Advance, Result, Schedule
from duly.passwords import without
from duly.store.contract import Store
from duly.store.moving import Movable, Moving, Parcel, moves_of

BATCH = 500
"""Jobs on their way at once: each waits about as long as it takes to write so many twice."""

LOOK = 1.0
"""Seconds after which an emptied store is looked at again without a wake-up."""


class Mover:
    """Moves everything from one store to another."""

    def __init__(self, old: Store, new: Store) -> None:
        """Raises ConfigError if one of the two cannot be moved."""
        self.old = old
        self.new = new
        self._from = _movable(old)
        self._to = _movable(new)
        self.moved = 0  # jobs, by this mover

    def begin(self) -> None:
        """Steps 1 to 3. May be repeated. Raises ConfigError if the old store is moving elsewhere, StoreError."""
        self._from.begin_move(without(self.new.url))
        self._bring_to_an_end()
        self._carry_rules()
        self._carry_schedules()

    def step(self) -> int:
        """Move some jobs; gives how many. 0: there is nothing to move now."""
        parcels = self._from.pack(BATCH)
        if not parcels:
            return 0
        self._to.unpack(parcels)
        shipped = self._from.ship(parcels)
        gone = _ids(parcel for parcel, went in zip(parcels, shipped, strict=True) if went)
        self._to.release(gone)
        self._to.release(_ids(parcel for parcel, went in zip(parcels, shipped, strict=True) if not went), keep=False)
        self.moved += len(gone)
        return len(gone)

    def run(self, report: Callable[[Mover, int], None], follow: bool = False) -> None:
        """Steps 1 to 4, until the old store is empty; with ``follow`` until somebody ends this process.

        ``report`` is told now and then how many jobs still run in the old store.
        """
        self.begin()
        listener = self.old.listen("results")
        try:
            while True:
                while self.step():
                    report(self, self.running())
                running = self.running()
                report(self, running)
                if not (running or follow):
                    return
                listener.wait(LOOK)
        finally:
            listener.close()

    def running(self) -> int:
        """How many jobs run in the old store (at most COUNT_CAP for each queue)."""
        return sum(count.running for count in self.old.counts())

    def _bring_to_an_end(self) -> None:
        """A copy whose original is still in the old store goes, and comes again; one without stays."""
        while ids := self._to.in_transit(BATCH):
            there = {found.id for found in self.old.results(ids) if found is not None}
            self._to.release([id for id in ids if id not in there])
            self._to.release([id for id in ids if id in there], keep=False)

    def _carry_rules(self) -> None:
        for limit in self.old.limits():
            if not limit.declared:
                self.new.set_limit(limit)
        for queue in self.old.paused():
            self.new.pause(queue)
        for time_limit in self.old.time_limits():
            self.new.set_time_limit(time_limit)

    def _carry_schedules(self) -> None:
        known = {schedule.name for schedule in self.new.schedules()}
        owners: dict[str, list[Schedule]] = {}
        for schedule in self.old.schedules():
            if schedule.owner is not None:
                owners.setdefault(schedule.owner, []).append(schedule)
            elif schedule.name not in known:
                self.new.put_schedule(schedule)
        for owner, schedules in owners.items():
            if not known & {schedule.name for schedule in schedules}:
                self.new.declare_schedules(owner, schedules)
        for schedule in self.old.schedules():
            self._go_on_with(schedule)

    def _go_on_with(self, schedule: Schedule) -> None:
        """The new store makes the occurrences that the old one has not made, whoever had declared it there before."""
        for there in self.new.schedules([schedule.name]):
            if there.next != schedule.next:
                self.new.occur([Advance(seen=there, jobs=(), next=schedule.next)])
            if schedule.paused:
                self.new.pause_schedule(schedule.name)


class Elsewhere:
    """The store to which an app's own was moved, once somebody asks for a job that is not in the app's any more."""

    def __init__(self) -> None:
        self._there: Store | None = None
        self._lock = threading.Lock()

    def results(self, store: Store, ids: Sequence[str], found: list[Result | None]) -> list[Result | None]:
        """``found`` in ``store``, with those that are None looked for where it was moved, if it was.

        Raises StoreError if that store cannot be asked: a job that was moved is not unknown.
        """
        moves = moves_of(store)
        moving = None if moves is None else moves.moving()
        if moving is None:
            return found
        missing = [id for id, result in zip(ids, found, strict=True) if result is None]
        there = self._open(moving.to)
        elsewhere = dict(zip(missing, there.results(missing), strict=True))
        return [elsewhere.get(id) if result is None else result for id, result in zip(ids, found, strict=True)]

    def close(self) -> None:
        with self._lock:
            there, self._there = self._there, None
        if there is not None:
            there.close()

    def _open(self, url: str) -> Store:
        with self._lock:
            if self._there is None or without(self._there.url) != url:
                self._there = stores.open(url, create=False)
            return self._there


def move_back(old: Store) -> Moving | None:
    """End a move: the old store goes on with what it still has. Gives the move; None if there was none."""
    moves = _movable(old)
    moving = moves.moving()
    if moving is not None:
        moves.end_move()
    return moving


def seal(old: Store) -> bool:
    """Let an emptied store take no jobs any more; False if a live job is left in it."""
    return _movable(old).seal()


def _movable(store: Store) -> Movable:
    moves = moves_of(store)
    if moves is None:
        raise ConfigError(f"{without(store.url)}: stores of this kind cannot be moved")
    return moves


def _ids(parcels: Iterable[Parcel]) -> list[str]:
    return list(chain.from_iterable(parcel.ids for parcel in parcels))
