"""``add``, ``list``, ``crawl`` and ``remove``: the sites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from django.core.exceptions import ValidationError
from rich.table import Table

from duly import JobError
from duly.contrib.django import app
from watch import crawls, planning
from watch.cli.near import did_you_mean
from watch.cli.root import console
from watch.cli.spans import Span, ago, span_text
from watch.crawling import selectors, spiders
from watch.crawling.discovering import Proposal, discover
from watch.crawling.reading import read_pages
from watch.errors import WatchError
from watch.models import Site

SHOWN = 8
SOON, PATIENCE = 5.0, 120.0
"""Seconds after which somebody who waits for a crawl is told why, and for how long they wait at all."""
_TROUBLED = (Site.State.FAILING, Site.State.CHANGED)


@click.command()
@click.argument("url")
@click.option("--name", help="What it is called. [default: its own title]")
@click.option("--every", type=Span(), default=900, metavar="SPAN", help="Between two crawls. [default: 15m]")
@click.option("--selectors", "css", metavar="JSON", help='Where the posts are: \'{"item": "article"}\', or @file.')
@click.option("--scrapy", metavar="MODULE:CLASS", help="A Scrapy spider that reads the site.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be found.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def add(
    url: str, name: str | None, every: int, css: str | None, scrapy: str | None, dry_run: bool, yes: bool
) -> None:
    """Find the feed at URL, or selectors for its posts, show what would be found, and add the site."""
    proposal = _proposal(url if "://" in url else f"https://{url}", css, scrapy)
    site = Site(
        name=name or proposal.name, url=proposal.url, kind=proposal.kind, spider=dict(proposal.spider), interval=every
    )
    _check(site)
    _show(proposal)
    if dry_run or not (
        yes or click.confirm(f"Add it as {site.name!r}, crawled every {span_text(every)}?", default=True)
    ):
        return
    site.save()
    console.print(f"Added as number {site.pk}. Its first crawl marks what is there as seen; nobody is told of that.")


def _proposal(url: str, css: str | None, scrapy: str | None) -> Proposal:
    if css and scrapy:
        raise click.UsageError("--selectors or --scrapy, not both")
    if scrapy:
        spider = {"spider": scrapy}
        spiders.make(spider)
        return Proposal(kind="scrapy", url=url, name=urlsplit(url).hostname or url, spider=spider)
    with crawls.fetcher() as fetch:
        if not css:
            return discover(fetch, url)
        wanted = _json(css)
        reading = read_pages(fetch, url, selectors.make(wanted), known=lambda _: True)
    return Proposal(kind="pages", url=url, name=urlsplit(url).hostname or url, spider=wanted, posts=reading.posts)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as error:
        raise click.BadParameter(f"{text[1:]}: {error.strerror}", param_hint="--selectors") from None
    except ValueError as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="--selectors") from None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{found!r} is no JSON object", param_hint="--selectors")
    return found


def _check(site: Site) -> None:
    try:
        site.full_clean()
    except ValidationError as error:
        said = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
        raise WatchError(f"{site.url} cannot be added: {said}") from None


def _show(proposal: Proposal) -> None:
    kinds = {"feed": "A feed", "pages": "No feed; selectors", "scrapy": "A Scrapy spider"}
    console.print(f"[bold]{kinds[proposal.kind]}[/]: {proposal.url}", markup=True)
    if proposal.spider:
        console.print(json.dumps(proposal.spider, ensure_ascii=False), markup=False)
    if proposal.kind == "scrapy":
        return
    console.print(f"{len(proposal.posts)} posts there now:")
    for post in proposal.posts[:SHOWN]:
        day = f"{post.published:%Y-%m-%d}  " if post.published else ""
        console.print(f"  {day}{post.title}\n    {post.url}", markup=False)
    if len(proposal.posts) > SHOWN:
        console.print(f"  and {len(proposal.posts) - SHOWN} more")


@click.command("list")
@click.option("--troubled", is_flag=True, help="Only those that need somebody; exit status 1 if there are any.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(troubled: bool, as_json: bool) -> None:
    """The sites, and how their last crawls went."""
    sites = Site.objects.filter(active=True, state__in=_TROUBLED) if troubled else Site.objects.all()
    if as_json:
        for site in sites:
            click.echo(json.dumps(_row(site), ensure_ascii=False, default=str))
    elif sites or not troubled:
        _print(list(sites))
    if troubled and sites:
        raise SystemExit(1)


def _row(site: Site) -> dict[str, Any]:
    names = ("id", "name", "kind", "url", "interval", "active", "state", "problem", "failures", "found", "crawled_at")
    return {name: getattr(site, name) for name in names}


def _print(sites: list[Site]) -> None:
    if not sites:
        console.print("There are no sites yet: watch add URL")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("No.", "Site", "Kind", "Every", "State", "Crawled", "Posts"):
        table.add_column(heading, justify="right" if heading in ("No.", "Posts") else "left")
    for site in sites:
        state = "off" if not site.active else site.get_state_display()
        every, crawled = span_text(site.interval), ago(site.crawled_at)
        table.add_row(str(site.pk), site.name, site.kind, every, state, crawled, str(site.found))
    console.print(table)
    for site in sites:
        if site.problem:
            console.print(f"{site.name}: {site.problem}", markup=False)


@click.command()
@click.argument("site")
def crawl(site: str) -> None:
    """Crawl SITE (number, name or address) now, by a worker, and say what came of it."""
    found = _find(site)
    if not found.active:
        raise WatchError(f"{found.name} is switched off; switch it on in the admin, or: watch manage")
    Site.objects.filter(pk=found.pk).update(not_before=None)
    outcome = _outcome(planning.crawl_soon(app, found, priority=9))
    console.print(_said(outcome), markup=False)
    if outcome.state in (crawls.CHANGED, crawls.FAILING):
        raise SystemExit(1)


def _outcome(id: str) -> crawls.Outcome:
    """Of the job, when it has ended; meanwhile it is said what it waits for. Raises WatchError."""
    for patience in (SOON, PATIENCE):
        try:
            outcome: crawls.Outcome = app.AsyncResult(id).get(timeout=patience)
            return outcome
        except TimeoutError:
            console.print(app.why(id), markup=False)
        except JobError as error:
            raise WatchError(f"the crawl failed: {error}") from None
    raise WatchError(f"the crawl has not ended after {PATIENCE:.0f} s; it is still to be done")


def _said(outcome: crawls.Outcome) -> str:
    if outcome.unchanged:
        return f"{outcome.site}: not changed since the last crawl"
    if outcome.state != crawls.FINE:
        return f"{outcome.site} is {outcome.state}: {outcome.problem}"
    return f"{outcome.site}: {outcome.found} posts, {outcome.new} new, {outcome.edited} edited" + (
        f"; {outcome.problem}" if outcome.problem else ""
    )


@click.command()
@click.argument("site")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(site: str, yes: bool) -> None:
    """Forget SITE (number, name or address) with its posts and deliveries."""
    found = _find(site)
    posts = found.posts.count()
    if yes or click.confirm(f"Remove {found.name} with {posts} posts and what was told of them?"):
        found.delete()
        console.print(f"Removed {found.name}.", markup=False)


def _find(text: str) -> Site:
    """The site of that number, name or address. Raises WatchError."""
    sites = list(Site.objects.all())
    fits: list[Site] = [one for one in sites if text in (str(one.pk), one.name, one.url)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        numbers = ", ".join(str(one.pk) for one in fits)
        raise WatchError(f"there are several sites {text!r}: say which number, one of {numbers}")
    raise WatchError(f"no site {text!r}{did_you_mean(text, [one.name for one in sites]) or '; see: watch list'}")
