"""Storing jobs: ids once, keys unique, canvases whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from duly.errors import DuplicateKey
from duly.job import Enqueued, Gate, Job
from duly.store.redis.packing import arguments, body_of, job_row
from duly.store.redis.running import no_gate
from duly.store.redis.server import AnswerLost, Server

_AT_ONCE = 1000  # plain jobs that one script stores
_GIVEN_MOST = 8_000  # bytes of a job that is given to a seat by a message: each node of a cluster gets those
_NEVER = "1e17"  # µs: an instant after all others


def enqueue(server: Server, jobs: Sequence[Job], gates: Sequence[Gate]) -> list[Enqueued]:
    """Plain jobs go so many in a script; whatever has keys or gates goes in one, whatever its length."""
    if not jobs and not gates:
        return []
    now = server.now()
    if gates or any(job.key is not None or job.gates or job.after is not None for job in jobs):
        return _store_canvas(server, jobs, gates, now)
    if len(jobs) == 1:
        return _store_one(server, jobs, now)
    answers: list[Enqueued] = []
    for first in range(0, len(jobs), _AT_ONCE):
        answers += _store_plain(server, jobs[first : first + _AT_ONCE], now)
    return answers


def _store_one(server: Server, jobs: Sequence[Job], now: int) -> list[Enqueued]:
    [job] = jobs
    body = body_of(job, now)
    before = "" if job.due > now or len(body) > _GIVEN_MOST else _NEVER if job.expires is None else str(job.expires)
    words = (job.id, str(job.priority), job.queue, str(job.due), body, before)
    try:
        answer = server.call_plain("enqueue_one", words, repeat=False)[0]
    except AnswerLost:
        return _store_plain(server, jobs, now, repeated=True)
    if answer == b"all":
        return _store_plain(server, jobs, now)
    return [Enqueued(job.id, answer == 1)]


def _store_plain(server: Server, jobs: Sequence[Job], now: int, repeated: bool = False) -> list[Enqueued]:
    """In one script; ``repeated``: the answer to a call that stores the same was lost."""
    bodies, described = [body_of(job, now) for job in jobs], _described(jobs)

    def call(repeated: bool) -> list[Any]:
        return server.call_plain("enqueue", (*arguments((*described, repeated)), *bodies), repeat=repeated)

    (there,) = call(True) if repeated else _surely(call)
    answers = [Enqueued(job.id, True) for job in jobs]
    for place in there:
        answers[place - 1] = Enqueued(jobs[place - 1].id, False)
    return answers


def _described(jobs: Sequence[Job]) -> tuple[object, ...]:
    """Plain jobs as ``lua/enqueue.lua`` takes them, less their bodies; in flat lists: Lua is slow at tables."""
    dues = [job.due for job in jobs]
    places: dict[tuple[str, int], list[int]] = {}
    for place, job in enumerate(jobs, 1):
        places.setdefault((job.queue, job.priority), []).append(place)
    levels = [
        (queue, priority, min(dues[place - 1] for place in some), some if len(places) > 1 else False)
        for (queue, priority), some in places.items()
    ]
    return [job.id for job in jobs], str(dues[0]) if len(set(dues)) == 1 else list(map(str, dues)), levels


def _store_canvas(server: Server, jobs: Sequence[Job], gates: Sequence[Gate], now: int) -> list[Enqueued]:
    described = [(gate.id, gate.size) for gate in gates], [job_row(job, now) for job in jobs]
    answers, *refusal = _surely(lambda repeated: server.call("canvas", *described, repeated, repeat=repeated))
    if answers is None:
        raise _refused(refusal)
    return [
        Enqueued(answer.decode(), False) if type(answer) is bytes else Enqueued(job.id, answer == 1)
        for job, answer in zip(jobs, answers, strict=True)
    ]


def _surely(call: Callable[[bool], list[Any]]) -> list[Any]:
    """What a script answers. If that is lost it is repeated, and told so: it knows what it has stored itself."""
    try:
        return call(False)
    except AnswerLost:
        return call(True)


def _refused(said: list[Any]) -> Exception:
    what, name, *rest = (word.decode() for word in said)
    return DuplicateKey(name, *rest) if what == "key" else no_gate(name)
