"""The jobs of queue ``crawl``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from duly import Task
from duly.contrib.django import app
from watch import crawls, planning, tidying


@app.task(
    name=planning.TASK,
    bind=True,
    queue="crawl",
    max_concurrency=1,
    rate_limit="30/m",  # two seconds between two crawls of a host; within one the fetcher makes pauses
    limit_key=lambda site, host: host,
    time_limit=timedelta(hours=4).total_seconds(),
    max_retries=0,
)
def crawl(self: Task[..., Any], site: int, host: str) -> crawls.Outcome:
    """Crawl a site. ``host``: what the limits count by: a host is asked one thing at a time, over all workers."""
    with crawls.fetcher() as fetch:
        return crawls.crawl(site, fetch, job=str(self.request.id))


@app.periodic(timedelta(hours=1))
@app.task(name="watch.keep_in_step", queue="crawl", priority=9)
def keep_in_step() -> int:
    """Schedules as the rows of sites have them, should a process have died between the two."""
    return planning.keep_in_step(app)


@app.periodic(timedelta(days=1))
@app.task(name="watch.tidy", queue="crawl")
def tidy() -> int:
    """Forget who was told of what long ago."""
    return tidying.tidy(timezone.now() - timedelta(days=settings.WATCH.keep))
