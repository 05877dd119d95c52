"""Actions on many jobs: in the background, a batch at a time, with how far they are in the audit trail.

The line of the trail is written before the first job is touched and after each batch, so that whoever looks sees it,
on any dashboard of this store. If the process dies in the middle, the line stays as it was last written, and after
STALE without a word the pages call it interrupted; what was done is done, and the same filter does the rest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from duly.clock import MICROS
from duly.errors import DulyError
from duly.job import Change, Filter, JobView
from duly.messages import Action
from duly.store.contract import Store
from duly.web.actions import BATCH, Verb, apply, changed, copied
from duly.web.language import Query
from duly.web.search import everything

log = logging.getLogger("duly.web")

STALE = 30 * MICROS
"""µs after which a running action that was not written any more counts as interrupted."""

_WRITE = 0.5  # seconds between two notes of how far it is


@dataclass(frozen=True)
class Order:
    """What is to be done to which jobs."""

    verb: Verb
    change: Change
    query: Query | None  # all that match, or
    ids: Sequence[str]  # these
    until: int  # jobs stored later are not meant: nobody has seen them when it was confirmed


class Bulk:
    """The bulk actions of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stops: dict[int, threading.Event] = {}

    def start(self, order: Order, action: Action) -> int:
        """Begin; gives the id of the line in the audit trail."""
        id = self._store.record_action(action)
        self._stops[id] = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(order, copied(action, id=id)), name=f"bulk-{id}", daemon=True
        )
        thread.start()
        return id

    def stop(self, id: int) -> bool:
        """End it after the batch it is at; False if this process does not run it."""
        event = self._stops.get(id)
        if event is not None:
            event.set()
        return event is not None

    def _run(self, order: Order, action: Action) -> None:
        try:
            action = self._work(order, action)
        except DulyError as exc:
            log.error("%s of %s ended early: %s", action.verb, action.what, exc)
            action = copied(action, state="failed", detail=f"{action.detail} ended early: {exc}".strip())
        except Exception as exc:
            log.exception("%s of %s ended early", action.verb, action.what)
            action = copied(action, state="failed", detail=f"{action.detail} ended early: {exc!r}".strip())
        finally:
            stopped = self._stops.pop(action.id).is_set()
        if stopped:
            action = copied(action, state="failed", detail=f"{action.detail} stopped on request".strip())
        self._note(action)

    def _work(self, order: Order, action: Action) -> Action:
        noted = time.monotonic()
        for batch in _batches(_ids(self._store, order)):
            if self._stops[action.id].is_set():
                return action
            done = changed(apply(self._store, order.verb, batch, order.change)) if batch else 0
            seen = action.seen + len(batch)
            action = copied(action, done=action.done + done, seen=seen, total=max(action.total, seen))
            if time.monotonic() - noted >= _WRITE:
                self._note(action)
                noted = time.monotonic()
        return copied(action, state="done", total=action.seen)

    def _note(self, action: Action) -> None:
        try:
            self._store.record_action(copied(action, updated=self._store.now()))
        except DulyError as exc:
            log.error("the audit trail cannot be written: %s", exc)


def _ids(store: Store, order: Order) -> Iterator[list[str]]:
    """The jobs to be changed, some at a time; an empty list when it was only looked."""
    if order.query is not None:
        for jobs in everything(store, order.query):
            yield [job.id for job in jobs if job.created <= order.until and order.verb.fits(job)]
        return
    for at in range(0, len(order.ids), BATCH):
        jobs = store.jobs(Filter(ids=tuple(order.ids[at : at + BATCH])), limit=BATCH).jobs
        yield [job.id for job in jobs if order.verb.fits(job)]


def _batches(some: Iterable[list[str]]) -> Iterator[list[str]]:
    """Lists of about BATCH; empty ones go through, so that whoever waits hears that it goes on."""
    batch: list[str] = []
    for ids in some:
        batch += ids
        if len(batch) >= BATCH or not ids:
            yield batch
            batch = []
    yield batch


@dataclass(frozen=True)
class Preview:
    """What an order would do."""

    matching: int
    fitting: int  # of them those in a state that allows it
    states: dict[str, int]
    sample: list[JobView]
    complete: bool  # all were counted


def preview(store: Store, order: Order, seconds: float = 1.5, sample: int = 8) -> Preview:
    """Count, for as long as ``seconds``."""
    end = time.monotonic() + seconds
    matching = fitting = 0
    states: dict[str, int] = {}
    shown: list[JobView] = []
    now = store.now()
    complete = True
    for jobs in _jobs(store, order):
        for job in jobs:
            matching += 1
            name = job.state_name(now)
            states[name] = states.get(name, 0) + 1
            if order.verb.fits(job):
                fitting += 1
                if len(shown) < sample:
                    shown.append(job)
        if time.monotonic() >= end:
            complete = False
            break
    return Preview(matching, fitting, states, shown, complete)


def _jobs(store: Store, order: Order) -> Iterator[list[JobView]]:
    if order.query is not None:
        for jobs in everything(store, order.query):
            yield [job for job in jobs if job.created <= order.until]
        return
    for at in range(0, len(order.ids), BATCH):
        yield store.jobs(Filter(ids=tuple(order.ids[at : at + BATCH])), limit=BATCH).jobs
