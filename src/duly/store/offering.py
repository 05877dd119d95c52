"""A job that is given to a seat in the very call that stores it (docs/decisions/0010)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from duly.job import Lease
from duly.store.contract import Listener


@runtime_checkable
class Offering(Protocol):
    """What a store can do whose wake-ups carry bytes: spare an idle seat the call that reserves."""

    def listen_as_seat(self, worker: int, slot: int) -> SeatListener:
        """``listen("work")`` for a seat, which can make offers then. Raises StoreError."""
        ...


class SeatListener(Listener, Protocol):
    """Where one seat waits.

    1. Nothing is due: ``offer``.
    2. ``wait``.
    3. ``given``: the job, or None. With None the offer stands, until the seat's next exchange takes it back; a job
       that was given and not heard of is given back then, and may be reserved by that exchange.
    """

    def offer(self, queues: Sequence[str], lapse: int) -> int | None:
        """Let whoever stores a job of these queues that is due give it to this seat; for ``lapse`` µs at most, and
        not when another job has come due, nor where there are limits or pauses. Gives what ``Store.next_due``
        would. Raises StoreError."""
        ...

    def given(self) -> Lease | None:
        """The job that ``wait`` was woken by: it is reserved for this seat, as if by an exchange."""
        ...
