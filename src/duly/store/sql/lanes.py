"""Rate and concurrency limits at the moment of reserving. Functions of an open write transaction.

A due job that a limit holds back is *parked* in that limit's lane: it leaves the index of waiting jobs, so
that it costs the jobs behind it nothing, and comes back when the lane opens. An occurrence that may not overlap
another of its schedule has to pass a lane of that schedule; one that is to be skipped then ends cancelled (only
one that has never run: the retry of an occurrence waits).

    lanes    one row a lane in use: tat, the instant from which the next start is allowed (GCRA's theoretical
             arrival time); opens, when to look at its parked jobs again, NULL while there are none
    holding  (lane, job) for every running job under a concurrency limit

A lane opens when its tat passes, when a job it counts stops running, when a limit changes, and, in case the
jobs it let go never started (cancelled, say), every _AGAIN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from duly.clock import MICROS
from duly.job import Flag, Limit
from duly.store.sql import gates
from duly.store.sql.db import Db, Row
from duly.store.sql.rows import error
from duly.store.sql.rules import ONE_AT_A_TIME, Rules

_SEQ, _ID, _TASK, _QUEUE, _ATTEMPT, _FLAGS, _LIMIT_KEY = 0, 1, 2, 4, 8, 11, 14  # columns of the statement "due"

_SKIP = int(Flag.NO_OVERLAP_SKIP)
_EXCLUSIVE = int(Flag.NO_OVERLAP_SKIP | Flag.NO_OVERLAP_QUEUE)

_AGAIN = 10 * MICROS
_LANES_AT_ONCE = 64
_JOBS_AT_ONCE = 500


def open_lanes(db: Db, rules: Rules, now: int) -> None:
    """Let parked jobs out of the lanes that have room again, best first."""
    for lane, tat in db.run("open_lanes", (now, _LANES_AT_ONCE)).fetchall():
        limit = rules.of_lane(lane)
        tat = _mended(db, lane, limit, tat, now) if limit else tat
        room = _room(db, limit, lane, tat, now)
        freed = db.run("unpark", (lane, room)).rowcount if room else 0
        parked = db.run("any_parked", (lane,)).fetchone()
        opens = None if not parked else tat if tat > now else now if freed == _JOBS_AT_ONCE else now + _AGAIN
        db.run("set_opens", (opens, lane))


def _room(db: Db, limit: Limit | None, lane: str, tat: int, now: int) -> int:
    """How many more jobs this lane lets start now."""
    if limit is None:
        return _JOBS_AT_ONCE
    if limit.rate is not None and tat > now:
        return 0
    room = _JOBS_AT_ONCE if limit.rate is None else 1
    if limit.concurrency is not None:
        room = min(room, limit.concurrency - _held(db, lane))
    return max(room, 0)


class Admission:
    """Lets the due jobs of one batch through, one after the other, and parks those that a limit holds back.

    A job under a rate limit comes first in its batch (``first``: nothing was let through before) or waits for the
    next, so that it starts when it was let through and not some tasks later.
    """

    def __init__(self, db: Db, rules: Rules, now: int, first: bool) -> None:
        self._db = db
        self._rules = rules
        self._now = now
        self._first = first
        self._tats: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._parked: dict[str, list[int]] = {}  # lane: jobs
        self._skipped: list[int] = []

    def admit(self, row: Row) -> bool:
        """Whether this job may start now."""
        passes = self._rules.lanes(row[_TASK], row[_QUEUE], row[_LIMIT_KEY]) if self._rules.limits else []
        if row[_FLAGS] & _EXCLUSIVE:
            passes += _schedule_lane(self._db, row[_ID])
        for lane, limit in passes:
            self._look_at(lane, limit)
        blocked = next((one for one in passes if _blocks(*one, self._tats, self._held, self._now)), None)
        if blocked and blocked[1] is ONE_AT_A_TIME and row[_FLAGS] & _SKIP and row[_ATTEMPT] == 1:
            self._skipped.append(row[_SEQ])
        elif blocked:
            self._parked.setdefault(blocked[0], []).append(row[_SEQ])
        elif self._first or not any(limit.rate is not None for _, limit in passes):
            for lane, limit in passes:
                _pass(self._db, row[_SEQ], lane, limit, self._tats, self._held, self._now)
            self._first = False
            return True
        return False

    def park(self) -> int:
        """Write down what was held back; gives how many jobs."""
        for lane, seqs in self._parked.items():
            _park(self._db, seqs, lane, self._tats.get(lane, 0), self._now)
        if self._skipped:
            reason = error("JobCancelled", "skipped: the occurrence before is still running")
            self._db.run("cancel_waiting", (self._now, reason, self._db.array(self._skipped))).fetchall()
        return len(self._skipped) + sum(map(len, self._parked.values()))

    def _look_at(self, lane: str, limit: Limit) -> None:
        if limit.rate is not None and lane not in self._tats:
            self._tats[lane] = _mended(self._db, lane, limit, _tat(self._db, lane), self._now)
        if limit.concurrency is not None and lane not in self._held:
            self._held[lane] = _held(self._db, lane)


def _schedule_lane(db: Db, id: str) -> list[tuple[str, Limit]]:
    """The lane of an occurrence that may not overlap others of its schedule."""
    return [(f"schedule:{name}", ONE_AT_A_TIME) for (name,) in db.run("schedule_of", (id,))]


def _blocks(lane: str, limit: Limit, tats: dict[str, int], held: dict[str, int], now: int) -> bool:
    if limit.rate is not None and tats[lane] > now:
        return True
    return limit.concurrency is not None and held[lane] >= limit.concurrency


def _park(db: Db, seqs: Sequence[int], lane: str, tat: int, now: int) -> None:
    db.run("park", (lane, db.array(seqs)))
    db.run("park_lane", (lane, tat if tat > now else now + _AGAIN))


def _pass(db: Db, seq: int, lane: str, limit: Limit, tats: dict[str, int], held: dict[str, int], now: int) -> None:
    if limit.rate is not None:
        tats[lane] = max(tats[lane], now) + interval(limit)
        db.run("set_tat", (lane, tats[lane]))
    if limit.concurrency is not None:
        held[lane] += 1
        db.run("hold_lane", (lane, seq))


def let_go(db: Db, seqs: Iterable[int]) -> None:
    """These jobs run no longer: what they held is free, and the lanes they held it in open."""
    lanes = {lane for (lane,) in db.run("let_go", (db.array(seqs),)).fetchall()}
    if lanes:
        db.run("reopen", (db.array(lanes),))


def interval(limit: Limit) -> int:
    """µs between two starts under a rate limit, rounded up so that the rate is never exceeded."""
    return -(-limit.per // (limit.rate or 1))


def next_allowed(limit: Limit, tat: int, now: int) -> int:
    """``tat`` as a clock that is right can have written it: a clock that was ahead for a moment (or a slower rate,
    before it was changed) holds back nobody for longer than the time between two starts."""
    return 0 if limit.rate is None else min(tat, now + interval(limit))


def _mended(db: Db, lane: str, limit: Limit, tat: int, now: int) -> int:
    """:func:`next_allowed`, written down, or it would move along with the clock."""
    allowed = next_allowed(limit, tat, now)
    if allowed != tat:
        db.run("mend_tat", (allowed, lane))
    return allowed


def longest(rules: Rules) -> int:
    """µs: no lane opens later than this from now."""
    return max([_AGAIN, *(interval(limit) for limit in rules.limits.values() if limit.rate is not None)])


def is_untidy(db: Db, now: int, latest: int) -> bool:
    """Whether there is work for :func:`tidy`."""
    return bool(db.run("untidy", (now, latest)).fetchone()[0])


def tidy(db: Db, now: int, latest: int) -> bool:
    """End parked jobs that expired, for they would hold their keys for as long as their lanes are shut; look again at
    lanes whose time a clock that was ahead has set. True if a job ended."""
    db.run("open_now", (latest,))
    reason = error("JobCancelled", "expired before it could start")
    ended = db.run("expire_parked", (now, reason, now, _JOBS_AT_ONCE)).fetchall()
    gates.count(db, gates.members(ended), now)
    return bool(ended)


def _tat(db: Db, lane: str) -> int:
    row = db.run("tat", (lane,)).fetchone()
    return int(row[0]) if row else 0


def _held(db: Db, lane: str) -> int:
    return int(db.run("count_held", (lane,)).fetchone()[0])
