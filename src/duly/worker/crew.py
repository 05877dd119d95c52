"""The crew: a worker's executors, from the first start to the last burial.

The supervisor decides what is to happen to all of them (go, stop, end); what happens to each is decided here.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess

from duly.clock import Clock
from duly.errors import StoreError
from duly.job import Cancel
from duly.messages import TimeLimit
from duly.store import Store
from duly.worker import burial, link, maintenance
from duly.worker.burial import Grave
from duly.worker.child import Child
from duly.worker.link import Go, Hello, Load, Serve, Stop
from duly.worker.options import Plan, WorkerOptions
from duly.worker.reload import Watcher
from duly.worker.selection import Loop

log = logging.getLogger("duly.worker")

_TICK = 0.25  # seconds between two looks at the boards
_WEIGH = 0.5  # seconds between two looks at the memory
_BURY_AGAIN = 0.5  # seconds until a burial that the store refused is tried again
_LIVED = 30.0  # seconds; an executor that worked for so long did start well
_LONGEST_PAUSE = 30.0  # seconds between two starts of an executor that dies at once

_TERMINATED = "terminated at once, as it was revoked or cancelled with terminate=True"
_IN_VAIN = "cancelled, and killed because it did not end within worker_cancel_grace"


class Crew:
    """The executors, by slot.

    A slot is filled by a child, or by a grave (a child that died and is not written off yet), or is empty
    until the next start.
    """

    def __init__(self, options: WorkerOptions, mark: str, loop: Loop, clock: Clock) -> None:
        self.hello: Hello | None = None  # the first one; never forgotten
        self.failed_to_start: str | None = None  # why no executor ever came up
        self._options = options
        self._mark = mark
        self._loop = loop
        self._clock = clock
        self._children: dict[int, Child] = {}
        self._graves: dict[int, Grave] = {}
        self._plan: Plan | None = None
        self._time_limits: list[TimeLimit] = []  # set at run time
        self._worker: int | None = None
        self._name = options.name or "worker"
        self._lease_end = 0.0
        self._slots = 1  # executors wanted; more when the plan is known
        self._stopping = False
        self._generations = itertools.count(1)
        self._failures = 0  # starts that failed in a row
        self._not_before = 0.0  # monotonic; the next start
        self._next_burial = 0.0
        self._next_weighing = 0.0
        self._cancels: dict[tuple[str, int], float] = {}  # job, token: when its executor is killed for it
        self._culprits: dict[int, dict[str, str]] = {}  # slot: jobs it was killed for, and why
        self._watcher = Watcher(clock) if options.reload else None

    # -- starting ------------------------------------------------------------------------------------

    def start_first(self) -> None:
        self._spawn(0)

    def go(self, plan: Plan, worker: int, name: str, lease_end: float) -> None:
        """Work for this incarnation from now on."""
        self._plan, self._worker, self._name, self._lease_end = plan, worker, name, lease_end
        self._slots = plan.executors
        self._cancels.clear()
        for child in self._children.values():
            if child.hello:
                self._send_off(child)
        self.replace_the_gone()

    def replace_the_gone(self) -> None:
        """Start what is missing, unless there is a reason to wait."""
        if self._stopping or self.failed_to_start is not None:
            return
        if self._plan is None or self._worker is None or self._clock.monotonic() < self._not_before:
            return
        if self._watcher is not None and self._watcher.waiting:
            return
        for slot in range(self._slots):
            if slot not in self._children and slot not in self._graves:
                self._spawn(slot)

    def _spawn(self, slot: int) -> None:
        label = self._name.partition("@")[0]
        load = Load(
            app=self._options.app,
            store=self._options.store,
            workdir=os.getcwd(),
            loglevel=self._options.loglevel,
            logfile=self._options.logfile_of(slot + 1),
            label=f"{label}/{slot + 1}",
            logformat=self._options.logformat,
            overrides=self._options.overrides,
        )
        child = Child(slot, next(self._generations), self._mark, load, self._clock.monotonic())
        self._children[slot] = child
        self._loop.watch(child.link.fileno(), lambda: self._on_report(child))
        if child.pidfd is not None:
            self._loop.watch(child.pidfd, lambda: self._on_exit(child))
        log.debug("executor %d started, pid %d", slot + 1, child.pid)

    def _send_off(self, child: Child) -> None:
        plan = self._plan
        if plan is None or self._worker is None:
            return
        child.worker = self._worker
        child.give_board(plan.slots, self._lease_end)
        child.link.send(
            Go(
                worker=self._worker,
                name=self._name,
                slot=child.slot,
                pool=plan.pool,
                slots=plan.slots,
                queues=plan.turns_of(child.slot),
                homes=plan.homes_of(child.slot),
                poll=plan.poll,
                lease=plan.lease,
                soft_time_limit=plan.soft_time_limit,
                time_limit=plan.time_limit,
                max_tasks=plan.max_tasks,
                reload=self._options.reload,
                time_limits=self._time_limits,
            )
        )

    def change(self, plan: Plan, time_limits: list[TimeLimit]) -> None:
        """Another number of executors, other queues or time limits, from now on; what runs is finished."""
        self._plan, self._time_limits, self._slots = plan, time_limits, plan.executors
        for child in self._children.values():
            if child.slot >= self._slots and not child.leaving:
                self._tell_to_stop(child)
            elif child.worker is not None:
                child.link.send(Serve(queues=plan.turns_of(child.slot), time_limits=time_limits))

    # -- what children say ---------------------------------------------------------------------------

    def _on_report(self, child: Child) -> None:
        lines = child.link.lines()
        if lines is None:  # it is gone or about to be; its pidfd tells when
            self._loop.forget(child.link.fileno())
            return
        for line in lines:
            self._hear(child, link.reports.decode(line))

    def _hear(self, child: Child, report: link.Report) -> None:
        if isinstance(report, link.Hello):
            child.hello = True
            self.hello = self.hello or report
            if self._watcher is not None:
                self._watcher.add(report.files)
            self._send_off(child)
        elif isinstance(report, link.Files):
            if self._watcher is not None:
                self._watcher.add(report.names)
        elif self.hello is None:
            self.failed_to_start = report.text
        else:
            log.error("an executor cannot load the app any more: %s", report.text)

    # -- children that end ---------------------------------------------------------------------------

    def _on_exit(self, child: Child) -> None:
        try:
            code = child.process.wait(timeout=1)
        except subprocess.TimeoutExpired:  # cannot be: its pidfd was readable
            return
        self._hear_last_words(child)
        self._forget(child)
        resisting = child.sweep()
        if resisting:
            log.error("executor %d: %d of its processes cannot be ended", child.slot + 1, resisting)
        self._dig(child, code)
        self._judge(child, code)
        child.close()

    def _judge(self, child: Child, code: int) -> None:
        """Say how it ended, and put the next start off if it did not even come to a job."""
        if child.reason is not None or child.leaving or not code:
            return
        if child.hello:
            log.error("executor %d, pid %d: %s", child.slot + 1, child.pid, burial.describe(code))
        if not child.hello and self.hello is None:
            self.failed_to_start = self.failed_to_start or (
                f"the executor ended while it loaded {self._options.app}: {burial.describe(code)}"
            )
        elif self._clock.monotonic() - child.born > _LIVED or child.running():
            self._failures = 0
        else:
            self._put_off(child)

    def _hear_last_words(self, child: Child) -> None:
        child.link.set_nonblocking()
        lines = child.link.lines()
        for line in lines or ():
            self._hear(child, link.reports.decode(line))

    def _forget(self, child: Child) -> None:
        self._loop.forget(child.link.fileno())
        if child.pidfd is not None:
            self._loop.forget(child.pidfd)
        del self._children[child.slot]

    def _dig(self, child: Child, code: int) -> None:
        """Note what has to be written off in the store for a child that ended."""
        if child.worker is None:
            return
        running = child.running()
        now = self._clock.monotonic()
        ago = int((now - child.killed_at) * 1_000_000) if child.reason else 0
        if child.reason is None:
            text = burial.describe(code)
        elif child.reason == "memory":
            text = f"the executor used more than max_memory_per_child, {self._max_memory()} KiB"
        else:
            text = burial.killed(child.reason)
        self._graves[child.slot] = Grave(
            worker=child.worker,
            slot=child.slot,
            running=running,
            ended=child.unsettled(),
            reason=child.reason,
            died=child.killed_at if child.reason else now,
            died_at=self._clock.now() - ago,
            culprits=self._culprits.pop(child.slot, {}),
            text=text,
        )

    def _put_off(self, child: Child) -> None:
        self._failures += 1
        if self._watcher is not None and not child.hello:
            self._watcher.wait_for_change()
            log.error("waiting for the source to change")
            return
        pause = min(2.0 ** (self._failures - 1), _LONGEST_PAUSE)
        self._not_before = self._clock.monotonic() + pause
        log.error("executor %d did not start well; next try in %g s", child.slot + 1, pause)

    def bury_the_dead(self, store: Store | None) -> None:
        """Write off in the store what dead executors held."""
        if store is None or not self._graves or self._clock.monotonic() < self._next_burial:
            return
        for slot, grave in list(self._graves.items()):
            try:
                rescued = burial.bury(store, grave, self._plan.max_lost if self._plan else 1)
            except StoreError as exc:
                self._next_burial = self._clock.monotonic() + _BURY_AGAIN
                log.debug("cannot give jobs back yet: %s", exc)
                return
            del self._graves[slot]
            maintenance.report(rescued)

    # -- limits and cancellation ---------------------------------------------------------------------

    def enforce_limits(self) -> None:
        now = self._clock.monotonic()
        for child in list(self._children.values()):
            if child.pidfd is None and child.process.poll() is not None:
                self._on_exit(child)
            elif child.board is not None and 0 < child.board.earliest_deadline() <= now:
                self._kill(child, "limit", "a job passed its hard time limit")
        self._kill_the_uncooperative(now)
        if self._max_memory() is not None and now >= self._next_weighing:
            self._next_weighing = now + _WEIGH
            self._weigh()
        if self._watcher is not None and not self._stopping and self._watcher.changed():
            self._reload()

    def _weigh(self) -> None:
        """Too big: it is replaced when its job is done; still too big and busy at the next look: killed."""
        limit = self._max_memory() or 0
        for child in list(self._children.values()):
            if child.board is None or child.rss() <= limit * 1024:
                continue
            if not child.leaving:
                log.warning("executor %d uses more than %d KiB; it is replaced", child.slot + 1, limit)
                self._tell_to_stop(child)
            elif child.running():
                self._kill(child, "memory", f"it uses more than {limit} KiB")

    def _max_memory(self) -> int | None:
        return self._plan.max_memory if self._plan is not None else None

    def forward_cancels(self, cancels: list[Cancel]) -> None:
        """Tell executors which of their jobs were asked to stop; each once."""
        now = self._clock.monotonic()
        grace = self._plan.cancel_grace if self._plan is not None else 0.0
        for cancel in cancels:
            attempt = (cancel.id, cancel.token)
            known = attempt in self._cancels
            if cancel.terminate:
                self._cancels[attempt] = 0.0
            elif not known:
                self._cancels[attempt] = now + grace
            child = self._children.get(cancel.slot)
            if child is not None and not known:
                child.link.send(link.Cancel(cancel.id, cancel.token))
        asked = {(cancel.id, cancel.token) for cancel in cancels}
        for attempt in self._cancels.keys() - asked:
            del self._cancels[attempt]
        self._kill_the_uncooperative(now)

    def _kill_the_uncooperative(self, now: float) -> None:
        late = {attempt: when for attempt, when in self._cancels.items() if when <= now}
        if not late:
            return
        for child in list(self._children.values()):
            leases = [running.lease for running in child.running()]
            ends = {lease.id: late[lease.id, lease.token] for lease in leases if (lease.id, lease.token) in late}
            if ends:
                self._culprits[child.slot] = {id: _TERMINATED if not when else _IN_VAIN for id, when in ends.items()}
                told = all(not when for when in ends.values())
                self._kill(child, "cancel", "a job was terminated" if told else "a cancelled job did not end in time")

    # -- ending --------------------------------------------------------------------------------------

    def hold_until(self, end: float) -> None:
        """Show the executors until when the lease certainly holds."""
        if end == self._lease_end:
            return
        self._lease_end = end
        for child in self._children.values():
            if child.board is not None:
                child.board.hold_until(end)

    def stop_all(self) -> None:
        self._stopping = True
        for child in self._children.values():
            self._tell_to_stop(child)

    def kill_all(self, reason: str) -> None:
        """End every executor now. With reason "fence" new ones are started for the next incarnation."""
        if reason == "fence":
            self._worker = None
        else:
            self._stopping = True
        for child in list(self._children.values()):
            child.kill(reason, self._clock.monotonic())
            self._on_exit(child)

    def dump_stacks(self) -> None:
        """Have every executor write the stacks of its threads to standard error. From a signal handler."""
        for child in list(self._children.values()):
            if child.hello:
                child.process.send_signal(signal.SIGUSR1)

    def is_empty(self) -> bool:
        """Nobody runs and everybody is written off."""
        return not self._children and not self._graves

    def has_children(self) -> bool:
        return bool(self._children)

    def pids(self) -> list[int]:
        return [child.pid for _, child in sorted(self._children.items())]

    def running(self) -> int:
        """How many jobs run."""
        return sum(len(child.running()) for child in self._children.values())

    def is_busy(self) -> bool:
        return any(child.running() for child in self._children.values())

    def next_timer(self) -> float:
        """Seconds until limits, graves or starts have to be looked at."""
        now = self._clock.monotonic()
        timeout = _TICK
        for child in self._children.values():
            deadline = child.board.earliest_deadline() if child.board is not None else 0.0
            if deadline:
                timeout = min(timeout, deadline - now)
        return timeout

    def _tell_to_stop(self, child: Child) -> None:
        child.leaving = True
        child.link.send(Stop())

    def _kill(self, child: Child, reason: str, why: str) -> None:
        log.warning("executor %d, pid %d, is killed: %s", child.slot + 1, child.pid, why)
        child.kill(reason, self._clock.monotonic())
        self._on_exit(child)

    def _reload(self) -> None:
        log.warning("source files changed: executors are restarted")
        self._failures, self._not_before = 0, 0.0
        for child in self._children.values():
            if not child.leaving:
                self._tell_to_stop(child)
