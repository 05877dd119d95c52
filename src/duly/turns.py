"""Which queue's turn it is, and which slots are kept for which queue. Pure functions.

A worker takes its queues in turns, a job each; a queue of weight 4 has four turns in a round where one of weight 1
has one, spread over the round (smooth weighted round robin). A queue with nothing due is passed over.
A reserved slot, of the slots that a worker runs jobs in, serves one queue only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from duly.config import did_you_mean
from duly.errors import ConfigError

MAX_WEIGHT = 100


def numbered(value: object, what: str) -> dict[str, int]:
    """Queues with a number each, from ``{"notify": 4}``, ``["notify=4", "crawl"]`` or ``"notify=4,crawl"``; 1 where
    none is given. ``what`` the number is, for the ValueError."""
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, str):
        pairs = [_pair(part, what) for part in value.split(",") if part.strip()]
    elif isinstance(value, Iterable):
        pairs = [_pair(part, what) for part in value]
    else:
        raise ValueError(f'expected queues, like "notify=4,crawl" or {{"notify": 4, "crawl": 1}}, got {value!r}')
    for queue, number in pairs:
        if not isinstance(queue, str) or not queue:
            raise ValueError(f"expected the name of a queue, got {queue!r}")
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_WEIGHT:
            raise ValueError(f"queue {queue!r}: {what} {number!r} is not a whole number of 1 to {MAX_WEIGHT}")
    return dict(pairs)


def _pair(part: object, what: str) -> tuple[str, object]:
    if not isinstance(part, str):
        raise ValueError(f"expected the name of a queue, got {part!r}")
    queue, equals, number = part.strip().rpartition("=")
    if not equals:
        return number, 1
    if not number.strip().isdecimal():
        raise ValueError(f"queue {queue!r}: {what} {number!r} is not a whole number of 1 to {MAX_WEIGHT}")
    return queue.strip(), int(number)


def in_turns(weights: Mapping[str, int]) -> tuple[str, ...]:
    """One round: each queue as often as it weighs, spread out; ``{"a": 3, "b": 1}`` gives ``a a b a``."""
    shrink = math.gcd(*weights.values()) or 1
    credit = dict.fromkeys(weights, 0)
    total = sum(weights.values())
    turns = []
    for _ in range(total // shrink):
        for queue, weight in weights.items():
            credit[queue] += weight
        queue = max(credit, key=credit.__getitem__)
        credit[queue] -= total
        turns.append(queue)
    return tuple(turns)


def homes(reserve: Mapping[str, int], slots: int) -> tuple[str | None, ...]:
    """For each slot the one queue it serves, None: every queue. Reserved slots come first."""
    kept = [queue for queue, number in reserve.items() for _ in range(number)]
    return (*kept, *([None] * (slots - len(kept))))[:slots]


def check_reserve(reserve: Mapping[str, int], queues: Iterable[str], slots: int) -> None:
    """Raises ConfigError if slots are kept for queues that are not served, or leave others without any."""
    queues = list(queues)
    for queue in reserve:
        if queue not in queues:
            hint = did_you_mean(queue, queues) or "."
            raise ConfigError(
                f"reserve {queue}={reserve[queue]}: this worker does not serve {queue!r}{hint} "
                f"It serves {', '.join(queues)}; name {queue!r} in -Q too, or leave the reserve out"
            )
    kept = sum(reserve.values())
    said = ", ".join(f"{queue}={number}" for queue, number in reserve.items())
    if kept > slots:
        raise ConfigError(
            f"reserve {said}: {kept} reserved of {slots} slot{'s' if slots > 1 else ''}; "
            f"start the worker with -c {kept + 1} or more"
        )
    rest = [queue for queue in queues if queue not in reserve]
    if kept == slots and rest:
        raise ConfigError(
            f"reserve {said}: all {slots} slots are reserved, which leaves none for {', '.join(rest)}; "
            f"start the worker with -c {kept + 1} or more"
        )
