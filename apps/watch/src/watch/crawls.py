"""A site's crawl: read it, store what is new, and note how it went.

What goes wrong with a site is a state of the site, for its owner to see, and no failure of the job: the job did what
it could. A site that fails is left alone for longer each time, and for as long as it asks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.utils import timezone

from watch.crawling import selectors, spiders
from watch.crawling.fetching import Fetcher, agent
from watch.crawling.reading import Reading, read_feed, read_pages
from watch.crawling.robots import Robots
from watch.errors import CrawlFailed, LayoutChanged, SpiderError, WatchError
from watch.finding import Recorded, record, rekey
from watch.found import Found
from watch.models import Post, Site

log = logging.getLogger("watch")

LONGEST = timedelta(days=1)
"""A site that fails is tried at least so often,"""
LONGEST_ASKED = timedelta(days=7)
"""and one that asks to be left alone for longer, at least so often."""
FINE, FAILING, CHANGED = str(Site.State.FINE), str(Site.State.FAILING), str(Site.State.CHANGED)
_robots = Robots()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a crawl; the job's result."""

    site: str
    state: str
    """A state of Site; or ``waiting`` for a crawl that was not due after a failure, ``gone`` for no such site."""
    found: int = 0
    new: int = 0
    edited: int = 0
    unchanged: bool = False
    problem: str = ""


def fetcher() -> Fetcher:
    """What fetches for this installation; one a crawl."""
    return Fetcher(_robots, settings.WATCH.contact, settings.WATCH.private)


def crawl(id: int, fetch: Fetcher, now: datetime | None = None, job: str = "") -> Outcome:
    """Crawl a site. ``job``: whose end is looked at (``lost.py``) should this one not come to its own. Raises what is
    a defect of watch, or of its database."""
    now = now or timezone.now()
    site = Site.objects.filter(pk=id).first()
    if site is None or not site.active:
        return Outcome(site=site.name if site else str(id), state="gone")
    if site.not_before is not None and site.not_before > now:
        return Outcome(site=site.name, state="waiting", problem=f"not before {site.not_before:%Y-%m-%d %H:%M} UTC")
    _note(site, job=job)
    try:
        outcome = _scrapy(site, now) if site.kind == Site.Kind.SCRAPY else _read(site, fetch, now)
    except LayoutChanged as error:
        outcome = _changed(site, str(error), now)
    except (CrawlFailed, SpiderError) as error:
        outcome = failed(site, error, now)
    except Exception as error:  # a defect, or something that no site has sent yet: the job fails, with its traceback
        failed(site, WatchError(f"the crawl broke: {type(error).__name__}: {error}"[:500]), now)
        raise
    if outcome.state != site.state or (outcome.problem and outcome.problem != site.problem):
        say(outcome)
    return outcome


def say(outcome: Outcome) -> None:
    """In the log, as a warning unless all is well."""
    level = logging.INFO if outcome.state == FINE else logging.WARNING
    log.log(level, "site %s is %s%s", outcome.site, outcome.state, outcome.problem and f": {outcome.problem}")


# -- reading -----------------------------------------------------------------------------------------


def _read(site: Site, fetch: Fetcher, now: datetime) -> Outcome:
    reading = _reading(site, fetch)
    if reading.unchanged:
        return _fine(site, Recorded(), site.found, now, unchanged=True)
    if not reading.posts and site.found:
        raise LayoutChanged(f"nothing is there any more; the last time there were {site.found} posts")
    rekey(site, reading.posts)
    recorded = record(site, reading.posts)
    notice = f"it has moved for good, to {reading.moved_to}: change its address" if reading.moved_to else ""
    found = len(reading.posts)
    return _fine(site, recorded, found, now, etag=reading.etag, last_modified=reading.last_modified, problem=notice)


def _reading(site: Site, fetch: Fetcher) -> Reading:
    if site.kind == Site.Kind.FEED:
        return read_feed(fetch, site.url, site.etag, site.last_modified)
    wanted = selectors.make(site.spider)
    return read_pages(fetch, site.url, wanted, lambda found: _known(site, found), site.etag, site.last_modified)


def _known(site: Site, found: Sequence[Found]) -> bool:
    """Whether all of these are known, and so what is older. At the first crawl it is not."""
    keys = {one.key for one in found}
    return bool(site.first_crawl_done) and Post.objects.filter(site=site, key__in=keys).count() == len(keys)


def _scrapy(site: Site, now: datetime) -> Outcome:
    """Recorded while it goes on: a spider has its own rule of where to stop."""
    wanted = spiders.make(site.spider)
    recorded = Recorded()
    for found in spiders.run(site.url, wanted, agent(settings.WATCH.contact)):
        recorded.add(record(site, found))
    if not recorded.total and site.found:
        raise LayoutChanged(f"{wanted.spider} finds nothing; the last time it found {site.found} posts")
    return _fine(site, recorded, recorded.total, now)


# -- how it went -------------------------------------------------------------------------------------


def _fine(
    site: Site, recorded: Recorded, found: int, now: datetime, unchanged: bool = False, problem: str = "", **kept: str
) -> Outcome:
    _note(
        site, state=FINE, problem=problem, failures=0, not_before=None, crawled_at=now, found=found,
        first_crawl_done=True, job="", **kept,
    )  # fmt: skip
    return Outcome(
        site=site.name, state=FINE, found=found, new=recorded.new, edited=recorded.edited,
        unchanged=unchanged, problem=problem,
    )  # fmt: skip


def _changed(site: Site, problem: str, now: datetime) -> Outcome:
    """It answers, so it is asked again at its usual times."""
    _note(site, state=CHANGED, problem=problem, failures=0, not_before=None, crawled_at=now, job="")
    return Outcome(site=site.name, state=CHANGED, problem=problem)


def failed(site: Site, error: WatchError, now: datetime) -> Outcome:
    """It is left alone for longer each time."""
    failures = site.failures + 1
    asked = error.retry_after if isinstance(error, CrawlFailed) else None
    _note(
        site, state=FAILING, problem=str(error), failures=failures, crawled_at=now,
        not_before=now + pause(site.interval, failures, asked), job="",
    )  # fmt: skip
    return Outcome(site=site.name, state=FAILING, problem=str(error))


def pause(interval: int, failures: int, asked: float | None) -> timedelta:
    """For how long a failing site is left alone: at first half an interval, so that the next crawl is made, then
    twice as long each time."""
    doubled = timedelta(seconds=interval * 2 ** min(failures - 1, 20)) / 2
    return max(min(doubled, LONGEST), min(timedelta(seconds=asked or 0.0), LONGEST_ASKED))


def _note(site: Site, **values: object) -> None:
    """By an update, which wakes no signal: the site's schedule stays as it is."""
    Site.objects.filter(pk=site.pk).update(**values)
