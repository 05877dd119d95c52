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
    if len(jobs) == 1:
        return _store_one(server, jobs, now)
    if len(jobs) <= _AT_ONCE:
        return _store(server, "enqueue", jobs, _plain(jobs, now))
    answers: list[Enqueued] = []
    for first in range(0, len(jobs), _AT_ONCE):
        some = jobs[first : first + _AT_ONCE]
        answers += _store(server, "enqueue", some, _plain(some, now))
    return answers


def _store_one(server: Server, jobs: Sequence[Job], now: int) -> list[Enqueued]:
    [job] = jobs
    words = (job.id, str(job.priority), job.queue, str(job.due), body_of(job, now))
    try:
        answer = server.call_plain("enqueue_one", words, repeat=False)[0]
    except AnswerLost:
        return _store_again(server, "enqueue", jobs, _plain(jobs, now))
    if answer == b"all":
        return _store(server, "enqueue", jobs, _plain(jobs, now))
    return [Enqueued(job.id, answer == 1)]


def _plain(jobs: Sequence[Job], now: int) -> tuple[object, ...]:
    """Plain jobs as ``lua/enqueue.lua`` takes them: in flat lists, because Lua is slow at tables."""
    levels: dict[tuple[str, int], tuple[list[int], list[int | str]]] = {}
    for place, job in enumerate(jobs, 1):
        dues, places = levels.setdefault((job.queue, job.priority), ([], []))
        dues.append(job.due)
        places += (place, str(job.due))
    return (
        [job.id for job in jobs],
        [(queue, priority, min(dues), places) for (queue, priority), (dues, places) in levels.items()],
        [Blob(body_of(job, now)) for job in jobs],
    )


def _store(server: Server, script: str, jobs: Sequence[Job], parameters: Sequence[object]) -> list[Enqueued]:
    """One script."""
    try:
        return _answers(jobs, server.call(script, *parameters, False, repeat=False))
    except AnswerLost:
        return _store_again(server, script, jobs, parameters)


def _store_again(server: Server, script: str, jobs: Sequence[Job], parameters: Sequence[object]) -> list[Enqueued]:
    """A script whose answer was lost; repeated, it knows what it has stored itself."""
    return _answers(jobs, server.call(script, *parameters, True))


def _answers(jobs: Sequence[Job], found: list[Any]) -> list[Enqueued]:
    if found[0] is None:
        raise _refused(found[1:])
    return [
        Enqueued(answer.decode(), False) if type(answer) is bytes else Enqueued(job.id, answer == 1)
        for job, answer in zip(jobs, found[0], strict=True)
    ]


def _refused(said: list[Any]) -> Exception:
    what, name, *rest = (word.decode() for word in said)
    return DuplicateKey(name, *rest) if what == "key" else no_gate(name)
