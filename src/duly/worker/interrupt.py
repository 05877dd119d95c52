"""Interrupting a running task: the soft time limit and cancellation.

A *guard* belongs to the thread (or coroutine) that runs a task. It is armed with the lease while user code runs
and raises at most one exception into it; who swallows that one is killed later by the supervisor.

An interruption may be on its way when the task ends. So it is aimed at a job, not at a thread, and one that
comes too late is dropped.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import asyncio
import contextvars
import ctypes
import heapq
import logging
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Literal

from duly.errors import JobCancelled, SoftTimeLimitExceeded
from duly.job import Lease

log = logging.getLogger("duly.worker")

Reason = Literal["cancel", "soft"]

_FOR_THE_SUPERVISOR = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # handled by the executor
_getsignal = _signal.getsignal  # what signal.getsignal calls, which then looks for an enum member for 9 µs
_EARLY = 0.01  # seconds; what comes earlier than that before a soft limit is an alarm of the task's own


def exception_for(reason: Reason) -> Exception:
    if reason == "cancel":
        return JobCancelled("the job was asked to cancel")
    return SoftTimeLimitExceeded("the soft time limit passed")


class Guard:
    """What every guard does; the kinds differ in how they raise."""

    def __init__(self) -> None:
        self.lease: Lease | None = None  # of the job whose user code runs now
        self.reason: Reason | None = None  # why it was interrupted, if it was
        self.asks = False  # the task asks itself whether it is cancelled, and is not interrupted for that
        self._task: asyncio.Task[Any] | None = None  # of a job that is a coroutine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: asyncio.Runner | None = None
        self._driving = False  # the loop runs: an exception must not be raised in it, only its task cancelled

    def disarm(self) -> None:
        """User code is over: no exception arrives any more. Called first of all when it ends or raises."""
        self.lease = None

    def alarm(self, seconds: float) -> None:
        """Interrupt the job after this time, unless :meth:`calm` comes first."""
        raise NotImplementedError

    def calm(self) -> None:
        raise NotImplementedError

    def cancel(self, job: str, token: int) -> None:
        """Interrupt this attempt of ``job`` if it is what runs. From any thread."""
        raise NotImplementedError

    def runs(self, job: str, token: int) -> bool:
        """Whether the user code of this attempt is what runs."""
        lease = self.lease
        return lease is not None and lease.id == job and lease.token == token

    def take_reason(self) -> Reason | None:
        """Why the job was interrupted; the guard is then ready for the next."""
        reason, self.reason = self.reason, None
        return reason

    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end on this thread's own loop, which lives as long as the thread."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            self._enter_loop()
            return self._runner.run(self._tracked(coroutine), context=contextvars.copy_context())
        except BaseException as exc:
            # These two tear through the loop, which may not be whole any more; or the task stopped it, and is left in
            # it half done.
            if isinstance(exc, SystemExit | KeyboardInterrupt) or self._task is not None:
                runner, self._runner, self._task = self._runner, None, None
                runner.close()
            raise
        finally:
            self._driving = False

    def _enter_loop(self) -> None:
        """From here on the job is interrupted by cancelling its task."""
        self._driving = True

    async def _tracked(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        try:
            if self.reason is not None:  # interrupted before there was a task
                coroutine.close()
                raise asyncio.CancelledError
            return await coroutine
        finally:
            self._task = None

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()

    def _cancel_task(self) -> bool:
        """Interrupt a coroutine, at its beginning if it has not begun; False if the job is not one."""
        if not self._driving:
            return False
        task, loop = self._task, self._loop
        if task is not None and loop is not None:
            loop.call_soon_threadsafe(task.cancel)
        return True


class SignalGuard(Guard):
    """Of a process's main thread: by signals, which also end system calls that wait."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = ("", 0)  # job and token of the attempt to cancel
        self._main = threading.get_ident()
        self._alarm_at: float | None = None  # monotonic
        ours: dict[int, Callable[[int, FrameType | None], None]]
        ours = {signal.SIGUSR2: self._on_cancel, signal.SIGALRM: self._on_alarm}
        for number, handler in ours.items():
            signal.signal(number, handler)
        self._handlers = {number: _getsignal(number) for number in (*ours, *_FOR_THE_SUPERVISOR)}

    def restore(self) -> None:
        """Take back what tasks did to the signals that matter here, and an alarm they left. Between jobs."""
        for number, handler in self._handlers.items():
            if _getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def alarm(self, seconds: float) -> None:
        self._alarm_at = time.monotonic() + seconds
        signal.signal(signal.SIGALRM, self._handlers[signal.SIGALRM])  # a task of this batch may have changed it
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def calm(self) -> None:
        self._alarm_at = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def cancel(self, job: str, token: int) -> None:
        if self.runs(job, token) and not self.asks:
            if _getsignal(signal.SIGUSR2) is not self._handlers[signal.SIGUSR2]:
                return  # the task has taken the signal for itself; it is killed when the grace is over
            self._wanted = (job, token)
            signal.pthread_kill(self._main, signal.SIGUSR2)

    def _on_cancel(self, _number: int, _frame: FrameType | None) -> None:
        if self.runs(*self._wanted):
            self._interrupt("cancel")

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if self.lease is None or self._alarm_at is None:  # one that a task has set
            return
        left = self._alarm_at - time.monotonic()
        if left > _EARLY:
            signal.setitimer(signal.ITIMER_REAL, left)
        else:
            self._interrupt("soft")

    def _interrupt(self, reason: Reason) -> None:
        self.lease, self.reason = None, reason
        if not self._cancel_task():
            raise exception_for(reason)


class _Withdrawn(BaseException):
    """Arrives instead of an interruption that is withdrawn."""


class ThreadGuard(Guard):
    """Of a thread of a pool: by an asynchronous exception, which comes at the next bytecode.

    The exception carries no message, because only its class can be raised this way.
    """

    def __init__(self, alarms: Alarms) -> None:
        super().__init__()
        self._alarms = alarms
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._alarm: Alarm | None = None
        self._pending = False  # an exception was sent and may not have arrived

    def disarm(self) -> None:
        while True:
            try:
                with self._lock:
                    self.lease = None
                    if self._pending:
                        self._withdraw()
                return
            except (JobCancelled, SoftTimeLimitExceeded):  # it arrived while it was being called back
                continue

    def _enter_loop(self) -> None:
        with self._lock:
            self._driving = True
            if not self._pending:
                return
            self._withdraw()
        assert self.reason is not None
        raise exception_for(self.reason)

    def _withdraw(self) -> None:
        """Let what was sent to this thread, which calls this, not arrive any more. Raises it if it arrives first.

        Another exception takes its place and arrives here. Sending none (NULL) would do for the thread, but until
        one arrives CPython 3.11 and 3.12 look for it at every call of every thread, and never get on where something
        traces or profiles.
        """
        try:
            self._send(_Withdrawn)
            while True:  # it comes at the next bytecode
                pass
        except _Withdrawn:
            self._pending = False

    def _send(self, kind: type[BaseException]) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(kind))

    def alarm(self, seconds: float) -> None:
        lease = self.lease
        assert lease is not None
        self._alarm = self._alarms.set(seconds, lambda: self._interrupt(lease.id, lease.token, "soft"))

    def calm(self) -> None:
        if self._alarm is not None:
            self._alarm.call = None
            self._alarm = None

    def cancel(self, job: str, token: int) -> None:
        if not self.asks:
            self._interrupt(job, token, "cancel")

    def _interrupt(self, job: str, token: int, reason: Reason) -> None:
        with self._lock:
            if not self.runs(job, token) or self.reason is not None:
                return
            self.reason = reason
            if self._cancel_task():
                return
            self._pending = True
            self._send(type(exception_for(reason)))


class Alarm:
    """One alarm that is set; ``call`` None: it was taken back."""

    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Callable[[], None] | None) -> None:
        self.at = at
        self.call = call

    def __lt__(self, other: Alarm) -> bool:
        return self.at < other.at


class Alarms:
    """A thread that calls back at given times; started with the first alarm."""

    def __init__(self) -> None:
        self._heap: list[Alarm] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def set(self, seconds: float, call: Callable[[], None]) -> Alarm:
        alarm = Alarm(time.monotonic() + seconds, call)
        with self._changed:
            heapq.heappush(self._heap, alarm)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
                self._thread.start()
        return alarm

    def _run(self) -> None:
        while True:
            call = self._next()
            if call is not None:
                try:
                    call()
                except Exception:  # a mistake of duly's own; the other alarms are still needed
                    log.exception("a soft time limit could not be enforced")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._heap:
                self._changed.wait()
            left = self._heap[0].at - time.monotonic()
            if left > 0:
                self._changed.wait(left)
                return None
            return heapq.heappop(self._heap).call
