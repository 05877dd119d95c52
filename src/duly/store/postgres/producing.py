"""Jobs as the function ``duly.enqueue`` takes them, or the statement for a single one, and what they say."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.numeric import Int2, Int4, Int8

from duly.job import Enqueued, Job
from duly.store.contract import WAKE_AHEAD
from duly.store.postgres.arrays import BigInts, Bytes, Ints, Texts


def values(instant: int | None, jobs: Sequence[Job]) -> list[object]:
    return [
        None if instant is None else Int8(instant),
        Texts([job.id for job in jobs]),
        Texts([job.task for job in jobs]),
        Bytes([job.args for job in jobs]),
        Texts([job.queue for job in jobs]),
        Ints([job.priority for job in jobs]),
        BigInts([job.due for job in jobs]),
        BigInts([job.expires for job in jobs]),
        Ints([job.flags for job in jobs]),
        Bytes([job.headers for job in jobs]),
        Bytes([job.options for job in jobs]),
        Texts([job.limit_key for job in jobs]),
        Int8(WAKE_AHEAD),
    ]


def one(instant: int | None, job: Job) -> list[object]:
    """For the statement "enqueue_one"."""
    return [
        job.id,
        job.task,
        job.args,
        job.queue,
        Int2(job.priority),
        Int8(job.due),
        None if job.expires is None else Int8(job.expires),
        Int4(job.flags),
        job.headers,
        job.options,
        job.limit_key,
        None if instant is None else Int8(instant),
        Int8(WAKE_AHEAD),
    ]


def answers(jobs: Sequence[Job], stored: Sequence[str] | None) -> list[Enqueued]:
    """``stored``: the ids that were new; None: all of them."""
    if stored is None:
        return [Enqueued(job.id, True) for job in jobs]
    new = set(stored)
    found = []
    for job in jobs:  # an id that is there twice is stored once
        found.append(Enqueued(job.id, job.id in new))
        new.discard(job.id)
    return found
