"""Failures, grouped by what they have in common: the same task, class, place and message."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from duly.job import ErrorInfo, Filter, JobView
from duly.store.contract import Store
from duly.web import payload
from duly.web.site import query, render, site_of

SECONDS = 0.25  # for reading the failures
_PAGE = 100
MOST = 5_000  # failures that are read


@dataclass
class Group:
    """Failures that are alike."""

    mark: str  # the fingerprint
    task: str
    error: ErrorInfo
    place: str
    latest: JobView  # the first one met, newest first
    n: int = 0
    first: int = 0  # when the oldest one that was read ended
    queues: set[str] = field(default_factory=set)


def failures(request: Request) -> Response:
    """The groups, the largest first."""
    groups, read, complete = grouped(site_of(request).store, query(request, "task"))
    return render(request, "failures.html", groups=groups, read=read, complete=complete, task=query(request, "task"))


def grouped(store: Store, task: str = "") -> tuple[list[Group], int, bool]:
    """The groups among the newest failures, how many failures that were, and whether it was all of them."""
    end = time.monotonic() + SECONDS
    groups: dict[str, Group] = {}
    after: str | None = None
    read = 0
    while True:
        page = store.jobs(Filter(states=("failed", "uncertain")), after=after, limit=_PAGE)
        for job in page.jobs:
            if not task or job.task == task:
                _add(groups, job)
        read += len(page.jobs)
        after = page.after
        if after is None or read >= MOST or time.monotonic() >= end:
            ordered = sorted(groups.values(), key=lambda group: -group.n)
            return ordered, read, after is None


def _add(groups: dict[str, Group], job: JobView) -> None:
    mark = payload.fingerprint(job)
    group = groups.get(mark)
    if group is None:
        error = payload.error_of(job.error) or ErrorInfo(type="Unknown", message="no error was noted")
        group = groups[mark] = Group(mark, job.task, error, payload.place_of(error), job)
    group.n += 1
    group.first = job.finished or 0
    group.queues.add(job.queue)
