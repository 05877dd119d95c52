"""What a door is: where messages of a foreign broker are taken from, and given up when the store has them.

:class:`Taking` is the loop that stands behind every door:

    1. Take what has come. It stays the broker's: unacknowledged, or in a list of ours.
    2. Store the jobs it becomes, in one call. A message that came before meets its own id.
    3. Tell the broker, which forgets them.

Whatever dies between two of these steps, the message comes again, and is stored once. While the store does not
answer, nothing is kept here: the messages are given back, for whoever else consumes, and no more are taken.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from duly.errors import DecodeError, DulyError, StoreError
from duly.failure import describe
from duly.gateway.adopting import Adopter
from duly.gateway.envelope import Envelope
from duly.gateway.following import Adopted
from duly.gateway.publishing import BrokerAway
from duly.job import Enqueued, Filter
from duly.keepsake import is_relayed
from duly.store import Store

log = logging.getLogger("duly.gateway")

_WAIT = 0.5  # seconds that a door waits for messages; after that it looks whether it is to stop
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries while the broker or the store does not answer


OR_ELSE = "A gateway keeps far-ahead messages itself: end the relay, or give it a store of its own"
_RELAYED = f"its id is that of a job here: a relay of the same store put it on this queue. {OR_ELSE}"


class Taken(NamedTuple):
    """A message that the broker still has, for us."""

    queue: str
    envelope: Envelope
    tag: Any  # the broker's handle


class Door(Protocol):
    """One broker. Its methods raise BrokerAway when that does not answer; then what was taken is given back, or
    taken again by :meth:`open`."""

    name: str  # its URL, without a password

    def priority(self, number: int) -> int:
        """duly's priority, 0 to 9 with 9 first, of the broker's."""
        ...

    def open(self) -> None:
        """Connect, and begin to consume."""
        ...

    def take(self, wait: float) -> list[Taken]:
        """What has come, after at most ``wait`` seconds."""
        ...

    def done(self, taken: Sequence[Taken]) -> None:
        """The store has these, which are the oldest that were taken: the broker may forget them."""
        ...

    def give_back(self) -> None:
        """Let others have what was taken and is not done, and take nothing until :meth:`open`. Raises nothing."""
        ...


class Taking:
    """The loop of one door; ``run`` it in a thread of its own until ``stop`` is set."""

    def __init__(self, door: Door, store: Store, adopter: Adopter) -> None:
        self._door = self._wanted = door
        self._store = store
        self._adopter = adopter
        self._pause = _FIRST_PAUSE

    def change(self, door: Door) -> None:
        """Go on behind another door of the same broker, once what was taken is stored. From any thread."""
        self._wanted = door

    def run(self, stop: threading.Event) -> None:
        is_open = False
        while not stop.is_set():
            if self._door is not self._wanted:
                self._door.give_back()
                self._door, is_open = self._wanted, False
            try:
                if not is_open:
                    self._store.next_due(())  # whether it answers
                    self._door.open()
                    self._recovered()
                    is_open = True
                self.step(_WAIT)
            except (BrokerAway, StoreError) as exc:
                self._failed(exc)
                self._door.give_back()
                is_open = False
                stop.wait(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._door.give_back()

    def step(self, wait: float) -> None:
        """Take what has come, store it, and tell the broker. Raises BrokerAway and StoreError."""
        taken = self._door.take(wait)
        if not taken:
            return
        now = self._store.now()
        adopted = [self._adopter.adopted(one.envelope, one.queue, now) for one in taken]
        jobs = [job for each in adopted for job in each.jobs]
        try:
            answers = self._store.enqueue(jobs, [gate for each in adopted for gate in each.gates])
        except StoreError:
            raise
        except Exception:  # one of them is what no store keeps
            answers = self._store_each(taken, adopted, now)
        refused = [job.id for job, answer in zip(jobs, answers, strict=True) if not answer.stored]
        if refused:
            self._keep_relayed(taken, adopted, refused, now)
        self._door.done(taken)

    def _store_each(self, taken: Sequence[Taken], adopted: Sequence[Adopted], now: int) -> list[Enqueued]:
        answers: list[Enqueued] = []
        for one, each in zip(taken, adopted, strict=True):
            try:
                answers += self._store.enqueue(each.jobs, each.gates)
            except StoreError:
                raise
            except Exception as exc:
                self._store.enqueue([self._adopter.unreadable(one.envelope, one.queue, now, exc)])
                answers += [Enqueued(job.id, stored=True) for job in each.jobs]
        return answers

    def _keep_relayed(
        self, taken: Sequence[Taken], adopted: Sequence[Adopted], refused: Sequence[str], now: int
    ) -> None:
        """A relay of this store has put these messages: their ids are those of its jobs, so they came as nothing new.
        Nobody would run them, and nobody know."""
        there = self._store.jobs(Filter(ids=tuple(refused)), limit=len(refused)).jobs
        relayed = {job.id for job in there if is_relayed(job)}
        lost = [one for one, each in zip(taken, adopted, strict=True) if each.jobs[0].id in relayed]
        self._store.enqueue(
            [self._adopter.unreadable(one.envelope, one.queue, now, DecodeError(_RELAYED)) for one in lost]
        )

    def _failed(self, exc: DulyError) -> None:
        """Say so once, until it is well again."""
        if self._pause == _FIRST_PAUSE:
            log.error("nothing is taken from %s: %s", self._door.name, describe(exc))

    def _recovered(self) -> None:
        if self._pause > _FIRST_PAUSE:
            log.warning("messages are taken from %s again", self._door.name)
        self._pause = _FIRST_PAUSE
