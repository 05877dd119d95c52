"""Django's admin: sites, posts, subscribers with their targets and subscriptions, and what was delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import JSONField, QuerySet, URLField
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from duly.contrib.django import app
from watch import planning
from watch.models import Delivery, Post, Provider, Site, Subscriber, Subscription, Target

admin.site.site_header = admin.site.site_title = "Watch"
admin.site.index_title = "Administration"
_URLS: dict[type, dict[str, Any]] = {URLField: {"assume_scheme": "https"}}


class Capped(Paginator):
    """Counts to ten thousand and no further: these tables grow, and a list of them must not count them whole."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        return len(self.object_list.values("pk")[: self.most])


class ReadOnly(admin.ModelAdmin):
    """What the program writes: to be looked at."""

    paginator = Capped

    actions = None
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Site)
class SiteAdmin(admin.ModelAdmin):
    """What a save changes is the site's schedule too (``planning.py``)."""

    list_display = ("name", "kind", "state", "problem", "crawled_at", "found", "active")
    formfield_overrides = _URLS
    list_filter = ("state", "kind", "active")
    search_fields = ("name", "url")
    readonly_fields = ("state", "problem", "crawled_at", "found", "failures", "not_before", "first_crawl_done")
    actions = ("crawl_now",)

    def save_model(self, request: HttpRequest, obj: Site, form: Any, change: bool) -> None:
        """What is read otherwise is read anew, though the site says that it has not changed."""
        if {"url", "kind", "spider"} & set(form.changed_data):
            obj.etag = obj.last_modified = ""
        super().save_model(request, obj, form, change)

    @admin.action(description="Crawl the selected sites now", permissions=["change"])
    def crawl_now(self, request: HttpRequest, sites: QuerySet[Site]) -> None:
        active = [site for site in sites if site.active]
        sites.update(not_before=None)
        for site in active:
            planning.crawl_soon(app, site, priority=9)
        messages.success(request, f"To be crawled as soon as a worker can: {len(active)}")
        if off := sites.count() - len(active):
            messages.warning(request, f"Left out, because they are switched off: {off}")


@admin.register(Post)
class PostAdmin(ReadOnly):
    list_display = ("title", "site", "found_at", "published", "announced", "edited_at")
    formfield_overrides = _URLS
    list_filter = ("site", "announced")
    list_select_related = ("site",)
    search_fields = ("title",)


class Words(forms.CharField):
    """A list of texts, written with commas between."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        return [word.strip() for word in str(value or "").split(",") if word.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class SubscriptionForm(forms.ModelForm):
    keywords = Words(required=False, help_text="With commas between; a post with any of them. None: every post.")

    class Meta:
        model = Subscription
        fields = ("site", "keywords")


class TargetInline(admin.TabularInline):
    model = Target
    extra = 0
    fields = ("kind", "address", "keys", "state", "reason")
    readonly_fields = ("reason",)
    formfield_overrides: ClassVar = {JSONField: {"widget": forms.Textarea(attrs={"rows": 1, "cols": 14})}}


class SubscriptionInline(admin.TabularInline):
    model = Subscription
    form = SubscriptionForm
    extra = 0


@admin.register(Subscriber)
class SubscriberAdmin(admin.ModelAdmin):
    list_display = ("name", "zone", "quiet", "active", "created_at")
    list_filter = ("active",)
    search_fields = ("name", "targets__address")
    inlines = (TargetInline, SubscriptionInline)
    paginator = Capped
    readonly_fields = ("link",)
    show_full_result_count = False

    @admin.display(description="quiet")
    def quiet(self, one: Subscriber) -> str:
        return "" if one.quiet_from is None else f"{one.quiet_from:%H:%M} to {one.quiet_to:%H:%M}"

    @admin.display(description="unsubscribe link")
    def link(self, one: Subscriber) -> SafeString:
        address = f"{settings.WATCH.url.rstrip('/')}{reverse('unsubscribe', args=(one.token,))}"
        return SafeString(format_html('<a href="{0}">{0}</a>', address))


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("what", "subscriber", "state", "target", "created_at", "took", "reason", "its_job")
    list_filter = ("state",)
    list_select_related = ("post", "subscriber", "target")
    search_fields = ("subscriber__name", "post__title")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return ("post", "subscriber", "target", "state", "reason", "created_at", "accepted_at", "took", "its_job")

    @admin.display(description="post")
    def what(self, one: Delivery) -> str:
        return str(Truncator(one.post.title).chars(50))

    @admin.display(description="job")
    def its_job(self, one: Delivery) -> SafeString:
        return SafeString(format_html('<a href="{}">job</a>', reverse("admin:duly_job_change", args=(one.job,))))


@admin.register(Provider)
class ProviderAdmin(ReadOnly):
    list_display = ("name", "closed_until", "reason")
