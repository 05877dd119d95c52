"""duly's schedules, kept in step with the rows of sites: one schedule a site.

A row that is saved or deleted changes its schedule when the transaction is committed. Should the process die in
between, or the store not answer, the hourly look (``tasks.py``) puts it right.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save

from duly import Duly, DulyError
from duly.contrib.django import app
from duly.schedules import every
from watch.crawling.fetching import host_of
from watch.models import Site

log = logging.getLogger("watch")

TASK = "watch.crawl"
PREFIX = "watch.crawl:"


def name_of(id: int) -> str:
    return f"{PREFIX}{id}"


def listen() -> None:
    """Follow what is saved and deleted from now on."""
    post_save.connect(_saved, Site, dispatch_uid="watch.planning")
    post_delete.connect(_deleted, Site, dispatch_uid="watch.planning")


def _saved(instance: Site, created: bool, **_: Any) -> None:
    transaction.on_commit(lambda: _after_save(instance, created), robust=True)


def _after_save(site: Site, created: bool) -> None:
    with _forgiven(site):
        plan(app, site)
        if created and site.active:
            crawl_soon(app, site)


def _deleted(instance: Site, **_: Any) -> None:
    name = name_of(instance.pk)  # which the deletion takes from the instance

    def after() -> None:
        with _forgiven(instance):
            _remove(app, name)

    transaction.on_commit(after, robust=True)


@contextlib.contextmanager
def _forgiven(site: Site) -> Iterator[None]:
    """The row is committed, so a store that does not answer is told and not raised."""
    try:
        yield
    except DulyError as error:
        log.warning("site %s: its schedule follows within an hour, or at the next start: %s", site.name, error)


def plan(duly: Duly, site: Site) -> None:
    """The schedule as the row has it; nothing is written when it is so already. Raises StoreError."""
    if not site.active:
        _remove(duly, name_of(site.pk))
        return
    duly.schedules.add(
        name_of(site.pk),
        TASK,
        every(site.interval, anchor=site.created_at),  # not all sites at the same moment
        (site.pk, host_of(site.url)),
        jitter=min(site.jitter, site.interval / 2),
        overlap="skip",
        expires=site.interval,  # a crawl that could not start until the next one is due is not made up for
    )


def _remove(duly: Duly, name: str) -> None:
    if any(one.name == name for one in duly.schedules.list()):
        duly.schedules.remove(name)


def keep_in_step(duly: Duly) -> int:
    """Plan every site, and forget those that are gone; how many there are. Raises StoreError."""
    sites = list(Site.objects.filter(active=True))
    for site in sites:
        plan(duly, site)
    wanted = {name_of(site.pk) for site in sites}
    for schedule in duly.schedules.list():
        if schedule.name.startswith(PREFIX) and schedule.name not in wanted:
            duly.schedules.remove(schedule.name)
    return len(sites)


def crawl_soon(duly: Duly, site: Site, priority: int = 5) -> str:
    """Crawl it as soon as a worker can; once, however often it is asked. Gives the id of the job."""
    task = duly.tasks[TASK]
    return task.apply_async((site.pk, host_of(site.url)), key=f"{PREFIX}{site.pk}", priority=priority).id
