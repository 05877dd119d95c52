"""Calls that Celery's workers are at: their jobs run, for all that the store knows, until the answer is there.

Their leases are held by the relay, which its heartbeat keeps alive however long they take. That a message was put is
noted in the job's journal of effects, by the number of the attempt: an attempt after a lost one, and one that was
released and reserved again under the same number, find it there and only wait.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import msgspec

from duly.errors import StaleLease
from duly.job import Cancel, Flag, Kind, Lease, Outcome
from duly.relay import calling
from duly.relay.answers import Answers
from duly.store import Store

log = logging.getLogger("duly.relay")

MOST = 10_000
"""Calls that one relay waits for at once."""

_SENT = "sent "


class _Call(msgspec.Struct):
    lease: Lease
    started: int  # µs UTC


class Awaiting:
    """The calls of one incarnation."""

    def __init__(self, store: Store, answers: Answers | None) -> None:
        """``answers``: None if nobody said where they are."""
        self.answers = answers
        self._store = store
        self._calls: dict[str, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @staticmethod
    def wants(lease: Lease) -> bool:
        """Whether the job's result is wanted."""
        return not lease.flags & Flag.IGNORE_RESULT

    def was_sent(self, lease: Lease) -> bool:
        """Whether this attempt, or a lost one before it, has put the message."""
        if lease.attempt == 1 and not lease.lost:
            return f"{_SENT}1" in self._effects(lease)
        numbers = range(lease.attempt - lease.lost, lease.attempt + 1)
        return not self._effects(lease).isdisjoint(f"{_SENT}{number}" for number in numbers)

    def sent(self, lease: Lease, started: int) -> bool:
        """The message was put: note that, and wait for its answer. False if the job was given away meanwhile."""
        try:
            self._store.save_effect(lease, f"{_SENT}{lease.attempt}", b"true")
        except StaleLease as exc:  # whoever has it now is told by the ledger
            log.warning("%s", exc)
            return False
        self.wait_for(lease, started)
        return True

    def wait_for(self, lease: Lease, started: int) -> None:
        self._calls[lease.id] = _Call(lease, started)

    def ended(self, inboxes: Collection[str], now: int) -> list[Outcome]:
        """The outcomes of those whose answers are there; nobody waits for them any more. Raises BrokerAway."""
        if self.answers is None or not self._calls:
            return []
        found = self.answers.collect(inboxes, list(self._calls))
        outcomes = [
            calling.outcome_of(self._calls[id].lease, meta, self._calls[id].started, now)
            for id, meta in found.items()
        ]
        return self._over(outcome for outcome in outcomes if outcome is not None)

    def cancelled(self, cancels: Iterable[Cancel], now: int) -> list[Outcome]:
        """Of those that were asked to stop: they end cancelled, whatever Celery's worker still does."""
        asked = {cancel.id: cancel.token for cancel in cancels}
        calls = [call for id, call in self._calls.items() if asked.get(id) == call.lease.token]
        return self._over(Outcome(call.lease, Kind.CANCELLED, call.started, now) for call in calls)

    def released(self) -> list[Outcome]:
        """Give all of them back, for another relay to wait for."""
        return self._over([Outcome(call.lease, Kind.RELEASED) for call in self._calls.values()])

    def settled(self, ids: Collection[str]) -> None:
        """The store has the outcomes of these. Raises BrokerAway."""
        if self.answers is not None:
            self.answers.settled(ids)

    def _over(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        over = list(outcomes)
        for outcome in over:
            del self._calls[outcome.lease.id]
        return over

    def _effects(self, lease: Lease) -> set[str]:
        return {key for key, _ in self._store.effects(lease.id)}
