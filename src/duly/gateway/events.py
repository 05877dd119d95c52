"""Celery's events about jobs, read off the store: who runs jobs pays nothing for being watched.

``Watch.look`` compares what the store says with what it has told: each attempt is told as received, started and
ended, with the instants that the store has, once. An event comes up to a look later than what it tells of, and a job
that waits is told of when it first runs.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import msgspec

from duly.clock import MICROS, from_micros
from duly.codec import decode_value
from duly.errors import DecodeError
from duly.failure import decode_error
from duly.gateway import celery_results
from duly.job import Attempt, ErrorInfo, Filter, JobView, Options, State
from duly.store import Store

log = logging.getLogger("duly.gateway")

Event = dict[str, Any]

_FINAL = ("succeeded", "failed", "cancelled", "uncertain")
_LATE = 15 * MICROS  # how much later than its end an outcome may come to be written
_PAGE, _PAGES = 500, 20  # jobs that one look reads at most: 10,000
_REMEMBERED = 20_000  # jobs; more than can end within _LATE and be told of
_LONGEST = 1024  # characters of arguments and results

_options = msgspec.json.Decoder(Options).decode


class Watch:
    """What one worker's jobs do, for whoever watches."""

    def __init__(self, store: Store, node: str) -> None:
        """``node``: "name@host" of the worker."""
        self._store = store
        self._node = node
        self._told: OrderedDict[str, int] = OrderedDict()  # job: twice its attempt, and 1 more when that has ended
        self._begun = store.now()
        self._edge = self._begun  # what ended before, and _LATE before, was told
        self.active = 0
        self.processed = 0
        self.total: dict[str, int] = {}  # by task
        self._missed = 0  # looks that could not read all that had ended

    def look(self) -> list[Event]:
        """What has happened since the last look, in order. Raises StoreError."""
        now = self._store.now()
        running = self._running()
        events = [event for job in running for event in self._of(job)]
        events += [event for job in reversed(self._ended()) for event in self._of(job)]
        self._edge = now
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return sorted(events, key=lambda event: float(event["timestamp"]))

    def resume(self) -> None:
        """Begin to tell again, from now."""
        self._begun = self._edge = self._store.now()

    def _running(self) -> list[JobView]:
        jobs = self._store.jobs(Filter(states=("running",)), limit=_PAGE).jobs
        own = [job for job in jobs if job.worker == self._node]
        self.active = len(own)
        return own

    def _ended(self) -> list[JobView]:
        """The jobs of this worker that have ended lately, the last first."""
        found: list[JobView] = []
        after = None
        for _ in range(_PAGES):
            page = self._store.jobs(Filter(states=_FINAL), after=after, limit=_PAGE)
            lately = [job for job in page.jobs if (job.finished or 0) >= max(self._edge - _LATE, self._begun)]
            own = [job for job in lately if job.worker == self._node]
            news = [job for job in own if self._is_news(job)]
            found += news
            after = page.after
            if after is None or len(lately) < len(page.jobs) or (own and not news):  # what comes before was told
                return found
        if self._missed == 0:
            log.warning("more than %d jobs end between two looks: monitors are not told of all", _PAGE * _PAGES)
        self._missed += 1
        return found

    def _is_news(self, job: JobView) -> bool:
        return self._told.get(job.id, 0) < 2 * job.attempt + 1

    def _of(self, job: JobView) -> Iterator[Event]:
        """The events of a job that were not told."""
        told = self._told.get(job.id, 0)
        if not told:
            yield _received(job)
        if job.attempt > 1 and told < 2 * job.attempt - 1:
            for attempt in self._store.attempts(job.id)[:-1]:
                if 2 * attempt.attempt + 1 > told:
                    yield from _retried(job, attempt, began=told < 2 * attempt.attempt)
        if job.started is not None and told < 2 * job.attempt:
            yield _event("started", job, job.started)
        self._told[job.id] = 2 * job.attempt + job.state.final
        self._told.move_to_end(job.id)
        if job.state.final:
            self.processed += 1
            self.total[job.task] = self.total.get(job.task, 0) + 1
            yield _end(job)


def _received(job: JobView) -> Event:
    origin = celery_results.origin(job)
    args, kwargs = _arguments(job)
    return _event(
        "received",
        job,
        job.created,
        name=job.task,
        args=args,
        kwargs=kwargs,
        root_id=origin.place.root or job.id,
        parent_id=origin.place.parent,
        retries=job.retries,
        eta=from_micros(job.due).isoformat() if job.due > job.created + MICROS else None,
        expires=None if job.expires is None else from_micros(job.expires).isoformat(),
    )


def _end(job: JobView) -> Event:
    finished = job.finished or 0
    if job.state == State.SUCCEEDED:
        runtime = (finished - (job.started or finished)) / MICROS
        return _event("succeeded", job, finished, result=_result(job), runtime=runtime)
    if job.state == State.CANCELLED:
        expired = job.expires is not None and finished >= job.expires and job.started is None
        return _event("revoked", job, finished, terminated=job.started is not None, signum=None, expired=expired)
    exception, traceback = _told_error(job.error)
    return _event("failed", job, finished, exception=exception, traceback=traceback)


def _retried(job: JobView, attempt: Attempt, began: bool) -> Iterator[Event]:
    if began and attempt.started is not None:
        yield _event("started", job, attempt.started)
    exception, traceback = _told_error(attempt.error)
    at = attempt.finished or attempt.started or job.created
    yield _event("retried", job, at, exception=exception, traceback=traceback)


def _event(kind: str, job: JobView, at: int, **fields: Any) -> Event:
    return {"type": f"task-{kind}", "uuid": job.id, "timestamp": at / MICROS, **fields}


def _told_error(error: bytes | None) -> tuple[str, str]:
    info = decode_error(error) if error is not None else ErrorInfo(type="WorkerLost", message="its worker died")
    args = [info.message] if info.args is msgspec.UNSET else decode_value(bytes(info.args))
    return _cut(f"{info.type}({', '.join(map(repr, args))})"), info.traceback or ""


def _result(job: JobView) -> str:
    if job.result is None:
        return "None"
    return "(hidden)" if _hides(job) else _repr(job.result)


def _arguments(job: JobView) -> tuple[str, str]:
    """As Python writes them, but for a job some of whose arguments nobody is to see."""
    if _hides(job):
        return "(hidden)", "{hidden}"
    try:
        args, kwargs = decode_value(job.args)
        return _cut(repr(tuple(args))), _cut(repr(kwargs))
    except (DecodeError, TypeError, ValueError):
        return _cut(job.args.decode("utf-8", "backslashreplace")), "{}"


def _hides(job: JobView) -> bool:
    return job.options is not None and bool(_options(job.options).sensitive)


def _repr(data: bytes) -> str:
    try:
        return _cut(repr(decode_value(data)))
    except DecodeError:
        return _cut(data.decode("utf-8", "backslashreplace"))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
