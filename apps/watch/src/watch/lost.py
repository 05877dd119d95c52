"""Crawls that ended without a word: their workers died as often as is allowed, they were killed at their time limit,
or somebody cancelled them. Their sites are told as any whose crawl fails.

A crawl notes its job in the site's row when it begins, and takes it out again with how it went. A row whose job has
ended is one that nobody came back to.
"""

from __future__ import annotations

from datetime import datetime

from duly import Duly, JobUnknown
from watch import crawls
from watch.errors import WatchError
from watch.models import Site


def mourn(duly: Duly, now: datetime) -> int:
    """Note them; how many there were. Raises StoreError."""
    lost = 0
    for site in Site.objects.exclude(job=""):
        end = _end(duly, site.job)
        if end and Site.objects.filter(pk=site.pk, job=site.job).exists():  # it has not ended properly just now
            crawls.say(crawls.failed(site, WatchError(f"the crawl did not come to its end: {end}"), now))
            lost += 1
    return lost


def _end(duly: Duly, job: str) -> str:
    """How a job ended; empty while it has not."""
    result = duly.AsyncResult(job)
    try:
        if not result.ready():
            return ""
        found = result.get(timeout=0, propagate=False)
    except JobUnknown:
        return "its job is gone"
    return str(found) if isinstance(found, BaseException) else "its job says that it did"
