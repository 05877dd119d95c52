"""A worker of one thread that does what an executor does, through the store's own exchange."""

from __future__ import annotations

import threading

from duly import Duly
from duly.failure import encode_error
from duly.job import Flag, Kind, Lease, Outcome, WorkerInfo
from duly.request import Request, current


class MiniWorker:
    """Runs due jobs through the store's own exchange, in the caller's thread or in one of its own."""

    def __init__(self, app: Duly, queues: tuple[str, ...] = ("default",)) -> None:
        self.app = app
        self.queues = queues
        info = WorkerInfo(name="mini", host="here", pid=1, queues=queues, tasks=tuple(app.tasks))
        self.id = app.store.register(info, 60_000_000)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def run_due(self) -> int:
        """Run what is due now; gives how many."""
        leases = self.app.store.exchange(self.id, 0, [], 1000, self.queues).leases
        for lease in leases:
            refused = self.app.store.exchange(self.id, 0, [self._run(lease)], 0, self.queues).refused
            assert not refused
        return len(leases)

    def _run(self, lease: Lease) -> Outcome:
        task, now = self.app.find(lease.task), self.app.now
        request = Request(task, lease, self.app.store, self.app.clock)
        token, started = current.set(request), now()
        try:
            args, kwargs = task.codec.decode_args(lease.args)
            value = task.run(*args, **kwargs)
            data = None if lease.flags & Flag.IGNORE_RESULT else task.codec.encode_result(value)
            kind, due, error = Kind.SUCCEEDED, 0, None
        except Exception as exc:
            retry = task.retry_for(exc, request)
            data, error = None, encode_error(exc)
            kind, due = (Kind.RETRY, retry.due) if retry else (Kind.FAILED, 0)
        finally:
            current.reset(token)
        return Outcome(
            lease=lease, kind=kind, started=started, finished=now(), result=data, error=error, due=due,
            progress=request.progress,
        )  # fmt: skip

    def start(self) -> None:
        def loop() -> None:
            listener = self.app.store.listen("work")
            try:
                while not self._stop.is_set():
                    if not self.run_due():
                        listener.wait(0.05)
            finally:
                listener.close()

        self._thread = threading.Thread(target=loop)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
