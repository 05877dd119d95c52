"""What watch knows: sites and their posts; subscribers, where they are reached, what they want, what they were told.

Two rows decide what happens once: ``Post`` is unique by site and key, so a post is found once; ``Delivery`` is unique
by post and subscriber, so nobody is told twice.
"""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from watch.crawling import selectors, spiders
from watch.crawling.fetching import check
from watch.errors import CrawlFailed, SpiderError

log = logging.getLogger("watch")


def new_token() -> str:
    """What an unsubscribe link carries; nobody guesses it."""
    return secrets.token_urlsafe(32)


def check_zone(name: str) -> None:
    """Raises ValidationError for a name that is no time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValidationError(f"{name!r} is no time zone; one is Europe/Berlin") from None


def job_of(post: int, subscriber: int) -> str:
    """The id of the job that tells: of a post and a subscriber there is one."""
    return f"tell-{post}-{subscriber}"


class Site(models.Model):
    """A place where posts appear, and how they are found there."""

    class Kind(models.TextChoices):
        FEED = "feed", "feed (RSS, Atom, JSON Feed)"
        PAGES = "pages", "pages, read by selectors"
        SCRAPY = "scrapy", "a Scrapy spider"

    class State(models.TextChoices):
        NEW = "new", "not crawled yet"
        FINE = "fine", "fine"
        FAILING = "failing", "failing"  # no answer, or one that says no; tried again later
        CHANGED = "changed", "layout changed"  # it answers, but nothing is found where posts were found before

    name = models.CharField(max_length=200)
    url = models.URLField(max_length=2000, unique=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.FEED)
    spider = models.JSONField(
        default=dict, blank=True, help_text="Selectors of pages, or the name of a Scrapy spider."
    )
    interval = models.PositiveIntegerField(
        default=900, validators=[MinValueValidator(60)], help_text="Seconds between two crawls."
    )
    jitter = models.PositiveIntegerField(default=60, help_text="Each crawl is up to so many seconds later, by lot.")
    active = models.BooleanField(default=True)

    state = models.CharField(max_length=10, choices=State, default=State.NEW, editable=False)
    problem = models.TextField(default="", editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="Crawls in a row that failed.")
    not_before = models.DateTimeField(null=True, editable=False, help_text="No crawl before, after failures.")
    first_crawl_done = models.BooleanField(default=False, editable=False)
    job = models.CharField(max_length=100, default="", editable=False, help_text="The job that crawls it now.")
    crawled_at = models.DateTimeField(null=True, editable=False)
    found = models.PositiveIntegerField(default=0, editable=False, help_text="Posts that the last good crawl saw.")
    etag = models.CharField(max_length=500, default="", editable=False)
    last_modified = models.CharField(max_length=100, default="", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return str(self.name)

    def clean(self) -> None:
        """Raises ValidationError for an address or a spider that cannot be."""
        try:
            check(str(self.url))
            if self.kind == self.Kind.PAGES:
                selectors.make(self.spider)
            elif self.kind == self.Kind.SCRAPY:
                spiders.make(self.spider)
        except CrawlFailed as error:
            raise ValidationError({"url": str(error)}) from None
        except SpiderError as error:
            raise ValidationError({"spider": str(error)}) from None


class Post(models.Model):
    """Something that was found on a site."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="posts")
    key = models.CharField(
        max_length=500, editable=False, help_text="What makes it this post: the feed's id, or its address."
    )
    url = models.URLField(max_length=2000)
    title = models.CharField(max_length=500)
    summary = models.TextField(default="", blank=True)
    published = models.DateTimeField(null=True, blank=True, help_text="As the site says.")
    digest = models.CharField(
        max_length=64, editable=False, help_text="Of title, summary and address: another one is an edit."
    )
    announced = models.BooleanField(
        default=False, editable=False, help_text="No for what was there at the first crawl."
    )
    handed_over = models.BooleanField(
        default=False, editable=False, help_text="Whether its deliveries have their jobs."
    )
    found_at = models.DateTimeField(default=timezone.now, editable=False)
    edited_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("site", "key"), name="watch_post_once"),)
        indexes = (
            models.Index(
                fields=("found_at",),
                name="watch_post_forgotten",
                condition=models.Q(announced=True, handed_over=False),
            ),
        )

    def __str__(self) -> str:
        return str(self.title)


class Subscriber(models.Model):
    """Somebody who is told."""

    name = models.CharField(max_length=200)
    zone = models.CharField("time zone", max_length=64, default="UTC", validators=[check_zone])
    quiet_from = models.TimeField(
        null=True, blank=True, help_text="On the subscriber's clock; told after quiet_to instead."
    )
    quiet_to = models.TimeField(null=True, blank=True)
    active = models.BooleanField(default=True)
    token = models.CharField(max_length=64, unique=True, default=new_token, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(quiet_from=None, quiet_to=None)
                | models.Q(quiet_from__isnull=False, quiet_to__isnull=False),
                name="watch_quiet_both_or_none",
                violation_error_message="Quiet hours have a beginning and an end; or neither.",
            ),
        )

    def __str__(self) -> str:
        return str(self.name)

    @property
    def clock(self) -> ZoneInfo:
        return clock_of(self.pk, self.zone)


def clock_of(subscriber: int, zone: str) -> ZoneInfo:
    """The time zone; the installation's for a name that this machine does not know (any more)."""
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        log.warning("subscriber %s: %r is no time zone here; %s is taken", subscriber, zone, settings.TIME_ZONE)
        return ZoneInfo(settings.TIME_ZONE)


class Target(models.Model):
    """Where a subscriber is reached."""

    class Kind(models.TextChoices):
        FCM = "fcm", "phone (FCM)"
        WEBPUSH = "webpush", "browser (Web Push)"
        EMAIL = "email", "e-mail"
        NTFY = "ntfy", "ntfy"
        APPRISE = "apprise", "apprise"

    class State(models.TextChoices):
        ALIVE = "alive"
        DEAD = "dead"  # on the provider's word

    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="targets")
    kind = models.CharField(max_length=10, choices=Kind)
    address = models.CharField(
        max_length=1000, help_text="Token or installation id, endpoint, e-mail address, or URL."
    )
    keys = models.JSONField(default=dict, blank=True, help_text="Web Push: p256dh and auth.")
    state = models.CharField(max_length=10, choices=State, default=State.ALIVE)
    reason = models.TextField(default="", blank=True, help_text="Why it is dead.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    died_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("kind", "address"), name="watch_target_once"),)

    def __str__(self) -> str:
        return target_words(str(self.kind), str(self.address))


def target_words(kind: str, address: str) -> str:
    """Not the whole address: with most kinds, who has it can send there."""
    return f"{kind} {address if kind == str(Target.Kind.EMAIL) or len(address) < 16 else address[:12] + '...'}"


class Subscription(models.Model):
    """What a subscriber wants: the posts of a site or of all, with any of some words or all of them."""

    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="subscriptions")
    site = models.ForeignKey(Site, models.CASCADE, null=True, blank=True, help_text="None: every site.")
    keywords = models.JSONField(
        default=list, blank=True, help_text="A post with any of these words in title or summary; none: every post."
    )

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.site or 'every site'}: {', '.join(self.keywords) or 'every post'}"


class Delivery(models.Model):
    """That a subscriber is to be told of a post, and what became of it. Made in the post's transaction."""

    class State(models.TextChoices):
        WAITING = "waiting"
        ACCEPTED = "accepted", "accepted by the provider"
        FAILED = "failed"  # given up
        DROPPED = "dropped"  # nobody is to be told any more: unsubscribed, or no target left

    post = models.ForeignKey(Post, models.CASCADE, related_name="deliveries")
    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="deliveries")
    target = models.ForeignKey(Target, models.SET_NULL, null=True, blank=True, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    reason = models.TextField(default="", blank=True, help_text="Why it waits, or what it ended with.")
    provider_id = models.CharField(max_length=200, default="", editable=False, help_text="The provider's id for it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        constraints = (models.UniqueConstraint(fields=("post", "subscriber"), name="watch_delivery_once"),)
        indexes = (
            models.Index(fields=("created_at",), name="watch_delivery_waiting", condition=models.Q(state="waiting")),
        )

    def __str__(self) -> str:
        return f"{self.post_id} to {self.subscriber_id}: {self.state}"

    @property
    def job(self) -> str:
        """The id in duly's store of the job that tells."""
        return job_of(self.post_id, self.subscriber_id)

    @property
    def took(self) -> timedelta | None:
        """From the discovery to the provider's word."""
        accepted: datetime | None = self.accepted_at
        return None if accepted is None else accepted - self.created_at


class Provider(models.Model):
    """One that has asked to be left alone; jobs for it wait meanwhile."""

    name = models.CharField(max_length=200, unique=True)
    closed_until = models.DateTimeField()
    reason = models.TextField()

    class Meta:
        ordering = ("-closed_until",)

    def __str__(self) -> str:
        return f"{self.name} until {self.closed_until:%Y-%m-%d %H:%M:%S}: {self.reason}"
