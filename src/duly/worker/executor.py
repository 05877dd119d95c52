"""An executor: the process that runs tasks. ``python -m duly.worker.executor PARENT CONTROL BOARD``.

Started by a supervisor (``child.py``) and of no use without one. Its main thread belongs to the pool; a
control thread hears the supervisor and watches the lease.

It ends at once, with whatever it runs, when its supervisor dies (the kernel sees to that, and the control link
closes) and when the lease runs out without being renewed (a frozen supervisor): then others may run its jobs.
"""

from __future__ import annotations

import atexit
import faulthandler
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Protocol

import msgspec

from duly import builtin
from duly.app import Duly
from duly.clock import SYSTEM
from duly.errors import DulyError
from duly.limits import declared
from duly.loading import load_app
from duly.task_options import spelled
from duly.worker import announce, logs, proctree, reload
from duly.worker.attempt import Attempts
from duly.worker.board import Board
from duly.worker.ending import end_executor
from duly.worker.link import Cancel, Failed, Files, Go, Hello, Link, Load, Order, Serve, orders
from duly.worker.seat import Seat

log = logging.getLogger("duly.worker")

_LOOK_AT_FILES = 1.0  # seconds, with --reload


class Pool(Protocol):
    """What runs the jobs."""

    def run(self) -> None:
        """Run jobs until told to stop. In the main thread."""
        ...

    def stop(self) -> None:
        """Finish what runs, release the rest, return from :meth:`run`. From the control thread."""
        ...

    def cancel(self, job: str, token: int) -> None:
        """Interrupt this attempt if it is running here, and do not start it if not. From the control thread."""
        ...


def main(arguments: list[str]) -> int:
    parent, control, board_fd = map(int, arguments)
    proctree.die_with(parent)
    _take_signals()
    executor = Executor(Link(socket.socket(fileno=control)), board_fd)
    return executor.run()


class Executor:
    """One executor's life.

    1. The control thread starts; the first order is to load the app.
    2. Loaded, it says hello; the order to go names the incarnation, the pool and the queues.
    3. The pool runs until it is told to stop, or has run its number of jobs.
    """

    def __init__(self, control: Link, board_fd: int) -> None:
        self._link = control
        self._board_fd = board_fd
        self._board: Board | None = None
        self._load: Load | None = None
        self._go: Go | None = None
        self._pool: Pool | None = None
        self._seat: Seat | None = None
        self._attempts: Attempts | None = None
        self._announcer: announce.Announcer | None = None
        self._serve: Serve | None = None
        self._ordered = threading.Condition()
        self._stopped = False
        self._early_cancels: list[Cancel] = []
        self._files: tuple[str, ...] = ()

    def run(self) -> int:
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        with self._ordered:
            self._ordered.wait_for(lambda: self._load is not None)
        assert self._load is not None
        app = self._import_app(self._load)
        if app is None:
            return 1
        with self._ordered:
            self._ordered.wait_for(lambda: self._go is not None)
        assert self._go is not None
        self._work(app, self._go)
        return 0

    # -- the steps of the main thread ----------------------------------------------------------------

    def _import_app(self, load: Load) -> Duly | None:
        """The app, after hello; None if it cannot be loaded, which the supervisor is told."""
        try:
            logs.configure(load.loglevel, load.logfile, load.label, load.logformat)
            os.chdir(load.workdir)
            app = load_app(load.app, load.store, load.overrides)
            announce.logging_is_set_up(load)
            hello = self._hello(app, load)
            _ = app.store  # imports its driver, which may take a quarter of a second: not when the first job is due
        except DulyError as exc:
            self._link.send(Failed(str(exc)))
            return None
        except BaseException:  # whatever importing somebody's module raises, sys.exit() included
            self._link.send(Failed(f"the app {load.app} cannot be loaded:\n{traceback.format_exc().rstrip()}"))
            return None
        self._files = hello.files
        self._link.send(hello)
        return app

    def _hello(self, app: Duly, load: Load) -> Hello:
        conf = app.conf
        return Hello(
            store=app.store_url,
            tasks=tuple(sorted([*app.tasks, *builtin.NAMES])),
            options={task.name: said for task in app.tasks.values() if (said := spelled(task))},
            queues=dict(conf.worker_queues) or dict.fromkeys(app.routing.served, 1),
            reserve=dict(conf.worker_reserve),
            pool=conf.worker_pool,
            concurrency=conf.worker_concurrency or os.cpu_count() or 1,
            lease=conf.worker_lease,
            poll=conf.worker_poll_interval,
            cancel_grace=conf.worker_cancel_grace,
            max_lost=conf.worker_max_lost,
            keep=conf.result_expires,
            keep_failed=conf.failed_expires,
            max_tasks=conf.worker_max_tasks_per_child,
            max_memory=conf.worker_max_memory_per_child,
            files=reload.source_files(load.workdir),
            limits=declared(app.tasks.values()),
            app=app.name,
            schedules=tuple(app.declared_schedules()),
            conf=msgspec.to_builtins(conf.table(with_defaults=True), enc_hook=repr),
            known=app.routing.known,
            broker=bool(app.brokers),
        )

    def _work(self, app: Duly, go: Go) -> None:
        assert self._board is not None
        logs.rename(f"{go.name.partition('@')[0]}/{go.slot + 1}")  # the first one was loaded before it had a name
        seat = Seat(app.store, go.worker, go.slot, go.queues, go.poll, SYSTEM)
        attempts = Attempts(app, go, self._board, SYSTEM)
        attempts.set_time_limits(go.time_limits)
        pool = make_pool(go, seat, self._board, attempts)
        announcer = announce.Announcer(app, go)
        with self._ordered:
            self._pool, self._seat, self._attempts, self._announcer = pool, seat, attempts, announcer
            if self._serve is not None:
                self._change(self._serve)
            for cancel in self._early_cancels:
                pool.cancel(cancel.job, cancel.token)
        announcer.began()
        if not self._stopped:
            pool.run()
        announcer.left(self._stopped)
        seat.listener.close()
        app.store.close()

    # -- the control thread --------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            self._hear()
        except BaseException:  # nobody would watch the lease any more
            log.critical("the executor is broken and leaves", exc_info=True)
            _leave_at_once()

    def _hear(self) -> None:
        while True:
            readable, _, _ = select.select([self._link], [], [], self._patience())
            if readable:
                lines = self._link.lines()
                if lines is None:
                    _leave_at_once()
                for line in lines or ():
                    self._obey(orders.decode(line))
            self._check_lease()
            if self._go is not None and self._go.reload:
                self._report_files()

    def _patience(self) -> float | None:
        """Seconds until the lease would have run out, were it not renewed."""
        if self._board is None:
            return None
        left = max(self._board.lease_end() - time.monotonic(), 0.01)
        return min(left, _LOOK_AT_FILES) if self._go is not None and self._go.reload else left

    def _check_lease(self) -> None:
        if self._board is None or time.monotonic() < self._board.lease_end():
            return
        end_executor(self._board, self._seat, "the worker's lease has run out and was not renewed")

    def _obey(self, order: Order) -> None:
        with self._ordered:
            if isinstance(order, Load):
                self._load = order
            elif isinstance(order, Go):
                self._board = Board(self._board_fd, order.slots)
                self._go = order
            elif isinstance(order, Serve):
                self._change(order)
            elif isinstance(order, Cancel):
                self._cancel(order)
            elif self._pool is not None:
                self._stopped = True
                if self._announcer is not None:
                    self._announcer.stopping()
                self._pool.stop()
            else:  # nothing to finish
                _leave_at_once()
            self._ordered.notify_all()

    def _change(self, serve: Serve) -> None:
        self._serve = serve
        if self._seat is not None and self._attempts is not None:
            self._seat.serve(serve.queues)
            self._attempts.set_time_limits(serve.time_limits)

    def _cancel(self, order: Cancel) -> None:
        if self._pool is None:
            self._early_cancels.append(order)
        else:
            self._pool.cancel(order.job, order.token)

    def _report_files(self) -> None:
        assert self._load is not None
        files = reload.source_files(self._load.workdir)
        if files != self._files:
            self._files = files
            self._link.send(Files(files))


def make_pool(go: Go, seat: Seat, board: Board, attempts: Attempts) -> Pool:
    """The pool that ``go`` names."""
    if go.pool == "thread":
        from duly.worker.threads import ThreadPool

        return ThreadPool(go, seat, board, attempts)
    if go.pool == "async":
        from duly.worker.loops import AsyncPool

        return AsyncPool(go, seat, board, attempts)
    from duly.worker.process import ProcessPool

    return ProcessPool(go, seat, board, attempts)


def _take_signals() -> None:
    """Only the supervisor says when to stop. Handlers, not SIG_IGN, which what a task starts would inherit."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, _nothing)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    return


def _leave_at_once() -> None:
    os._exit(1)


def _leave(status: int) -> None:
    """Leave as a program does, except that threads which tasks left behind are not waited for."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
