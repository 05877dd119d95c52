"""What goes from one store to another, whatever kinds they are, and what a store has to be able to do for it.

A store that is *moving* gives out no leases and makes no occurrences any more; all else goes on: what runs ends and
is settled, producers store jobs, people cancel and move them. So what waits can be copied while it stands still:

    1. ``pack`` reads some jobs with all that belongs to them, in *parcels*: what cannot be parted is in one, a job or
       a whole canvas. Those due soonest come first.
    2. The other store ``unpack``s them. Waiting jobs are *in transit* there: not reserved yet.
    3. ``ship`` deletes each parcel that is still as it was packed. From here on the other store has the only one.
    4. There, those that were shipped are ``release``d; of those that had changed meanwhile the copies are deleted,
       and they come again in another parcel.

Each step may be repeated, and whoever is killed between two begins again by asking the new store what is in transit.
A job is nowhere reserved before step 4, so none runs twice, and is deleted only after step 2, so none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from duly.errors import ConfigError
from duly.job import Attempt, Filter, Flag, GateView, JobView, Occurrence, Page, State

if TYPE_CHECKING:
    from duly.store.contract import Order


class Moving(msgspec.Struct, frozen=True):
    """That a store is being emptied into another."""

    to: str  # URL, without a password
    since: int  # µs UTC
    sealed: bool = False  # it is empty, and takes no jobs any more


class Membership(msgspec.Struct, frozen=True):
    """A job counts in a gate."""

    gate: str
    index: int
    counted: int  # 0: it has not ended; 1: it succeeded; 2: it ended otherwise


class Wanted(msgspec.Struct, frozen=True):
    """A job stands for a key of a reconciled namespace (``Store.sync``)."""

    namespace: str
    key: str
    due: int  # µs UTC, as it was last wanted


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One job and all that belongs to it. The names of the workers that ran it stay behind."""

    job: JobView
    let_go: bool = True  # False: it waits at its gate, or ended before that let it go
    history: tuple[Attempt, ...] = ()  # without the attempt that is in ``job``
    effects: tuple[tuple[str, bytes], ...] = ()
    memberships: tuple[Membership, ...] = ()
    occurrence: Occurrence | None = None
    wanted: Wanted | None = None


class Parcel(msgspec.Struct, frozen=True):
    """What is moved as a whole or not at all."""

    records: tuple[Record, ...]
    gates: tuple[GateView, ...] = ()

    @property
    def ids(self) -> list[str]:
        """Of its jobs."""
        return [record.job.id for record in self.records]


class Movable(Protocol):
    """A store that can be emptied into another one, and filled from another one."""

    def moving(self) -> Moving | None:
        """Where this store is being moved; None: it is not."""
        ...

    def begin_move(self, to: str) -> None:
        """Give out no leases and make no occurrences from now on. Raises ConfigError if it is moving elsewhere."""
        ...

    def end_move(self) -> None:
        """Go on as if nothing had been moved; what was, stays where it is now."""
        ...

    def seal(self) -> bool:
        """Take no jobs any more (StoreMoved says where they belong), if no live job is left; False if one is."""
        ...

    def pack(self, limit: int) -> list[Parcel]:
        """About ``limit`` jobs that do not run, nor belong to a canvas in which one runs: waiting ones by due, then
        ended ones."""
        ...

    def ship(self, parcels: Sequence[Parcel]) -> list[bool]:
        """Delete each of these that is as it was packed; says which."""
        ...

    def unpack(self, parcels: Sequence[Parcel]) -> None:
        """Store what is not there yet, waiting jobs in transit. A key that a live job here holds stays with that."""
        ...

    def in_transit(self, limit: int) -> list[str]:
        """Ids of jobs that were unpacked and not released."""
        ...

    def release(self, ids: Sequence[str], keep: bool = True) -> None:
        """Let jobs in transit run from their due on; or, unless they are to be kept, delete them."""
        ...


def moves_of(store: object) -> Movable | None:
    """What a store has for being moved; None if it cannot be."""
    moves: Movable | None = getattr(store, "moves", None)
    return moves


class Shelves(Protocol):
    """What :func:`pack_from` reads a store through."""

    def page(self, which: Filter, order: Order, after: str | None, limit: int) -> Page:
        """As ``Store.jobs``."""
        ...

    def neighbours(self, ids: Sequence[str]) -> dict[str, State]:
        """The jobs that share a gate with one of these, as its members or held at it, with their states."""
        ...

    def parcel(self, ids: Sequence[str]) -> Parcel:
        """These jobs with all that belongs to them."""
        ...


def pack_from(shelves: Shelves, limit: int) -> list[Parcel]:
    """What ``Movable.pack`` gives, read from the shelves."""
    parcels: list[Parcel] = []
    taken: set[str] = set()
    for which, order in _ORDER:
        after: str | None = ""
        while after is not None and len(taken) < limit:
            page = shelves.page(which, order, after or None, limit - len(taken))
            after = page.after
            alone = [job.id for job in page.jobs if not _in_canvas(job) and job.id not in taken]
            parcels += [Parcel((record,)) for record in shelves.parcel(alone).records]
            taken.update(alone)
            for job in page.jobs:
                if _in_canvas(job) and job.id not in taken:
                    canvas = _canvas(shelves, job.id)
                    taken.update(canvas)
                    if State.RUNNING not in canvas.values():
                        parcels.append(shelves.parcel(sorted(canvas)))
    return parcels


def _in_canvas(job: JobView) -> bool:
    return job.after is not None or bool(job.flags & Flag.MEMBER)


def _canvas(shelves: Shelves, id: str) -> dict[str, State]:
    """All jobs that gates join to this one, with their states."""
    found: dict[str, State] = {}
    fresh = [id]
    while fresh:
        near = shelves.neighbours(fresh)
        fresh = [id for id in near if id not in found]
        found.update(near)
    return found


def unchanged(parcels: Sequence[Parcel], read: Callable[[Sequence[str]], Parcel]) -> list[bool]:
    """Which of these parcels are still as they were packed; ``read`` gives jobs as they are now.

    Single jobs, the most there are, are read in one go."""
    singles = [parcel.ids[0] for parcel in parcels if len(parcel.records) == 1 and not parcel.gates]
    now = {record.job.id: Parcel((record,)) for record in read(singles).records}
    return [parcel == (read(parcel.ids) if parcel.gates else now.get(parcel.ids[0])) for parcel in parcels]


def moved_text(place: str) -> str:
    """What StoreMoved says."""
    return (
        f"this store was moved to {place} and takes no jobs any more; set the app's store (or DULY_STORE) to that one"
    )


def refuse_other(moving: Moving | None, to: str) -> bool:
    """Whether the move to this place is on already. Raises ConfigError if one to another place is."""
    if moving is not None and moving.to != to:
        raise ConfigError(
            f"this store is being moved to {moving.to} already, so not to {to}; finish that, or end it with --undo"
        )
    return moving is not None


_WAITING = Filter(states=("scheduled", "held", "queued", "retrying"))
_ENDED = Filter(states=("succeeded", "failed", "cancelled", "uncertain"))
_ORDER: tuple[tuple[Filter, Order], ...] = ((_WAITING, "due"), (_ENDED, "newest"))
