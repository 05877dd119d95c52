"""The enqueuing path: concurrent callers of one process share a commit.

    1. A caller that finds nobody leading leads: it writes its job at once. Alone, it pays nothing for all this.
    2. Those who come meanwhile wait, each at a lock of its own.
    3. A leader that is done wakes the first of them as the next leader, who writes for all that have gathered.

So the group grows by itself with the cost of a commit. Coroutines never write: they hand their jobs to one thread,
which writes whatever has gathered. ``enqueue`` is idempotent by job id, so a group whose writer was interrupted
is simply written again by the next one.

Every caller gets its own answer: if a group is refused because of one job, the jobs are written one by one.
A signal handler that calls while it interrupts a call does not join the group, which might wait for the very call
it interrupts: it writes its job by itself, or, if even that cannot be, hears so (RuntimeError).
After a fork the child starts with a client that has nobody waiting and no thread.
"""

from __future__ import annotations

import asyncio
import copy
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from duly import publishing
from duly.errors import ConfigError, DuplicateKey, StoreError
from duly.forks import living
from duly.job import Enqueued, Gate, Job
from duly.signals import PUBLISHING
from duly.store.contract import Store
from duly.tracing import Tracer

BULK = 1_000
"""Jobs in one transaction of a bulk; and the most that a group holds."""

RECHECK = 1.0
"""Seconds after which a caller looks for its answer without having been woken, should a leader have been
interrupted at the worst moment."""

_REFUSALS = (StoreError, DuplicateKey, ConfigError, ArithmeticError, TypeError, ValueError)
"""What the store has to say of a job. Anything else comes from a signal handler, and is for whoever it interrupts."""


class _Ticket:
    """One caller's job and what became of it."""

    __slots__ = ("answer", "error", "job", "leads", "wake")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.answer: Enqueued | None = None
        self.error: BaseException | None = None
        self.leads = False  # it is this caller's turn to write
        self.wake = threading.Lock()  # held while there is nothing to tell

    @property
    def settled(self) -> bool:
        return self.answer is not None or self.error is not None

    def tell(self) -> Enqueued:
        """The answer, or raise the error; it is let go of first, or the two would hold each other."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        assert self.answer is not None
        return self.answer


class _AsyncTicket(_Ticket):
    __slots__ = ("future", "loop")

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(job)
        self.loop = loop
        self.future: asyncio.Future[Enqueued] = loop.create_future()


class Client:
    """Writes an app's jobs into its store; for any number of threads and event loops."""

    def __init__(self, store: Callable[[], Store], tracer: Callable[[], Tracer | None] = lambda: None) -> None:
        self._store = store
        self._tracer = tracer
        self._reset()
        _clients.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # held for moments, never while writing; a signal handler may come in
        self._busy = False  # somebody leads
        self._waiting: list[_Ticket] = []  # without an answer; those the leader is writing, too
        self._calling: set[int] = set()  # the threads that are in ``enqueue``
        self._inbox: _Inbox | None = None  # of the thread that writes for coroutines

    def enqueue(self, job: Job) -> Enqueued:
        """Store one job. Raises StoreError and DuplicateKey."""
        job = self._announced(job)
        answer = self._enqueue(job)
        if PUBLISHING.live:
            publishing.after(job)
        return answer

    def _announced(self, job: Job) -> Job:
        """The job with what those who follow and listen have added to its headers."""
        tracer = self._tracer()
        if tracer is not None:
            job = tracer.call(job)
        return publishing.before(job) if PUBLISHING.live else job

    def _enqueue(self, job: Job) -> Enqueued:
        thread = threading.get_ident()
        if thread in self._calling:  # a signal handler, which interrupted this very function
            return self._store().enqueue([job])[0]
        ticket = _Ticket(job)
        try:
            self._calling.add(thread)
            self._join(ticket)
            while not (ticket.leads or ticket.settled):
                ticket.wake.acquire(timeout=RECHECK)
            if ticket.leads:
                self._lead(ticket)
        except BaseException:  # interrupted (Ctrl-C, a soft time limit): nobody may wait for us, or write it later
            self._withdraw(ticket)
            raise
        finally:
            self._calling.discard(thread)
        return ticket.tell()

    def _join(self, ticket: _Ticket) -> None:
        """Lead if nobody does; else wait."""
        with self._lock:
            if self._busy:
                ticket.wake.acquire()
                self._waiting.append(ticket)
            else:
                self._busy = ticket.leads = True

    def _lead(self, ticket: _Ticket) -> None:
        """Write ``ticket`` and all who wait; then pass the lead on and wake them."""
        with self._lock:
            others = self._waiting[: BULK - 1]
        try:
            _write(self._store, [ticket, *others])
        finally:
            with self._lock:
                told = [other for other in others if other.settled]
                self._pass_on(ticket)
            for other in told:
                other.wake.release()

    def _pass_on(self, ticket: _Ticket) -> None:
        """Make the first who waits the leader; the lock is held. A writer that was interrupted leaves some without
        an answer: they stay, and go into the next group."""
        waiting = [one for one in self._waiting if not one.settled]
        successor = waiting.pop(0) if waiting else None
        self._waiting = waiting
        self._busy = successor is not None
        ticket.leads = False
        if successor is not None:
            successor.leads = True
            successor.wake.release()

    def _withdraw(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if ticket.leads:
                self._pass_on(ticket)

    def enqueue_bulk(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Store many jobs, BULK at a time. DuplicateKey leaves those of earlier transactions stored."""
        store = self._store()
        jobs = [self._announced(job) for job in jobs]
        answers: list[Enqueued] = []
        for start in range(0, len(jobs), BULK):
            answers += store.enqueue(jobs[start : start + BULK])
        if PUBLISHING.live:
            for job in jobs:
                publishing.after(job)
        return answers

    def enqueue_canvas(self, jobs: Sequence[Job], gates: Sequence[Gate]) -> None:
        """Store a canvas: all of it in one transaction."""
        jobs = [self._announced(job) for job in jobs]
        self._store().enqueue(jobs, gates)
        if PUBLISHING.live:
            for job in jobs:
                publishing.after(job)

    async def aenqueue(self, job: Job) -> Enqueued:
        """:meth:`enqueue` for coroutines; the event loop is never blocked."""
        job = self._announced(job)
        ticket = _AsyncTicket(job, asyncio.get_running_loop())
        with self._lock:
            if self._inbox is None:
                inbox: SimpleQueue[_AsyncTicket | None] = SimpleQueue()
                thread = threading.Thread(target=self._drain, args=[inbox], name="duly-enqueue", daemon=True)
                thread.start()
                self._inbox = _Inbox(inbox, thread)
            self._inbox.queue.put(ticket)  # under the lock: nothing comes in after the None of ``close``
        answer = await ticket.future
        if PUBLISHING.live:
            publishing.after(job)
        return answer

    def close(self) -> None:
        """End the thread, once it has written what it was given. Whoever calls meanwhile gets a thread of its own."""
        with self._lock:
            closed, self._inbox = self._inbox, None
            if closed is not None:
                closed.queue.put(None)
        if closed is not None:
            closed.thread.join()

    # -- event loops -----------------------------------------------------------------------------

    def _drain(self, inbox: SimpleQueue[_AsyncTicket | None]) -> None:
        while True:
            group, last = _gather(inbox)
            if group:
                try:
                    _write(self._store, group)
                except Exception as exc:  # no signal handler interrupts this thread: whatever it is, it is an answer
                    for ticket in group:
                        ticket.error = ticket.error or exc
                _answer(group)
            if last:
                return


@dataclass
class _Inbox:
    """What one thread writes, up to a None."""

    queue: SimpleQueue[_AsyncTicket | None]
    thread: threading.Thread


def _gather(inbox: SimpleQueue[_AsyncTicket | None]) -> tuple[list[_AsyncTicket], bool]:
    """What has gathered, at least one; True after the last."""
    group: list[_AsyncTicket] = []
    ticket = inbox.get()
    while ticket is not None:
        group.append(ticket)
        if len(group) == BULK:
            return group, False
        try:
            ticket = inbox.get_nowait()
        except Empty:
            return group, False
    return group, True


def _answer(group: list[_AsyncTicket]) -> None:
    """Tell each event loop, once."""
    loops: dict[asyncio.AbstractEventLoop, list[_AsyncTicket]] = {}
    for ticket in group:
        loops.setdefault(ticket.loop, []).append(ticket)
    for loop, tickets in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, tickets)
        except RuntimeError:  # the loop was closed: nobody is left to be told
            continue


def _resolve(tickets: list[_AsyncTicket]) -> None:
    for ticket in tickets:
        if ticket.future.done():  # cancelled meanwhile; the job is stored all the same
            continue
        if ticket.error is not None:
            ticket.future.set_exception(ticket.error)
        elif ticket.answer is not None:
            ticket.future.set_result(ticket.answer)


def _write(store: Callable[[], Store], group: Sequence[_Ticket]) -> None:
    """One transaction for the group; one each if it is refused because of a job in it."""
    try:
        answers = store().enqueue([ticket.job for ticket in group])
    except _REFUSALS as exc:
        if len(group) == 1:
            group[0].error = exc
        elif isinstance(exc, StoreError):  # the store's trouble, not a job's: the same for each
            for ticket in group:
                ticket.error = copy.copy(exc)
        else:
            for ticket in group:
                _write(store, [ticket])
        return
    for ticket, answer in zip(group, answers, strict=True):
        ticket.answer = answer


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in living(_clients):
        client._reset()


os.register_at_fork(after_in_child=_after_fork)
