"""From what a crawl brought to posts: new ones, edited ones, known ones.

The posts of a batch and the deliveries that follow from them come in one transaction. A crawl that is killed and run
again finds what it had stored as known, and goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec
from django.db import IntegrityError, transaction
from django.utils import timezone

from watch import telling
from watch.found import Found
from watch.models import Post, Site

MOST = 100
"""Posts a transaction, at most."""
ENOUGH = 3
"""Posts that have to read the same before it is no accident: some feeds give all their posts the same title."""


class Recorded(msgspec.Struct):
    """How many posts were which."""

    new: int = 0
    edited: int = 0
    known: int = 0

    @property
    def total(self) -> int:
        return self.new + self.edited + self.known

    def add(self, other: Recorded) -> None:
        self.new += other.new
        self.edited += other.edited
        self.known += other.known


def record(site: Site, found: Iterable[Found]) -> Recorded:
    """Store what was found. Before the site's first crawl is done nobody is told: what is there is no news.

    Newest first is how sites list; it is stored the other way round, so that people hear of things in their order.
    """
    unique = list({one.key: one for one in found}.values())
    recorded = Recorded()
    size = min(telling.posts_at_once(site), MOST) if site.first_crawl_done else MOST
    for batch in _batches(reversed(unique), size):
        try:
            recorded.add(_record(site, batch))
        except IntegrityError:  # another crawl of the site stored one of them meanwhile: now it is known
            recorded.add(_record(site, batch))
    return recorded


def rekey(site: Site, found: Sequence[Found]) -> int:
    """How many posts have got the keys that their site has given them anew.

    A site that moves, or changes its software, may give all its posts other ids or addresses. When none of them is
    known by its key, and half of them at least read as known ones do, of the same date, those are no news.
    """
    anew = {one.key: one for one in found}
    if len(anew) < ENOUGH or Post.objects.filter(site=site, key__in=anew).exists():
        return 0
    with transaction.atomic():
        known = Post.objects.filter(site=site, digest__in=[one.digest for one in anew.values()])
        same = {(post.digest, post.published): post for post in known}
        changed = []
        for one in anew.values():
            if (post := same.pop((one.digest, one.published), None)) is not None:
                post.key, post.url = one.key, one.url
                changed.append(post)
        if len(changed) < max(ENOUGH, len(anew) / 2):
            return 0
        Post.objects.bulk_update(changed, ["key", "url"])
    return len(changed)


def _record(site: Site, batch: Sequence[Found]) -> Recorded:
    with transaction.atomic():
        known = {post.key: post for post in Post.objects.filter(site=site, key__in=[one.key for one in batch])}
        fresh = [one for one in batch if one.key not in known]
        edited = [
            _edit(known[one.key], one) for one in batch if one.key in known and known[one.key].digest != one.digest
        ]
        Post.objects.bulk_update(edited, ["url", "title", "summary", "digest", "edited_at"])
        posts = _insert(site, fresh)
        if site.first_crawl_done:
            telling.announce(posts)
    return Recorded(new=len(posts), edited=len(edited), known=len(batch) - len(posts) - len(edited))


def _insert(site: Site, fresh: Sequence[Found]) -> list[Post]:
    now = timezone.now()
    made = [
        Post(
            site=site, key=one.key, url=one.url, title=one.title, summary=one.summary, published=one.published,
            digest=one.digest, found_at=now, announced=site.first_crawl_done,
        )
        for one in fresh
    ]  # fmt: skip
    Post.objects.bulk_create(made)
    return made


def _edit(post: Post, one: Found) -> Post:
    post.url, post.title, post.summary, post.digest = one.url, one.title, one.summary, one.digest
    post.edited_at = timezone.now()
    return post


def _batches(found: Iterator[Found], size: int) -> Iterator[list[Found]]:
    while batch := list(islice(found, size)):
        yield batch
