"""A seat: (worker, slot), the place from which one executor exchanges with the store.

An outcome is never lost because the store did not answer for a while: the exchange is repeated for as long
as the worker's lease lives, after which the executor ends (``executor.py``). One that the store refuses for good (a
result larger than a database takes) is settled as failed, and says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from duly.clock import MICROS, Clock
from duly.errors import StoreCorrupt, StoreTooNew, StoreUnavailable
from duly.job import ErrorInfo, Kind, Lease, Outcome
from duly.store import Listener, Store
from duly.store.hasty import Hasty
from duly.store.offering import Offering

log = logging.getLogger("duly.worker")

_SYNC_EVERY = 30.0  # seconds after which the store's clock is compared with the host's again
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.5  # seconds between two tries while the store does not answer


class Seat:
    """The executor's dealings with the store. Exchanging and waiting belong to one thread."""

    def __init__(
        self, store: Store, worker: int, slot: int, queues: Sequence[str], poll: float, clock: Clock
    ) -> None:
        self.store = store
        self._offers = store.listen_as_seat(worker, slot) if isinstance(store, Offering) else None
        self.listener: Listener = self._offers or store.listen("work")
        self.offset = 0  # µs; store's clock minus host's
        self._worker = worker
        self._slot = slot
        self._round = tuple(queues)
        self.turns = self._round  # beginning with the queue whose turn is next
        self._poll = poll  # seconds
        self._clock = clock
        self._sealed = False
        self._next_sync = 0.0
        self._misses = 0  # looks in a row that found something due but brought nothing
        self._expect = False  # the last wait ended for a reason: there should be something to reserve
        self._hasty = store if isinstance(store, Hasty) else None
        self.unsure = False  # a crash of the store might undo the last reserve; see is_sure

    def serve(self, queues: Sequence[str]) -> None:
        """Reserve from these queues, in these turns, from now on. From any thread."""
        if tuple(queues) != self._round:
            self._round = self.turns = tuple(queues)
            self.listener.poke()

    def exchange(
        self, outcomes: Sequence[Outcome], want: int, queues: Sequence[str] | None = None, brief: bool = False
    ) -> list[Lease]:
        """Settle and reserve, from all queues in turns or from ``queues``; keeps trying while the store is
        unavailable. ``brief``: the jobs will be over in moments, or else :meth:`is_sure` is asked."""
        pause = _FIRST_PAUSE
        while True:
            try:
                leases = self.exchange_once(outcomes, want, queues, brief)
                if pause > _FIRST_PAUSE:
                    log.warning("the store answers again")
                return leases
            except StoreUnavailable as exc:
                if pause == _FIRST_PAUSE:
                    log.error("the store does not answer, %d outcomes wait: %s", len(outcomes), exc)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except (StoreCorrupt, StoreTooNew):
                raise
            except Exception as exc:  # StoreError, or what a driver raises for a value it cannot take
                if not outcomes:
                    raise
                self._settle_each(outcomes, exc)
                outcomes = ()

    def _settle_each(self, outcomes: Sequence[Outcome], exc: Exception) -> None:
        """Settle one by one what the store refuses together; a single one that it refuses, as failed."""
        if len(outcomes) > 1:
            for outcome in outcomes:
                self.exchange([outcome], 0)
            return
        (outcome,) = outcomes
        failed = _unwritable(outcome, exc)
        if outcome.error == failed.error:  # it is one already
            raise exc
        log.error("job %s (%s): the store refuses its outcome: %s", outcome.lease.id, outcome.lease.task, exc)
        self.exchange([failed], 0)

    def seal(self) -> None:
        """Settle nothing that ends from now on. From any thread; the process is about to end."""
        self._sealed = True

    def exchange_once(
        self, outcomes: Sequence[Outcome], want: int, queues: Sequence[str] | None = None, brief: bool = False
    ) -> list[Lease]:
        """Settle and reserve. Raises StoreError. Does not return once the seat is sealed."""
        if self._sealed:
            threading.Event().wait()
        turns, expect, self._expect = self.turns, self._expect, False
        wanted = turns if queues is None else queues
        if brief and not outcomes and self._hasty is not None:
            answer = self._hasty.reserve_hastily(self._worker, self._slot, want, wanted)
            self.unsure = self.unsure or bool(answer.leases)
        else:
            answer = self.store.exchange(self._worker, self._slot, outcomes, want, wanted, expect)
            if outcomes and not answer.refused:  # what is on the disk comes after what was before
                self.unsure = False
        if answer.refused:
            for outcome in answer.refused:
                self.report_refused(outcome)
        if answer.leases:
            self._misses = 0
        elif answer.more:  # go on soon, but not at once: others want to write too
            self._misses = 1
        if answer.leases and queues is None:
            self._serve_next_after(answer.leases[0], turns)
        return answer.leases

    def _serve_next_after(self, lease: Lease, turns: tuple[str, ...]) -> None:
        """The next round begins behind the turn of this job's queue, unless other turns are to be served by now."""
        if len(turns) > 1 and self.turns is turns:
            self.turns = after(turns, lease.queue)

    def is_sure(self) -> bool:
        """Whether no crash of the store can undo any more what is reserved here; asks it if need be. False: one has,
        or may have, and others may run these jobs soon."""
        if not self.unsure:
            return True
        assert self._hasty is not None
        try:
            self.unsure = not self._hasty.confirm(self._worker, self._slot)
        except StoreUnavailable:
            return False
        return not self.unsure

    def is_due(self, queues: Sequence[str]) -> bool:
        """Whether one of these queues has something to start; False if the store does not say. Quick: no lock."""
        try:
            due = self.store.next_due(queues)
        except StoreUnavailable:  # the next exchange says so
            return False
        return due is not None and due <= self.now()

    def idle(self, queues: Sequence[str] | None = None, at_most: float | None = None) -> None:
        """Sleep until something may be due, in all queues or in ``queues``: a wake-up, the next due, or the poll
        interval; ``at_most`` so many seconds."""
        due = self.until_due(queues)
        timeout = due if at_most is None else min(due, at_most)
        self._expect = self.listener.wait(timeout) or (due < self._poll and timeout == due)

    def wait_for_job(self, lapse: int) -> Lease | None:
        """:meth:`idle`, ready to be given a job by whoever stores one, for ``lapse`` µs: that job, or None."""
        if self._offers is None:
            self.idle()
            return None
        offers, turns = self._offers, self.turns
        begun = self._clock.now()
        timeout = self._until(lambda: offers.offer(turns, lapse))
        self._expect = offers.wait(timeout) or timeout < self._poll
        # Who was frozen meanwhile may have lost its lease: the next exchange says whether the job is still its own.
        lease = offers.given() if self._clock.now() - begun <= lapse else None
        if lease is not None:
            self._misses, self._expect = 0, False
            self._serve_next_after(lease, turns)
        return lease

    def until_due(self, queues: Sequence[str] | None = None) -> float:
        """Seconds to wait for, at most the poll interval."""
        return self._until(lambda: self.store.next_due(self.turns if queues is None else queues))

    def _until(self, next_due: Callable[[], int | None]) -> float:
        try:
            due = next_due()
        except StoreUnavailable:  # the next exchange says so
            return self._poll
        if due is None:
            return self._poll
        self._sync()
        ahead = (due - self.now()) / MICROS
        if ahead > 0:
            self._misses = 0
            return min(ahead, self._poll)
        # Somebody else may be taking it just now. If it stays (we may not have it), look ever less often.
        self._misses += 1
        return 0.0 if self._misses == 1 else min(0.001 * 2**self._misses, self._poll)

    def now(self) -> int:
        """The store's clock, without asking the store each time."""
        return self._clock.now() + self.offset

    def _sync(self) -> None:
        if self._clock.monotonic() >= self._next_sync:
            self._next_sync = self._clock.monotonic() + _SYNC_EVERY
            stored = self.store.now()  # first: it may have to ask, and says what is so when it returns
            self.offset = stored - self._clock.now()

    def report_refused(self, outcome: Outcome) -> None:
        """Called for each outcome of which the store wrote nothing."""
        if outcome.kind != Kind.RELEASED:
            log.warning(
                "job %s (%s): its outcome (%s) was refused, because the job was given to somebody else meanwhile",
                outcome.lease.id,
                outcome.lease.task,
                outcome.kind.name.lower(),
            )


def _unwritable(outcome: Outcome, exc: Exception) -> Outcome:
    error = ErrorInfo(
        type="EncodeError",
        module="duly.errors",
        message=f"the store cannot take the outcome of this job: {exc}",
        help="what it returns or reports may be too large; put it in a file, and return the file's name",
    )
    data = msgspec.json.encode(error)
    return Outcome(outcome.lease, Kind.FAILED, outcome.started, outcome.finished, None, data)


def after(turns: tuple[str, ...], served: str) -> tuple[str, ...]:
    """The same round, beginning behind the first turn of ``served``."""
    if served not in turns:
        return turns
    cut = turns.index(served) + 1
    return turns[cut:] + turns[:cut]
