"""The supervisor: starts executors, watches them, and answers for their jobs. It imports no user code.

Everything happens in the main thread's loop, which sleeps until a child, a signal, the heartbeat or a timer
wakes it; only renewals (``heartbeat.py``) and housekeeping (``maintenance.py``) have threads of their own.

What can go wrong: the store may not answer (the executors are ended before the lease can lapse, and a new
incarnation starts when it does), an executor may die at any moment (its jobs are given back at once), this
process may be killed (the kernel and the guardian end the executors and what they started), or frozen (the
executors end themselves when the lease runs out, or their outcomes are refused).
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable
from types import FrameType

from duly import builtin, celery_settings
from duly import store as stores
from duly.clock import MICROS, SYSTEM, Clock
from duly.control import purge
from duly.errors import ConfigError, StoreError
from duly.job import WorkerInfo
from duly.store import Listener, Store
from duly.worker import guardian, logs, presence, proctree, systemd
from duly.worker.autoscale import Autoscale
from duly.worker.crew import Crew
from duly.worker.desk import Desk
from duly.worker.gateways import GatewayChild
from duly.worker.heartbeat import Heartbeat
from duly.worker.maintenance import Maintenance, Terms
from duly.worker.options import Plan, ReadyInfo, WorkerOptions, plan_of
from duly.worker.selection import Loop

log = logging.getLogger("duly.worker")

_RETRY_STORE = 0.5  # seconds between attempts to register again
_WARM = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(options: WorkerOptions, on_ready: Callable[[ReadyInfo], None] | None = None, clock: Clock = SYSTEM) -> int:
    """Be a worker until told to stop; gives the exit status. Call it from the main thread.

    0: everything that ran was finished. 1: work was cut short, or the worker could not start (the log says
    why). Raises ConfigError for wrong options, before anything is started.
    """
    return Supervisor(options, on_ready, clock).run()


class Supervisor:
    """One worker.

    1. ``run`` forks the guardian and starts the first executor, which imports the app and says what it holds.
    2. Now the store is known: the incarnation registers, threads start, the other executors follow.
    3. The loop: children that die are buried and replaced, limits enforced, cancellations forwarded. When the
       lease is lost, everything is ended and a new incarnation begins.
    4. A signal stops it, warm or cold; it unregisters and returns.
    """

    def __init__(self, options: WorkerOptions, on_ready: Callable[[ReadyInfo], None] | None, clock: Clock) -> None:
        self._options = options
        self._on_ready = on_ready
        self._clock = clock
        self._loop = Loop(clock)
        self._mark = os.urandom(8).hex()
        self._crew = Crew(options, self._mark, self._loop, clock)
        self._plan: Plan | None = None  # known after the first hello
        self._store: Store | None = None
        self._heartbeat: Heartbeat | None = None
        self._maintenance: Maintenance | None = None
        self._control: Listener | None = None
        self._desk: Desk | None = None
        self._gateways: GatewayChild | None = None  # if the app has a broker
        self._name = options.name or ""
        self._worker: int | None = None  # the incarnation; None before the first and between two
        self._old: int | None = None  # the one before, until its jobs are written off
        self._try_register = 0.0  # monotonic
        self._said_lost = False
        self._stops = 0  # how often it was told to stop; 2: cold
        self._status = 0
        self._next_watchdog = 0.0

    def run(self) -> int:
        told = self._options
        logs.configure(told.loglevel, told.logfile_of(0), self._name or "worker", told.logformat)
        _enter(self._options.workdir)
        _, lifeline = guardian.start(f"{proctree.WORKER_MARK}={self._mark}")
        previous = self._take_signals()
        try:
            self._crew.start_first()
            while not self._finished():
                self._loop.turn(self._next_timer())
                self._step()
            self._leave()
        finally:
            self._crew.kill_all("cold")
            if self._gateways is not None:
                self._gateways.close()
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(-1)
            os.close(lifeline)
        return self._status

    # -- the loop's steps ----------------------------------------------------------------------------

    def _step(self) -> None:
        if self._plan is None:
            self._begin_when_loaded()
        self._guard_lease()
        self._crew.enforce_limits()
        self._crew.bury_the_dead(self._store)
        self._forward_cancels()
        self._read_messages()
        if self._worker is None and self._plan is not None and not self._stops:
            self._register_again()
        self._crew.replace_the_gone()
        if self._gateways is not None and self._plan is not None:
            self._gateways.tend(self._plan.queues)
        self._ping_watchdog()

    def _finished(self) -> bool:
        if self._crew.failed_to_start is not None and not self._stops:
            log.error("%s", self._crew.failed_to_start)
            self._status = 1
            return True
        if not self._stops or self._crew.has_children():
            return False
        return self._stops > 1 or self._worker is None or self._crew.is_empty()

    def _next_timer(self) -> float:
        """Seconds until something has to be looked at even if nothing wakes the loop."""
        timeout = self._crew.next_timer()
        if self._heartbeat is not None and self._worker is not None:
            timeout = min(timeout, self._heartbeat.end - self._clock.monotonic())
        if self._gateways is not None:
            timeout = min(timeout, self._gateways.next_timer())
        return max(timeout, 0.0)

    # -- beginning -----------------------------------------------------------------------------------

    def _begin_when_loaded(self) -> None:
        hello = self._crew.hello
        if hello is None or self._stops:
            return
        try:
            self._plan = plan = plan_of(self._options, hello)
            self._open(plan)
        except (StoreError, ConfigError) as exc:
            log.error("%s", exc)
            self._status, self._stops = 1, 2
            self._crew.kill_all("cold")
            return
        _say_what_has_no_effect(hello.conf)
        if self._on_ready is not None:
            self._on_ready(self._ready_info(plan))
        systemd.notify("READY=1")

    def _open(self, plan: Plan) -> None:
        self._store = stores.open(plan.store)
        if self._options.purge:
            log.warning("purged %d waiting jobs of %s", purge(self._store, plan.queues), ", ".join(plan.queues))
        self._name = self._options.name or self._free_name(self._store)
        self._heartbeat = Heartbeat(stores.open(plan.store), plan.lease, self._clock, self._loop.poke)
        scale = Autoscale(*self._options.autoscale, self._clock) if self._options.autoscale else None
        self._desk = Desk(self._store, self._crew, plan, self._clock, lambda: self._stop(1), scale)
        self._desk.take_time_limits()
        self._store.declare_limits(plan.tasks, self._crew.hello.limits if self._crew.hello else [])
        self._register(plan)
        self._heartbeat.start()
        terms = self._terms(plan)
        self._maintenance = Maintenance(stores.open(plan.store), terms, self._clock)
        self._maintenance.start()
        self._control = self._store.listen("control")
        self._loop.watch(self._control.fileno(), self._on_control)
        if self._crew.hello is not None and self._crew.hello.broker:
            self._gateways = GatewayChild(self._options, self._mark, self._name, self._clock)

    def _terms(self, plan: Plan) -> Terms:
        assert self._crew.hello is not None
        hello = self._crew.hello
        return Terms(
            lease=plan.lease,
            max_lost=plan.max_lost,
            keep=plan.keep,
            keep_failed=plan.keep_failed,
            app=hello.app,
            schedules=hello.schedules,
        )

    def _register(self, plan: Plan) -> None:
        """A new incarnation, and executors to work for it."""
        assert self._store is not None
        assert self._heartbeat is not None
        begun = self._clock.monotonic()
        self._worker = self._store.register(self._worker_info(plan), int(plan.lease * MICROS))
        while not self._options.name and self._is_second(self._store, self._worker):
            self._store.unregister(self._worker)
            self._name = self._free_name(self._store)
            self._worker = self._store.register(self._worker_info(plan), int(plan.lease * MICROS))
        logs.rename(self._name)
        self._heartbeat.adopt(self._worker, begun)
        self._crew.go(plan, self._worker, f"{self._name}@{socket.gethostname()}", self._heartbeat.end)

    def _worker_info(self, plan: Plan) -> WorkerInfo:
        assert self._store is not None
        return WorkerInfo(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            boot=presence.namespace(),
            born=proctree.birth(os.getpid()),
            mark=self._mark,
            queues=plan.queues,
            pool=plan.pool,
            slots=plan.concurrency,
            tasks=plan.tasks,
            version=importlib.metadata.version("duly"),
            started=self._store.now(),
        )

    @staticmethod
    def _free_name(store: Store) -> str:
        taken = {worker.name for worker in _neighbours(store)}
        names = ("worker" if n == 1 else f"worker{n}" for n in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def _is_second(self, store: Store, worker: int) -> bool:
        """Whether somebody who looked for a free name at the same time has registered this one before."""
        return any(other.name == self._name and other.id < worker for other in _neighbours(store))

    def _ready_info(self, plan: Plan) -> ReadyInfo:
        assert self._store is not None
        return ReadyInfo(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=importlib.metadata.version("duly"),
            app=self._options.app,
            store=plan.store,
            durability=self._store.durability,
            broker=self._crew.hello.conf.get("broker_url") if self._crew.hello else None,
            queues=plan.queues,
            weights=plan.weights,
            reserve=plan.reserve,
            pool=plan.pool,
            concurrency=plan.concurrency,
            tasks=tuple(name for name in plan.tasks if name not in builtin.NAMES),
            lease=plan.lease,
        )

    # -- the lease -----------------------------------------------------------------------------------

    def _guard_lease(self) -> None:
        """End the executors when the lease is lost, or is about to be."""
        heartbeat = self._heartbeat
        if heartbeat is None or self._worker is None:
            return
        if heartbeat.lost:
            self._fence("the worker's lease had lapsed and its jobs were given to others; starting anew")
        elif self._clock.monotonic() >= heartbeat.end:
            self._fence("the worker's lease could not be renewed in time; its jobs are ended, others may run them")
        else:
            self._crew.hold_until(heartbeat.end)

    def _fence(self, why: str) -> None:
        log.error("%s", why)
        assert self._heartbeat is not None
        self._heartbeat.drop()
        self._old, self._worker = self._worker, None
        self._crew.kill_all("fence")
        self._try_register = 0.0

    def _register_again(self) -> None:
        """After a fence: write the old incarnation off and begin a new one, as soon as the store answers."""
        now = self._clock.monotonic()
        if now < self._try_register or not self._crew.is_empty() or self._store is None or self._plan is None:
            return
        try:
            if self._old is not None:
                self._store.unregister(self._old)
                self._old = None
            self._register(self._plan)
        except StoreError as exc:
            self._try_register = now + _RETRY_STORE
            log.debug("cannot register yet: %s", exc)

    def _forward_cancels(self) -> None:
        if self._heartbeat is not None and self._worker is not None:
            self._crew.forward_cancels(self._heartbeat.cancels)

    def _read_messages(self) -> None:
        if self._desk is None or self._heartbeat is None or self._worker is None or self._stops:
            return
        self._desk.look(self._worker, self._heartbeat.renewed)
        self._desk.scale(self._worker)
        self._plan = self._desk.plan

    def _on_control(self) -> None:
        assert self._control is not None
        self._control.wait(0)
        if self._desk is not None:
            self._desk.hurry()
        if self._heartbeat is not None:
            self._heartbeat.hurry()

    # -- signals and the end -------------------------------------------------------------------------

    def _take_signals(self) -> dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None]:
        previous = {number: signal.getsignal(number) for number in (*_WARM, signal.SIGQUIT, signal.SIGUSR1)}
        signal.set_wakeup_fd(self._loop.wake_fd, warn_on_full_buffer=False)
        for number in _WARM:
            if number == signal.SIGHUP and previous[number] == signal.SIG_IGN:  # started by nohup
                continue
            signal.signal(number, lambda *_: self._stop(self._stops + 1))
        signal.signal(signal.SIGQUIT, lambda *_: self._stop(2))
        signal.signal(signal.SIGUSR1, lambda *_: self._crew.dump_stacks())
        return previous

    def _stop(self, stops: int) -> None:
        """From a signal handler: only notes; the loop, which is awake now, acts in :meth:`_step`."""
        self._loop.soon(lambda: self._act_on_stop(stops))

    def _act_on_stop(self, stops: int) -> None:
        if stops <= self._stops:
            return
        self._stops = stops
        systemd.notify("STOPPING=1")
        if self._gateways is not None:
            self._gateways.stop()
        if stops == 1:
            log.warning("stopping: running jobs are finished; a second signal gives them back and leaves at once")
            self._crew.stop_all()
            return
        log.warning("leaving at once: running jobs are given back")
        self._status = self._status or int(self._crew.is_busy())
        self._crew.kill_all("cold")

    def _leave(self) -> None:
        if self._maintenance is not None:
            self._maintenance.close()
        if self._heartbeat is not None:
            self._heartbeat.drop()
            self._heartbeat.close()
        worker = self._worker if self._worker is not None else self._old
        if self._store is None or worker is None:
            return
        try:
            self._crew.bury_the_dead(self._store)
            self._store.unregister(worker)
        except StoreError as exc:
            log.warning("could not unregister: %s; others find out when the lease lapses", exc)
        if self._control is not None:
            self._control.close()
        self._store.close()

    def _ping_watchdog(self) -> None:
        interval = systemd.watchdog_interval()
        now = self._clock.monotonic()
        if interval is not None and self._plan is not None and now >= self._next_watchdog:
            self._next_watchdog = now + interval
            systemd.notify("WATCHDOG=1")


def _say_what_has_no_effect(conf: Iterable[str]) -> None:
    """Of the settings that a Celery configuration brings along."""
    names = sorted(name for name in conf if celery_settings.reason(name) is not None)
    if names:
        log.warning("settings without effect here: %s; duly config check says why", ", ".join(names))


def _neighbours(store: Store) -> list[WorkerInfo]:
    """The live workers of this host."""
    now, host = store.now(), socket.gethostname()
    return [
        worker
        for worker in store.workers()
        if worker.host == host and worker.expires > now and not presence.is_gone(worker)
    ]


def _enter(folder: str | None) -> None:
    """Make this the working directory, of which relative paths and the app's module are looked for."""
    try:
        os.chdir(folder or ".")
    except OSError as exc:
        raise ConfigError(f"working directory {folder!r}: {exc.strerror}") from None
