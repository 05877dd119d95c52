"""The hot path: one statement, and the long way round for what it leaves out.

The function ``duly.exchange`` settles and reserves jobs that no limit concerns in one round trip. It does nothing,
and the steps of ``store.sql.running`` are taken one by one, in a transaction and under a lock, if

- one of these queues has a limit, or one of these jobs a limit or a schedule that may not overlap: it is due, it ends
  and was counted, or its lane opens,
- a lease turns out to be stale: all must be told which,
- the answer to this seat's last exchange was lost. What it did must not be done again, and what it reserved is this
  seat's: its token, which stands in the table ``seats`` if it was committed, tells.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

import msgspec
from psycopg.types.numeric import Int4, Int8

from duly.errors import DulyError, StoreError, StoreUnavailable
from duly.job import Exchange, Flag, Kind, Lease, Outcome
from duly.store import stats
from duly.store.contract import WAKE_AHEAD
from duly.store.postgres.arrays import BigInts, Bytes, Ints, Texts
from duly.store.postgres.database import Database
from duly.store.postgres.sql import Session
from duly.store.sql import running
from duly.store.sql.gates import Closed
from duly.store.sql.store import due_again

if TYPE_CHECKING:
    from duly.store.postgres import PostgresStore

_NOT_PLAIN = frozenset({Kind.LOST, Kind.REPLACED})
_MEMBER = int(Flag.MEMBER)

_NO_OUTCOMES: list[object] = [None] * 18  # columns; an empty list of each costs as much as the rest of a reserve

_LONG_WAY = "DL001"  # the SQLSTATE by which a function asks for it


class _Status(msgspec.Struct):
    """The last row of an exchange."""

    clock: int
    rules: bool = False  # they have changed; nothing was done
    more: bool = False


_PLACE = itemgetter(1)  # of a row: in the order to run them

_status = msgspec.json.Decoder(_Status).decode

Seat = tuple[int, int]  # worker, slot


class Exchanger:
    """Settles and reserves for the seats of this process."""

    def __init__(self, store: PostgresStore, server: Database) -> None:
        self._store = store
        self._server = server
        self._lock = threading.Lock()  # two threads of an executor share its seat
        self._last: dict[Seat, int] = {}  # the token of a seat's last exchange that changed something
        self._lost: set[Seat] = set()  # there were some after that whose answers did not come
        self._tried: dict[Seat, set[int]] = {}  # their tokens

    def exchange(
        self,
        worker: int,
        slot: int,
        outcomes: Sequence[Outcome],
        want: int,
        queues: Sequence[str],
        hasty: bool = False,
    ) -> Exchange:
        """See ``contract.Store``, and for ``hasty`` ``hasty.Hasty``."""
        seat = (worker, slot)
        with self._lock:
            try:
                answer = self._reserve_one(seat, want, queues) if hasty else None
                if answer is None:
                    answer = self._exchange(seat, outcomes, want, queues, hasty)
            except StoreUnavailable:
                self._lost.add(seat)
                raise
            except DulyError:  # it was refused: nothing was done
                raise
            except BaseException:  # interrupted, perhaps before the answer came
                self._lost.add(seat)
                raise
            self._lost.discard(seat)
            self._tried.pop(seat, None)
            return answer

    def confirm(self, worker: int, slot: int) -> bool:
        """See ``hasty.Hasty``."""
        seat = (worker, slot)
        with self._lock:
            values = [Int8(worker), Int4(slot), Int8(self._last.get(seat, 0))]
            try:
                return bool(self._server.call_once("confirm", values))
            except StoreUnavailable:  # perhaps only this connection broke: a server that lives takes another at once
                return bool(self._server.call_once("confirm", values))

    def bar(self, worker: int, slot: int) -> None:
        """Nothing that a seat has begun happens from now on."""
        seat, fresh = (worker, slot), _new_token()

        def take(db: Session) -> None:
            db.run("sit_down", (*seat, fresh))
            db.run("sit", (fresh, *seat))

        self._server.write(take)

    def _exchange(
        self, seat: Seat, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], hasty: bool
    ) -> Exchange:
        lost = seat in self._lost
        if not lost and self._is_plain(outcomes, queues):
            try:
                answer = self._quick(seat, outcomes, want, queues, hasty)
                if answer is not None:
                    return answer
            except StoreUnavailable:
                lost = True
            except StoreError as exc:
                if not asks_for_long_way(exc):
                    raise
        return self._long(seat, outcomes, want, queues, lost)

    def _reserve_one(self, seat: Seat, want: int, queues: Sequence[str]) -> Exchange | None:
        """The job that is next, where it can be had in the quickest way, or nothing if nothing is due. None: it has
        to be looked at properly; nothing was done."""
        known = self._store.rules
        if want < 1 or seat in self._lost or seat not in self._last or known.moving or self._is_limited(queues):
            return None
        instant, token = self._store.instant, self._try_token(seat)
        values = [
            None if instant is None else Int8(instant),
            Int8(seat[0]),
            Int4(seat[1]),
            Int8(self._last[seat]),
            Int8(token),
            Int8(known.version),
            Texts(queue for queue in queues if queue not in known.paused),
            Texts(name for scope, name in known.limits if scope != "queue"),
        ]
        try:
            ((clock, look, *lease),) = self._server.call_once("reserve_one", values)
        except StoreUnavailable:
            self._lost.add(seat)
            return None
        self._store.hear(clock)
        if lease[0] is not None:
            self._last[seat] = token
            return Exchange([Lease(*lease)], [], more=False)
        return None if look else Exchange([], [], more=False)

    def _is_plain(self, outcomes: Sequence[Outcome], queues: Sequence[str]) -> bool:
        return not self._is_limited(queues) and not any(
            o.kind in _NOT_PLAIN or o.then is not None or o.args is not None or o.lease.flags & _MEMBER
            for o in outcomes
        )

    def _is_limited(self, queues: Sequence[str]) -> bool:
        limits = self._store.rules.limits
        return bool(limits) and any(("queue", queue) in limits for queue in queues)

    def _quick(
        self, seat: Seat, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], hasty: bool
    ) -> Exchange | None:
        """One round trip. None: nothing was done, since limits came into force."""
        token = self._try_token(seat)
        rows = self._server.call_once("exchange", self._values(seat, token, outcomes, want, queues, hasty))
        status = _status(rows.pop()[0])
        self._store.hear(status.clock)
        if status.rules:
            self._server.read(self._store.current_rules)
            return None if self._is_limited(queues) else self._quick(seat, outcomes, want, queues, hasty)
        if outcomes or rows:
            self._last[seat] = token
        rows.sort(key=_PLACE)
        return Exchange([Lease(*row[2:]) for row in rows], [], status.more)

    def _try_token(self, seat: Seat) -> int:
        """A new one, remembered until an answer has come."""
        token = _new_token()
        self._tried.setdefault(seat, set()).add(token)
        return token

    def _values(
        self, seat: Seat, token: int, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], hasty: bool
    ) -> list[object]:
        store = self._store
        again = [due for outcome in outcomes if (due := due_again(outcome)) is not None]
        instant, known = store.instant, store.rules
        return [
            None if instant is None else Int8(instant),
            Int8(seat[0]),
            Int4(seat[1]),
            None if seat not in self._last else Int8(self._last[seat]),
            Int8(token),
            Int8(known.version),
            *_settling(outcomes),
            Int4(max(want, 0)),
            Texts([] if known.moving else [queue for queue in queues if queue not in known.paused]),
            bool(again) and min(again) <= store.now() + WAKE_AHEAD,
            Texts([name for scope, name in known.limits if scope != "queue"]),
            hasty,
        ]

    def _long(
        self, seat: Seat, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], lost: bool
    ) -> Exchange:
        """Step by step. ``lost``: it was tried before, and may have been done: then the seat's token is one of those.
        A request that is still on its way finds another token, and does nothing."""
        store, tried = self._store, frozenset(self._tried.get(seat, ()))
        fresh = self._try_token(seat)

        def work(db: Session) -> tuple[running.Reserved, list[Outcome], Closed, int]:
            now, in_force = store.now(), store.current_rules(db)
            (token,) = db.run("sit_down", (*seat, fresh)).fetchall()[0]
            done = lost and token in tried
            mine = _still_running(db, outcomes) if done else outcomes
            refused: list[Outcome] = []
            closed = Closed()
            if mine:
                refused, closed = running.settle(db, in_force, *seat, mine, now)
            got = running.Reserved(_reserved(db, seat, token) if done else [], expired=False, more=False)
            if not got.leases:
                token = fresh
                if want > 0:
                    got = running.reserve(db, in_force, *seat, want, queues, now, token)
            db.run("sit", (token, *seat))
            return got, refused, closed, token

        got, refused, closed, self._last[seat] = self._server.write(work, locks=("lanes",))
        store.wake_after(outcomes, got.expired, closed, store.now())
        return Exchange(got.leases, refused, got.more)


def _settling(outcomes: Sequence[Outcome]) -> list[object]:
    """What the function wants to know of them, with the statistics: a column each."""
    if not outcomes:
        return _NO_OUTCOMES
    rows = stats.rollup(outcomes)
    return [
        BigInts([o.lease.ref for o in outcomes]),
        BigInts([o.lease.token for o in outcomes]),
        Ints([o.kind for o in outcomes]),
        BigInts([o.started for o in outcomes]),
        BigInts([o.finished for o in outcomes]),
        BigInts([o.due for o in outcomes]),
        Bytes([o.result for o in outcomes]),
        Bytes([o.error for o in outcomes]),
        Bytes([o.progress for o in outcomes]),
        Bytes([o.log for o in outcomes]),
        BigInts([row.minute for row in rows]),
        Texts([row.queue for row in rows]),
        Texts([row.task for row in rows]),
        Texts([row.outcome for row in rows]),
        Texts([row.measure for row in rows]),
        Ints([row.bucket for row in rows]),
        BigInts([row.n for row in rows]),
        BigInts([row.total for row in rows]),
    ]


def _new_token() -> int:
    return int.from_bytes(os.urandom(8), "big") >> 1  # 63 bits: with the job's seq, unique for good


def asks_for_long_way(error: StoreError) -> bool:
    """Whether a function did nothing because it leaves this case to Python."""
    return getattr(error.__cause__, "sqlstate", None) == _LONG_WAY


def _still_running(db: Session, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that the exchange whose answer was lost did not have yet."""
    values = (BigInts([o.lease.ref for o in outcomes]), BigInts([o.lease.token for o in outcomes]))
    refs = {ref for (ref,) in db.run("unsettled", values)}
    return [outcome for outcome in outcomes if outcome.lease.ref in refs]


def _reserved(db: Session, seat: Seat, token: int) -> list[Lease]:
    return [Lease(*row) for row in db.run("leases", (*seat, token))]
