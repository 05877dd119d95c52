"""A query against the store, with the work bounded.

The store answers what its indexes know; the rest is tested here, a page at a time, until there are enough jobs or
the time is up. Then whoever asked is told how far the search came, and goes on from there: so ten million jobs make
nobody wait, and a rare one is found all the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from duly.job import JobView
from duly.store.contract import Store
from duly.web.language import Query

PAGE = 100
"""Jobs the store is asked for at once."""

SECONDS = 0.25
"""How long one look may take."""


@dataclass(frozen=True)
class Found:
    """Some of the jobs that match."""

    jobs: list[JobView]
    after: str | None  # where to go on; None: that was all
    looked: int  # jobs that were looked at


def search(store: Store, query: Query, after: str | None, limit: int, seconds: float = SECONDS) -> Found:
    """At least ``limit`` jobs (and less than a page more), or as many as there are, or as time allows."""
    end = time.monotonic() + seconds
    jobs: list[JobView] = []
    looked = 0
    while True:
        page = store.jobs(query.which, query.order, after, PAGE if query.tests else limit)
        looked += len(page.jobs)
        jobs += [job for job in page.jobs if query.matches(job)]
        after = page.after
        if after is None or len(jobs) >= limit or time.monotonic() >= end:
            return Found(jobs, after, looked)


def everything(store: Store, query: Query) -> Iterator[list[JobView]]:
    """All the jobs that match, a page at a time; pages without one too."""
    after: str | None = None
    while True:
        page = store.jobs(query.which, query.order, after, PAGE)
        yield [job for job in page.jobs if query.matches(job)]
        after = page.after
        if after is None:
            return
