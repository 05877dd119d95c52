"""The signals of a worker's life (``signals.py``), sent by its executors.

The first executor (slot 0, of the worker's first generation) sends what Celery sends once for each worker; that of
slot 0, whichever it is by then, sends the last ones. A receiver that blocks holds up its executor, and only that.
"""

from __future__ import annotations

import logging
import os
import signal
import threading

from duly import request, signals
from duly.app import Duly
from duly.worker import logs, proctree
from duly.worker.link import Go, Load


class WorkerHandle:
    """The worker as the sender of its signals."""

    def __init__(self, app: Duly, go: Go) -> None:
        self.app = app
        self.hostname = go.name
        self.name = go.name
        self.pid = os.getppid()  # the supervisor
        self.concurrency = go.slots

    def __repr__(self) -> str:
        return f"<WorkerHandle {self.hostname}>"


def logging_is_set_up(load: Load) -> None:
    """Offer the set-up of logging to the program; called when its modules are imported and may have connected."""
    told = {"loglevel": logging.getLevelName(load.loglevel.upper()), "logfile": load.logfile}
    told |= {"format": logs.FORMAT, "colorize": False}
    if signals.setup_logging.receivers:
        logs.withdraw()
        signals.setup_logging.send(None, **told)
        return
    signals.after_setup_logger.send(None, logger=logging.getLogger(), **told)
    signals.after_setup_task_logger.send(None, logger=logging.getLogger("celery.task"), **told)


class Announcer:
    """Tells the program of one executor's life, in order: ``began``, ``stopping``, ``left``."""

    def __init__(self, app: Duly, go: Go) -> None:
        self._handle = WorkerHandle(app, go)
        self._app = app
        self._speaks = go.slot == 0  # for the worker as a whole
        self._stopping: threading.Thread | None = None  # says that it was told to stop
        request.worker_name = go.name

    def began(self) -> None:
        """The executor is about to take jobs."""
        name, handle = self._handle.name, self._handle
        if self._speaks and _first():
            signals.celeryd_init.send(name, instance=handle, conf=self._app.conf, options={})
            signals.celeryd_after_setup.send(name, instance=handle, conf=self._app.conf)
            signals.worker_init.send(handle)
        signals.worker_process_init.send(None)
        if self._speaks and _first():
            signals.worker_ready.send(handle)

    def stopping(self) -> None:
        """It was told to stop; in a thread of its own, because the one that hears it also watches the lease."""
        if self._speaks and signals.worker_shutting_down.receivers:
            told = {"sig": signal.SIGTERM.name, "how": "Warm", "exitcode": 0}
            self._stopping = threading.Thread(
                target=signals.worker_shutting_down.send, args=[self._handle.name], kwargs=told, daemon=True
            )
            self._stopping.start()

    def left(self, stopped: bool) -> None:
        """It takes no more jobs; ``stopped``: because it was told to."""
        if self._stopping is not None:
            self._stopping.join()
        signals.worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)
        if self._speaks and stopped:
            signals.worker_shutdown.send(self._handle)


def _first() -> bool:
    """Whether this process is the first executor that the worker started."""
    return os.environ.get(proctree.EXECUTOR_MARK, "").endswith("/0/1")
