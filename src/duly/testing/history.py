"""What happened in a world, and whether it was allowed to: the history checker.

The engine's promises in terms of events:

    1. no job starts before its due;
    2. no job runs twice at once, unless one of the two runs is frozen (a paused worker, which is running nothing);
    3. of all outcomes of a job at most one final one is accepted;
    4. no job is lost: each that was enqueued is in the store, and when all is quiet each has ended.
"""

from __future__ import annotations

import msgspec

from duly.clock import from_micros


class Event(msgspec.Struct, frozen=True):
    """Something that happened. ``what``: started, succeeded, failed, retry, ... (an accepted outcome), refused,
    killed, crashed, fenced, rescued, paused, resumed, partitioned, healed, registered."""

    at: int  # µs UTC
    what: str
    worker: str
    job: str = ""
    task: str = ""
    attempt: int = 0

    def __str__(self) -> str:
        job = f" {self.task}[{self.job}] attempt {self.attempt}" if self.job else ""
        return f"{from_micros(self.at):%Y-%m-%d %H:%M:%S.%f} {self.worker or 'world'}: {self.what}{job}"


class BrokenPromise(AssertionError):
    """The engine did what it must not. The message ends with the seed, which replays it, and the last events."""


class History:
    """The events of one world, checked as they come."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.events: list[Event] = []
        self._ended: dict[str, Event] = {}  # job -> its accepted final outcome

    def add(self, event: Event) -> None:
        self.events.append(event)

    def ended(self, event: Event) -> None:
        """An accepted final outcome (promise 3)."""
        self.add(event)
        before = self._ended.get(event.job)
        if before is not None:
            raise self.broken(f"job {event.job} ended twice: {before} and {event}")
        self._ended[event.job] = event

    def reopen(self, job: str) -> None:
        """A person put a finished job back: it may end once more."""
        self._ended.pop(job, None)

    def of(self, job: str) -> list[Event]:
        """The events of one job."""
        return [event for event in self.events if event.job == job]

    def count(self, what: str) -> int:
        return sum(event.what == what for event in self.events)

    def broken(self, why: str) -> BrokenPromise:
        last = "\n".join(f"    {event}" for event in self.events[-25:])
        return BrokenPromise(f"{why}\n  last events:\n{last}\n  replay with World(seed={self.seed})")
