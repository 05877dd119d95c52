"""The hot path: ``exchange``, and what of it is worked out before the call."""

from __future__ import annotations

import os
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
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lost: dict[Seat, str] = {}
        self._offered: dict[Seat, str] = {}
        self._limited = False  # there were limits or pauses at the last exchange

    def exchange(
        self, worker: int, slot: int, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], expect: bool
    ) -> Exchange:
        seat = worker, slot
        if not outcomes and (want <= 0 or not queues) and seat not in self._offered:
            return Exchange([], [])
        number, token = _new_token()
        rows, described = _described(outcomes, self._server.now()) if outcomes else ([], [])
        try:
            answer = (
                self._claim(seat, token, queues) if self._is_claim(seat, outcomes, want, queues, expect) else None
            )
            if answer is None:
                plain = all(map(_is_plain, outcomes))
                answer = self._call(plain, seat, (worker, slot, token, want, queues, described, rows))
        except AnswerLost:
            self._lost[seat] = token
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
        unheard = [kept[seat] for kept in (self._lost, self._offered) if seat in kept]
        if plain and not self._limited and not unheard:
            answer = self._server.call("exchange", *parameters, repeat=False)
            if answer[0] != b"all":
                return answer
        return self._server.call("exchange_all", *parameters, unheard or False, repeat=False)

    def offer(self, worker: int, slot: int, channel: str, queues: Sequence[str], lapse: int) -> int | None:
        """See ``offering.SeatListener``; the channel is the one it listens to."""
        assert (worker, slot) not in self._offered, "the seat's exchange takes an offer back first"
        _, token = _new_token()
        self._offered[worker, slot] = token
        # Not repeated: if the first had been made, and used, there would be two jobs with one token.
        due: int | None = self._server.call("offer", worker, slot, token, channel, queues, lapse, repeat=False)[0]
        return due

    def given(self, worker: int, slot: int, told: bytes) -> Lease | None:
        """The job that ``enqueue_one.lua`` tells of, if it was given for the last offer of this seat."""
        token = self._offered.get((worker, slot))
        if token is None or told[:16] != token.encode():
            return None
        del self._offered[worker, slot]
        return given_of(told)


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
