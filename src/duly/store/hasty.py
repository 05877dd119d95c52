"""A reserve that does not wait for the store's disk (docs/decisions/0009)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from duly.job import Exchange


@runtime_checkable
class Hasty(Protocol):
    """What a store can do that may crash while its workers live on: reserve without waiting for its disk.

    Everybody sees such a reserve at once. A crash of the store in the moments until it is on the disk undoes it:
    the jobs wait again, and outcomes are refused by their tokens.
    """

    def reserve_hastily(self, worker: int, slot: int, want: int, queues: Sequence[str]) -> Exchange:
        """:meth:`.Store.exchange` with no outcomes. It waits for the disk where it brings an at-most-once job."""
        ...

    def confirm(self, worker: int, slot: int) -> bool:
        """Whether all that was reserved for this seat is on the disk now; False: the store has crashed, and knows
        nothing of the last. Raises StoreUnavailable, soon, if nobody knows."""
        ...
