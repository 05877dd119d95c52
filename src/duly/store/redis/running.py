"""The hot path: ``exchange``, and what of it is worked out before the call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from duly.errors import ConfigError
from duly.job import Exchange, Flag, Kind, Outcome, Then
from duly.store import stats
from duly.store.redis.packing import blob, job_row, lease_of, ref_of, token_of
from duly.store.redis.server import AnswerLost, Server

Seat = tuple[int, int]  # worker, slot

_NONE = (0, 0, 0, 0)
_LOOKED_AFTER = int(Flag.MEMBER | Flag.ANSWER)  # more than its state changes when such a job ends


class Running:
    """The exchanges of this process.

    An exchange whose answer was lost may have reserved jobs of which nobody here knows. So its token is kept, and
    the next exchange of that seat gives them back.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lost: dict[Seat, str] = {}
        self._limited = False  # there were limits or pauses at the last exchange

    def exchange(
        self, worker: int, slot: int, outcomes: Sequence[Outcome], want: int, queues: Sequence[str], expect: bool
    ) -> Exchange:
        number = int.from_bytes(os.urandom(8), "big") >> 1  # 63 bits: unique with the job's ref
        token = f"{number:016x}"
        rows, described = _described(outcomes, self._server.now()) if outcomes else ([], [])
        lost = self._lost.get((worker, slot))
        plain = lost is None and all(map(_is_plain, outcomes))
        woken = expect and not outcomes
        try:
            answer = self._call(plain, woken, (worker, slot, token, want, queues, described, rows, lost or False))
        except AnswerLost:
            self._lost[worker, slot] = token
            raise
        if answer[0] is None:
            raise no_gate(answer[1].decode())
        refused, found, more, limited = answer
        self._limited = bool(limited)
        if lost is not None:
            del self._lost[worker, slot]
        leases = [lease_of(found[i], found[i + 1], found[i + 2], number) for i in range(0, len(found), 3)]
        return Exchange(leases, [outcomes[place] for place in refused], bool(more))

    def _call(self, plain: bool, woken: bool, parameters: tuple[Any, ...]) -> list[Any]:
        """By the shortest script that will do; where there are limits only the long one does."""
        if plain and woken and not self._limited:
            worker, slot, token, _, queues, *_ = parameters
            words = (str(worker), str(slot), token, *dict.fromkeys(queues))
            answer = self._server.call_plain("claim", words, repeat=False)
            if answer[0] != b"all":
                return answer
            self._limited = bool(answer[1])
        if plain and not self._limited:
            answer = self._server.call("exchange", *parameters, repeat=False)
            if answer[0] != b"all":
                return answer
        return self._server.call("exchange_all", *parameters, repeat=False)


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
