"""Storing jobs: ids once, keys unique, canvases whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from duly.errors import DuplicateKey
from duly.job import Enqueued, Gate, Job
from duly.store.redis.packing import job_row
from duly.store.redis.running import no_gate
from duly.store.redis.server import AnswerLost, Server

_AT_ONCE = 1000  # plain jobs that one script stores


def enqueue(server: Server, jobs: Sequence[Job], gates: Sequence[Gate]) -> list[Enqueued]:
    """Plain jobs go so many in a script; whatever has keys or gates goes in one, whatever its length."""
    if not jobs and not gates:
        return []
    now = server.now()
    rows = [job_row(job, now) for job in jobs]
    if gates or any(job.key is not None or job.gates or job.after is not None for job in jobs):
        return _store(server, "canvas", jobs, rows, [(gate.id, gate.size) for gate in gates])
    answers: list[Enqueued] = []
    for first in range(0, len(jobs), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        answers += _store(server, "enqueue", jobs[some], rows[some])
    return answers


def _store(server: Server, script: str, jobs: Sequence[Job], rows: Sequence[object], *more: object) -> list[Enqueued]:
    """One script. If its answer was lost it is repeated, and knows what it has stored itself."""
    try:
        found = server.call(script, rows, False, *more, repeat=False)
    except AnswerLost:
        found = server.call(script, rows, True, *more)
    if found[0] is None:
        raise _refused(found[1:])
    return [
        Enqueued(answer.decode(), False) if type(answer) is bytes else Enqueued(job.id, answer == 1)
        for job, answer in zip(jobs, found[0], strict=True)
    ]


def _refused(said: list[Any]) -> Exception:
    what, name, *rest = (word.decode() for word in said)
    return DuplicateKey(name, *rest) if what == "key" else no_gate(name)
