"""A worker inside the test's own process, for tasks that only the test knows. Real threads, real store, real time.

::

    with embedded_worker(app):
        assert add.delay(1, 2).get(timeout=10) == 3

It is the thread pool of a real worker without its supervisor: a hard time limit kills nothing, and a task that does
not return keeps the test waiting at the end. For driven time there is :class:`duly.testing.World`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from duly.app import Duly
from duly.clock import MICROS, SYSTEM
from duly.job import WorkerInfo
from duly.limits import declared
from duly.store.contract import Store
from duly.worker import board
from duly.worker.attempt import Attempts
from duly.worker.link import Go
from duly.worker.seat import Seat
from duly.worker.threads import ThreadPool

_LEASE = 60.0  # seconds; a test that stands at a breakpoint keeps its jobs for that long at least
_POLL = 0.05  # seconds between looks when no wake-up comes
_RENEW = 0.25  # seconds between two renewals, which also tell what was asked to cancel


@contextmanager
def embedded_worker(
    app: Duly, *, queues: Sequence[str] | None = None, concurrency: int = 1, patience: float = 10.0
) -> Iterator[WorkerInfo]:
    """Run ``app``'s jobs in threads of this process; at the end, what runs is waited for.

    ``queues``: those of ``worker_queues``, else the default queue. ``patience``: seconds; a task that has not
    returned by then raises TimeoutError. Raises StoreError.
    """
    served = tuple(queues or app.conf.worker_queues or (app.conf.task_default_queue,))
    app.check()
    store = app.store
    store.declare_limits(tuple(app.tasks), declared(app.tasks.values()))
    info = WorkerInfo(name="embedded", host=socket.gethostname(), pid=os.getpid(), queues=served, pool="thread",
                      slots=concurrency, tasks=tuple(sorted(app.tasks)))  # fmt: skip
    worker = store.register(info, int(_LEASE * MICROS))
    go = Go(worker=worker, name=f"{info.name}@{info.host}", slot=0, pool="thread", slots=concurrency, queues=served,
            homes=(None,) * concurrency, poll=_POLL, lease=_LEASE,
            soft_time_limit=app.conf.task_soft_time_limit, time_limit=None, max_tasks=None, reload=False)  # fmt: skip
    mine = board.private(concurrency)
    attempts = Attempts(app, go, mine, SYSTEM)
    seat = Seat(store, worker, 0, served, _POLL, SYSTEM)
    pool = ThreadPool(go, seat, mine, attempts)
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=[store, worker, pool, ended], name="embedded-renewal", daemon=True)
    thread = threading.Thread(target=pool.run, name="embedded-worker", daemon=True)
    renewal.start()
    thread.start()
    try:
        yield info
    finally:
        pool.stop()
        thread.join(patience)
        ended.set()
        renewal.join()
        attempts.close()
        if thread.is_alive():  # it goes on writing on its board
            raise TimeoutError(f"a task of the embedded worker has not returned within {patience:g} s")
        mine.close()
        seat.listener.close()
        store.unregister(worker)


def _renew(store: Store, worker: int, pool: ThreadPool, ended: threading.Event) -> None:
    """Keep the lease, and hand on what is to be cancelled."""
    while not ended.wait(_RENEW):
        for cancel in store.renew(worker, int(_LEASE * MICROS)).cancels:
            pool.cancel(cancel.id, cancel.token)
