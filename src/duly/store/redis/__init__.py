"""The store on a Redis server (6.2 and later), a cluster, or Valkey.

``lua/keys.lua`` has the keys and the layout of records; each other file there is one call. ``server.py`` has the
connection and its faults; ``packing.py`` the records; ``running.py`` the hot path; the rest of the contract is in
``workers.py``, ``managing.py``, ``looking.py``, ``messaging.py``, ``recurring.py`` and ``syncing.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cached_property

from duly.clock import MICROS, SYSTEM, Clock
from duly.errors import StaleLease, StoreUnavailable
from duly.job import (
    COUNT_CAP,
    Advance,
    Answer,
    Attempt,
    Cancel,
    Change,
    Enqueued,
    Exchange,
    Filter,
    Gate,
    GateView,
    Job,
    JobView,
    Lease,
    Limit,
    Occurrence,
    Outcome,
    Page,
    QueueCount,
    Renewal,
    Rescued,
    Result,
    Schedule,
    WorkerInfo,
)
from duly.messages import Action, Control, Finding, Lane, OnLate, Reply, Rollup, Synced, TimeLimit
from duly.passwords import hidden
from duly.store.contract import Channel, Listener, Order
from duly.store.redis import examining, looking, managing, messaging, recurring, storing, syncing, workers
from duly.store.redis.moving import Moves
from duly.store.redis.packing import blob, ref_of, token_of
from duly.store.redis.running import Running
from duly.store.redis.seat_listener import SeatListener
from duly.store.redis.server import Server
from duly.store.redis.url import parse
from duly.store.redis.wake import WakeListener

_MINUTE = 60 * MICROS


class RedisStore:
    """A store on a Redis server, for any number of processes of any number of hosts (see ``contract.Store``).

    1. Made from a URL; nothing is touched yet.
    2. The first call connects.
    3. ``close`` lets go; a later call connects again.
    """

    capabilities = frozenset[str]()

    def __init__(self, url: str, clock: Clock = SYSTEM, create: bool = True) -> None:
        self.url = hidden(url)
        self._server = Server(parse(url), clock, create)
        self._running = Running(self._server)
        self._names = workers.Names(self._server)
        self.now = self._server.now

    @cached_property
    def durability(self) -> str:
        """What the server's settings promise; asked once."""
        return examining.durability(self._server)[0]

    # -- producing -------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job], gates: Sequence[Gate] = ()) -> list[Enqueued]:
        return storing.enqueue(self._server, jobs, gates)

    # -- running: the hot path -------------------------------------------------------------------

    def exchange(
        self,
        worker: int,
        slot: int,
        outcomes: Sequence[Outcome],
        want: int,
        queues: Sequence[str],
        expect: bool = False,
    ) -> Exchange:
        return self._running.exchange(worker, slot, outcomes, want, queues, expect)

    def next_due(self, queues: Sequence[str]) -> int | None:
        due: int | None = self._server.call("next_due", queues)[0]
        return due

    def listen_as_seat(self, worker: int, slot: int) -> SeatListener:
        return SeatListener(self._server, self._running, worker, slot)

    def save_progress(self, lease: Lease, progress: bytes) -> bool:
        return bool(self._server.call("note", "progress", ref_of(lease.ref), token_of(lease), blob(progress))[0])

    def save_log(self, lease: Lease, log: bytes) -> bool:
        return bool(self._server.call("note", "log", ref_of(lease.ref), token_of(lease), blob(log))[0])

    def load_effect(self, lease: Lease, key: str) -> bytes | None:
        name = f"{self._server.place.prefix}:effects:{ref_of(lease.ref)}"
        value: bytes | None = self._server.command("HGET", name, key)
        return value

    def save_effect(self, lease: Lease, key: str, value: bytes) -> None:
        if not self._server.call("note", "effect", ref_of(lease.ref), token_of(lease), key, blob(value))[0]:
            raise StaleLease(f"job {lease.id}: attempt {lease.attempt} lost its lease; effect {key!r} not recorded")

    # -- liveness --------------------------------------------------------------------------------

    def register(self, worker: WorkerInfo, lease: int) -> int:
        return workers.register(self._server, worker, lease)

    def renew(self, worker: int, lease: int) -> Renewal:
        alive, asked = self._server.call("renew", worker, lease)
        cancels = [Cancel(id.decode(), slot, int(token, 16), how > 1) for id, slot, token, how in asked]
        return Renewal(bool(alive), cancels)

    def unregister(self, worker: int) -> None:
        self._server.call("leave", worker)

    def abandon(self, worker: int, slot: int, started: Sequence[str], error: bytes, max_lost: int) -> list[Rescued]:
        (found,) = self._server.call("abandon", worker, slot, started, blob(error), max_lost, repeat=False)
        return workers.rescued_of(found)

    def rescue(self, max_lost: int, dead: Sequence[int] = (), lapsed: bool = True) -> list[Rescued]:
        return workers.rescue(self._server, max_lost, dead, lapsed)

    def workers(self) -> list[WorkerInfo]:
        return workers.workers(self._server)

    def update_worker(self, worker: int, queues: Sequence[str], slots: int) -> None:
        workers.update(self._server, worker, queues, slots)

    # -- managing --------------------------------------------------------------------------------

    def cancel(self, which: Filter, terminate: bool = False) -> list[Answer]:
        return managing.act(self._server, "cancel", which, 2 if terminate else 1)

    def move(self, which: Filter, change: Change) -> list[Answer]:
        new = (change.due, blob(change.args), change.queue, change.priority)
        return managing.act(self._server, "move", which, *(False if value is None else value for value in new))

    def retry(self, which: Filter) -> list[Answer]:
        return managing.act(self._server, "retry", which)

    def forget(self, ids: Sequence[str]) -> int:
        return managing.forget(self._server, ids)

    def prune(self, before: int, failed_before: int, limit: int) -> int:
        self._names.forget()
        return managing.prune(self._server, before, failed_before, limit)

    def sync(self, namespace: str, jobs: Sequence[Job], late: OnLate = "run") -> list[Synced]:
        return syncing.sync(self._server, namespace, jobs, late)

    # -- messages --------------------------------------------------------------------------------

    def unanswered(self, limit: int) -> list[JobView]:
        return looking.unanswered(self._server, self._names, limit)

    def answered(self, jobs: Sequence[JobView]) -> None:
        managing.answered(self._server, jobs)

    def send_control(self, workers: Sequence[int], method: str, args: bytes, ttl: int) -> list[int]:
        ids: list[int] = self._server.call("send_control", workers, method, blob(args), ttl, repeat=False)[0]
        return ids

    def controls(self, worker: int) -> list[Control]:
        return messaging.controls(self._server, worker)

    def answer_control(self, id: int, reply: bytes) -> None:
        self._server.call("answer_control", id, blob(reply))

    def control_replies(self, ids: Sequence[int]) -> list[Reply]:
        return messaging.replies(self._server, ids)

    # -- the audit trail -------------------------------------------------------------------------

    def record_action(self, action: Action) -> int:
        return messaging.record_action(self._server, action)

    def actions(self, before: int | None = None, limit: int = 100) -> list[Action]:
        return messaging.actions(self._server, before, limit)

    # -- limits and pauses -----------------------------------------------------------------------

    def set_limit(self, limit: Limit) -> None:
        messaging.set_limit(self._server, limit)

    def unset_limit(self, scope: str, name: str) -> bool:
        return messaging.unset_limit(self._server, scope, name)

    def declare_limits(self, tasks: Sequence[str], limits: Sequence[Limit]) -> None:
        messaging.declare_limits(self._server, tasks, limits)

    def limits(self) -> list[Limit]:
        return messaging.limits(self._server)

    def pause(self, queue: str) -> None:
        self._server.call("change_rules", "pause", queue)

    def resume(self, queue: str) -> bool:
        return bool(self._server.call("change_rules", "resume", queue)[0])

    def paused(self) -> dict[str, int]:
        return messaging.paused(self._server)

    def set_time_limit(self, limit: TimeLimit) -> None:
        messaging.set_time_limit(self._server, limit)
        self.notify("control")

    def time_limits(self) -> list[TimeLimit]:
        return messaging.time_limits(self._server)

    # -- recurring work --------------------------------------------------------------------------

    def declare_schedules(self, owner: str, schedules: Sequence[Schedule]) -> None:
        recurring.declare(self._server, owner, schedules)

    def put_schedule(self, schedule: Schedule) -> None:
        recurring.put(self._server, schedule)

    def remove_schedule(self, name: str) -> bool:
        return recurring.remove(self._server, name)

    def pause_schedule(self, name: str) -> bool:
        return recurring.pause(self._server, name)

    def resume_schedule(self, seen: Schedule, next: int | None) -> bool:  # noqa: A002 - the field's name
        return recurring.resume(self._server, seen, next)

    def schedules(self, names: Sequence[str] | None = None) -> list[Schedule]:
        return recurring.schedules(self._server, names)

    def due_schedules(self, until: int) -> list[Schedule]:
        return [] if self.moves.moving() else recurring.due(self._server, until)

    def next_schedule(self) -> int | None:
        return None if self.moves.moving() else recurring.next_schedule(self._server)

    def occur(self, advances: Sequence[Advance]) -> list[int | None]:
        return recurring.occur(self._server, advances)

    def occurrences(self, name: str, limit: int = 100) -> list[Occurrence]:
        return recurring.occurrences(self._server, name, limit)

    # -- moving ----------------------------------------------------------------------------------

    @property
    def moves(self) -> Moves:
        return Moves(self._server, self._names)

    # -- looking ---------------------------------------------------------------------------------

    def jobs(self, which: Filter, order: Order = "newest", after: str | None = None, limit: int = 100) -> Page:
        return looking.page(self._server, self._names, which, order, after, limit)

    def attempts(self, job: str) -> list[Attempt]:
        return looking.attempts(self._server, self._names, job)

    def effects(self, job: str) -> list[tuple[str, bytes]]:
        return looking.effects(self._server, job)

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        return looking.results(self._server, ids)

    def members(self, gate: str) -> list[Result]:
        return looking.members(self._server, gate)

    def gates(self, ids: Sequence[str]) -> list[GateView | None]:
        return looking.gates(self._server, ids)

    def counts(self) -> list[QueueCount]:
        return looking.counts(self._server)

    def due_counts(self, edges: Sequence[int], cap: int = COUNT_CAP) -> dict[str, list[int]]:
        return looking.due_counts(self._server, edges, cap)

    def lanes_of(self, job: str) -> list[Lane]:
        return messaging.lanes_of(self._server, job, self.now())

    def ahead(self, job: str) -> int:
        return messaging.ahead(self._server, job)

    def examine(self) -> list[Finding]:
        return examining.examine(self._server)

    def rollups(self, since: int, until: int) -> list[Rollup]:
        return looking.rollups(self._server, since // _MINUTE, -(-until // _MINUTE))

    # -- waiting ---------------------------------------------------------------------------------

    def listen(self, channel: Channel) -> Listener:
        return WakeListener(self._server, channel)

    def notify(self, channel: Channel) -> None:
        with contextlib.suppress(StoreUnavailable):  # a hint that is lost costs a second at most
            self._server.command("PUBLISH", f"{self._server.place.prefix}:wake:{channel}", "1")

    def migrate(self) -> list[int]:
        """There is no schema."""
        return []

    def maintain(self) -> None:
        while self._server.call("maintain")[0]:
            pass

    def close(self) -> None:
        self._server.close()
