"""The hot path: ``exchange``, and what of it is worked out before the call."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from duly.errors import ConfigError
from duly.job import Exchange, Flag, Kind, Lease, Outcome, Then
from duly.store import stats
from duly.store.redis.packing import blob, given_of, job_row, lease_of, ref_of, token_of
from duly.store.redis.server import AnswerLost, Server

Seat = tuple[int, int]  # worker, slot

_NONE = (0, 0, 0, 0)
_LOOKED_AFTER = int(Flag.MEMBER | Flag.ANSWER)  # more than its state changes when such a job ends


class Running:
    """The exchanges of this process.

    An exchange whose answer was lost may have reserved jobs of which nobody here knows. So its token is kept, and
    the next exchange of that seat gives them back. So is that of an offer, until the job that was given is here.
    Two threads of an executor share its seat, so each call is done, and what it means noted, before the next begins.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.RLock()  # a signal handler is told by the server that it may not be here
        self._lost: dict[Seat, list[str]] = {}
        self._offered: dict[Seat, tuple[str, frozenset[str]]] = {}  # token and queues
        self._limited = False  # there were limits or pauses at the last exchange

    def exchange(
        self, worker: int, slot: int, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], expect: bool
    ) -> Exchange:
        with self._lock:
            return self._exchange((worker, slot), outcomes, want, queues, expect)

    def _exchange(
        self, seat: Seat, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], expect: bool
    ) -> Exchange:
        if not outcomes and (want <= 0 or not queues) and not self._unheard(seat):
            return Exchange([], [])
        number, token = _new_token()
        rows, described = _described(outcomes, self._server.now()) if outcomes else ([], [])
        try:
            answer = (
                self._claim(seat, token, queues) if self._is_claim(seat, outcomes, want, queues, expect) else None
            )
            if answer is None:
                plain = all(map(_is_plain, outcomes))
                answer = self._call(plain, seat, (*seat, token, want, queues, described, rows))
        except AnswerLost:
            self._lost.setdefault(seat, []).append(token)
            raise
        if answer[0] is None:
            raise no_gate(answer[1].decode())
        refused, found, more, limited = answer
        self._limited = bool(limited)
        self._lost.pop(seat, None)
        self._offered.pop(seat, None)
        leases = [lease_of(found[i], found[i + 1], found[i + 2], number) for i in range(0, len(found), 3)]
        return Exchange(leases, [outcomes[place] for place in refused], bool(more))

    def _is_claim(
        self, seat: Seat, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], expect: bool
    ) -> bool:
        """Whether the shortest script may do: the seat was idle, and one job is what there is likely to be."""
        idle = expect or seat in self._offered
        return idle and want > 0 and bool(queues) and not outcomes and not self._limited and seat not in self._lost

    def _claim(self, seat: Seat, token: str, queues: Sequence[str]) -> list[Any] | None:
        """None, if it has to be done by one of the others."""
        words = (*map(str, seat), token, "1" if seat in self._offered else "", *dict.fromkeys(queues))
        answer = self._server.call_plain("claim", words, repeat=False)
        if answer[0] == b"given":
            return None
        self._offered.pop(seat, None)
        if answer[0] == b"all":
            self._limited = bool(answer[1])
            return None
        return answer

    def _call(self, plain: bool, seat: Seat, parameters: tuple[Any, ...]) -> list[Any]:
        """By the shorter script that will do; where there are limits, or something is to be given back, only the long
        one does."""
        unheard = self._unheard(seat)
        if plain and not self._limited and not unheard:
            answer = self._server.call("exchange", *parameters, repeat=False)
            if answer[0] != b"all":
                return answer
        return self._server.call("exchange_all", *parameters, unheard or False, repeat=False)

    def _unheard(self, seat: Seat) -> list[str]:
        """The tokens under which it may hold what it does not know of."""
        tokens = self._lost.get(seat, [])
        return [*tokens, self._offered[seat][0]] if seat in self._offered else list(tokens)

    def offer(self, worker: int, slot: int, channel: str, queues: Sequence[str], lapse: int) -> int | None:
        """See ``offering.SeatListener``; the channel is the one it listens to."""
        with self._lock:
            assert (worker, slot) not in self._offered, "the seat's exchange takes an offer back first"
            _, token = _new_token()
            self._offered[worker, slot] = token, frozenset(queues)
            # Not repeated: if the first had been made, and used, there would be two jobs with one token.
            said = self._server.call("offer", worker, slot, token, channel, queues, lapse, repeat=False)
        due: int | None = said[0]
        return due

    def given(self, worker: int, slot: int, told: bytes) -> Lease | None:
        """The job that ``enqueue_one.lua`` tells of, if it was given for the last offer of this seat, and not because
        of an older one for a queue that it served then; the next exchange gives that back."""
        with self._lock:
            token, queues = self._offered.get((worker, slot), ("", frozenset[str]()))
            if not token or told[:16] != token.encode():
                return None
            lease = given_of(told)
            if lease.queue not in queues:
                return None
            del self._offered[worker, slot]
            return lease


def _new_token() -> tuple[int, str]:
    """63 bits: unique with a job's ref; and as scripts know them."""
    number = int.from_bytes(os.urandom(8), "big") >> 1
    return number, f"{number:016x}"


def then_of(then: Then, now: int) -> tuple[object, ...]:
    """What comes with an outcome, as ``lua/settle.lua`` takes it."""
    return [job_row(job, now) for job in then.jobs], [(gate.id, gate.size) for gate in then.gates]


def no_gate(id: str) -> ConfigError:
    return ConfigError(f"gate {id!r}: no such gate; store it with, or before, the jobs that name it")


def _is_plain(o: Outcome) -> bool:
    return o.kind <= Kind.UNCERTAIN and o.then is None and not o.lease.flags & _LOOKED_AFTER


def _described(outcomes: Sequence[Outcome], now: int) -> tuple[list[Any], list[Any]]:
    """The rows of the statistics, and the outcomes as ``lua/settle.lua`` takes them."""
    numbers: dict[stats.Key, int] = {}
    described = []
    for o in outcomes:
        lease = o.lease
        counted: tuple[int, int, int, int] = _NONE
        if o.started:
            (late_key, late), (run_key, run) = stats.measures(o)
            late_row = numbers.setdefault(late_key, len(numbers) + 1)
            counted = (late_row, late, numbers.setdefault(run_key, len(numbers) + 1), run)
        described.append(
            (ref_of(lease.ref), token_of(lease), int(o.kind), o.started, o.finished, o.due, blob(o.result),
             blob(o.error), blob(o.progress), blob(o.log), *counted, o.then and then_of(o.then, now),
             blob(o.args))
        )  # fmt: skip
    return list(numbers), described
