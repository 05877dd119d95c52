"""The process of gateways as its supervisor sees it: started if the app has a broker, and again whenever it dies."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys

import msgspec

from duly.clock import Clock
from duly.worker import proctree
from duly.worker.gatekeeper import NEVER_AGAIN, PATIENCE, Post
from duly.worker.link import Load
from duly.worker.options import WorkerOptions

log = logging.getLogger("duly.worker")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before it is started again


class GatewayChild:
    """One worker's gateways. The supervisor's loop calls :meth:`tend` whenever it turns."""

    def __init__(self, options: WorkerOptions, mark: str, label: str, clock: Clock) -> None:
        """``label``: the worker's name."""
        self._options = options
        self._mark = mark
        self._label = label
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._serves: tuple[str, ...] = ()  # what the process was told
        self._given_up = False
        self._pause = _FIRST_PAUSE
        self._start_at = 0.0  # monotonic
        self._started_at = 0.0

    def tend(self, queues: tuple[str, ...]) -> None:
        """See to it that a process takes in what comes for these queues."""
        now = self._clock.monotonic()
        process = self._process
        if process is not None:
            if (status := process.poll()) is not None:
                self._died(status, now)
            elif queues != self._serves:
                self._tell(queues)
                self._serves = queues
        if self._process is None and not self._given_up and now >= self._start_at:
            self._start(queues, now)

    def next_timer(self) -> float:
        """Seconds until :meth:`tend` has something to do."""
        return max(self._start_at - self._clock.monotonic(), 0.0) if self._waits() else 1.0

    def stop(self) -> None:
        """Take nothing more; what still runs is answered. Returns at once; :meth:`close` waits."""
        self._given_up = True
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)

    def close(self) -> None:
        process = self._process
        if process is None:
            return
        self._close_orders()
        self._process = None
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE + 1.0)
        process.kill()
        process.wait()

    def _waits(self) -> bool:
        return self._process is None and not self._given_up

    def _start(self, queues: tuple[str, ...], now: float) -> None:
        load = Load(
            app=self._options.app,
            store=self._options.store,
            workdir=os.getcwd(),
            loglevel=self._options.loglevel,
            logfile=self._options.logfile_of(0),
            label=f"{self._label}/gateway",
            logformat=self._options.logformat,
            overrides=self._options.overrides,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "duly.worker.gatekeeper", str(os.getpid())],
            stdin=subprocess.PIPE,
            bufsize=0,
            env=os.environ | {proctree.WORKER_MARK: self._mark},
            start_new_session=True,
        )
        self._tell(Post(load=load, queues=queues, node=f"{self._label}@{socket.gethostname()}"))
        self._serves, self._started_at = queues, now
        log.debug("gateways started, pid %d", self._process.pid)

    def _close_orders(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _tell(self, what: object) -> None:
        """A line; that it died is seen when it is looked at next."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(what) + b"\n")

    def _died(self, status: int, now: float) -> None:
        self._close_orders()
        self._process = None
        if self._given_up:  # it was told to
            return
        if status == NEVER_AGAIN:
            self._given_up = True
            return
        if now - self._started_at > _LONGEST_PAUSE:
            self._pause = _FIRST_PAUSE
        log.error("the process of gateways ended (%d); it is started again in %g s", status, self._pause)
        self._start_at = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
