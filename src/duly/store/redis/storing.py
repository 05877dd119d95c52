"""Storing jobs: ids once, keys unique, canvases whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from duly.errors import DuplicateKey
from duly.job import Enqueued, Gate, Job
from duly.store.redis.packing import Blob, body_of, job_row
from duly.store.redis.running import no_gate
from duly.store.redis.server import AnswerLost, Server

_AT_ONCE = 1000  # plain jobs that one script stores


def enqueue(server: Server, jobs: Sequence[Job], gates: Sequence[Gate]) -> list[Enqueued]:
    """Plain jobs go so many in a script; whatever has keys or gates goes in one, whatever its length."""
    if not jobs and not gates:
        return []
    now = server.now()
    if gates or any(job.key is not None or job.gates or job.after is not None for job in jobs):
        rows = [job_row(job, now) for job in jobs]
        return _store(server, "canvas", jobs, ([(gate.id, gate.size) for gate in gates], rows))
    if len(jobs) <= _AT_ONCE:
        return _store(server, "enqueue", jobs, _plain(jobs, now))
    answers: list[Enqueued] = []
    for first in range(0, len(jobs), _AT_ONCE):
        some = jobs[first : first + _AT_ONCE]
        answers += _store(server, "enqueue", some, _plain(some, now))
    return answers


def _plain(jobs: Sequence[Job], now: int) -> tuple[object, ...]:
    """Plain jobs as ``lua/enqueue.lua`` takes them: in flat lists, because Lua is slow at tables."""
    levels: dict[tuple[str, int], list[int]] = {}
    for place, job in enumerate(jobs, 1):
        levels.setdefault((job.queue, job.priority), []).extend((place, job.due))
    return (
        [job.id for job in jobs],
        [(queue, priority, places) for (queue, priority), places in levels.items()],
        [Blob(body_of(job, now)) for job in jobs],
    )


def _store(server: Server, script: str, jobs: Sequence[Job], parameters: Sequence[object]) -> list[Enqueued]:
    """One script. If its answer was lost it is repeated, and knows what it has stored itself."""
    try:
        found = server.call(script, *parameters, False, repeat=False)
    except AnswerLost:
        found = server.call(script, *parameters, True)
    if found[0] is None:
        raise _refused(found[1:])
    return [
        Enqueued(answer.decode(), False) if type(answer) is bytes else Enqueued(job.id, answer == 1)
        for job, answer in zip(jobs, found[0], strict=True)
    ]


def _refused(said: list[Any]) -> Exception:
    what, name, *rest = (word.decode() for word in said)
    return DuplicateKey(name, *rest) if what == "key" else no_gate(name)
