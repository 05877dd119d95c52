"""The enqueuing path: concurrent callers of one process share a commit.

    1. A caller puts its job on the pending list and takes the lock. If nobody writes, it gets it at once.
    2. It writes everything that is pending, in one transaction. Those who come meanwhile wait for the lock.
    3. Whoever gets the lock next finds its job written and leaves, or writes for all that have gathered.

So the group grows by itself with the cost of a commit. Coroutines never write: they hand their jobs to one thread,
which writes whatever has gathered. ``enqueue`` is idempotent by job id, so a group whose writer was interrupted
is simply written again by the next one.

Every caller gets its own answer: if a group is refused because of one job, the jobs are written one by one.
After a fork the child starts with a client that has nobody waiting and no thread.
"""

from __future__ import annotations

import asyncio
import copy
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from duly.errors import StoreError
from duly.job import Enqueued, Job
from duly.store.contract import Store

BULK = 1_000
"""Jobs in one transaction of a bulk; and the most that a group holds."""


class _Ticket:
    """One caller's job and what became of it."""

    __slots__ = ("answer", "error", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.answer: Enqueued | None = None
        self.error: BaseException | None = None


class _AsyncTicket(_Ticket):
    __slots__ = ("future", "loop")

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(job)
        self.loop = loop
        self.future: asyncio.Future[Enqueued] = loop.create_future()


class Client:
    """Writes an app's jobs into its store; for any number of threads and event loops."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._reset()
        _clients.add(self)

    def _reset(self) -> None:
        self._pending: list[_Ticket] = []  # append and slices of a list are atomic
        self._writing = threading.Lock()  # whoever holds it writes for all who are pending
        self._inbox: SimpleQueue[_AsyncTicket | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def enqueue(self, job: Job) -> Enqueued:
        """Store one job. Raises StoreError and DuplicateKey."""
        ticket = _Ticket(job)
        self._pending.append(ticket)
        try:
            with self._writing:
                if ticket.answer is None and ticket.error is None:
                    _write(self._store, self._take(ticket))
        except BaseException:  # interrupted (Ctrl-C, a soft time limit): it must not be written at some later time
            if ticket in self._pending:
                self._pending.remove(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        assert ticket.answer is not None
        return ticket.answer

    def _take(self, own: _Ticket) -> list[_Ticket]:
        """All who are pending; ``own`` too where an interrupted writer had taken it and written nothing."""
        group = self._pending[:BULK]
        del self._pending[: len(group)]
        if own not in group:
            group.append(own)
        return group

    def enqueue_bulk(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Store many jobs, BULK at a time. DuplicateKey leaves those of earlier transactions stored."""
        store = self._store()
        answers: list[Enqueued] = []
        for start in range(0, len(jobs), BULK):
            answers += store.enqueue(jobs[start : start + BULK])
        return answers

    async def aenqueue(self, job: Job) -> Enqueued:
        """:meth:`enqueue` for coroutines; the event loop is never blocked."""
        ticket = _AsyncTicket(job, asyncio.get_running_loop())
        if self._thread is None:
            self._start()
        self._inbox.put(ticket)
        return await ticket.future

    def close(self) -> None:
        """End the thread, once it has written what it was given."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join()

    # -- event loops -----------------------------------------------------------------------------

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._drain, name="duly-enqueue", daemon=True)
                self._thread.start()

    def _drain(self) -> None:
        inbox = self._inbox
        while True:
            group, last = _gather(inbox)
            if group:
                _write(self._store, group)
                _answer(group)
            if last:
                return


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
    except Exception as exc:
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
    for client in list(_clients):
        client._reset()


os.register_at_fork(after_in_child=_after_fork)
