"""The pages: what was found and who was told, for those who may log in; and the end of a subscription, for everybody
who has the link."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.contrib.admin.views.decorators import staff_member_required
from django.db.models import Case, Count, F, Max, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from watch.models import Delivery, Post, Site, Subscriber

View = Callable[..., HttpResponse]

PAGE = 50
SHOWN = 500
"""Deliveries on a post's page, those in trouble first."""
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def safe(view: View) -> View:
    """With headers that let nothing in from elsewhere, and keep the page out of caches."""

    @functools.wraps(view)
    def guarded(*args: object, **kwargs: object) -> HttpResponse:
        response = view(*args, **kwargs)
        for name, value in _SAFE.items():
            response.headers[name] = value
        return response

    return guarded


class Line(msgspec.Struct):
    """A post in a list, with what became of its deliveries."""

    post: Post
    told: int = 0
    waiting: int = 0
    failed: int = 0
    dropped: int = 0
    last: datetime | None = None

    @property
    def forgotten(self) -> bool:
        """Whether it is not kept any more who was told."""
        return bool(self.post.found_at < timezone.now() - timedelta(days=settings.WATCH.keep))

    @property
    def within(self) -> timedelta | None:
        """From the discovery until the last of them was told, once nobody waits."""
        return self.last - self.post.found_at if self.last is not None and not self.waiting else None


@require_GET
@staff_member_required
@safe
def home(request: HttpRequest) -> HttpResponse:
    """The sites, and the posts that were found last."""
    sites = Site.objects.order_by(_last("state", Site.State.FINE, Site.State.NEW), "name")
    posts = Post.objects.select_related("site")
    return render(request, "watch/home.html", {"sites": sites, **_page(request, posts)})


@require_GET
@staff_member_required
@safe
def site(request: HttpRequest, id: int) -> HttpResponse:
    """One site and its posts."""
    one = get_object_or_404(Site, pk=id)
    return render(request, "watch/site.html", {"site": one, **_page(request, Post.objects.filter(site=one))})


@require_GET
@staff_member_required
@safe
def post(request: HttpRequest, id: int) -> HttpResponse:
    """One post, and who was told of it."""
    one = get_object_or_404(Post.objects.select_related("site"), pk=id)
    deliveries = one.deliveries.select_related("subscriber", "target").order_by(
        _last("state", Delivery.State.ACCEPTED), "subscriber__name"
    )
    (line,) = _lines([one])
    return render(request, "watch/post.html", {"line": line, "post": one, "deliveries": deliveries[:SHOWN]})


def _last(field: str, *values: object) -> Case:
    """An order in which rows with these values come last: what is well is looked at last."""
    return Case(When(**{f"{field}__in": values}, then=1), default=0)


def _page(request: HttpRequest, posts: QuerySet[Post]) -> dict[str, object]:
    """Newest first, from ``?before=`` on; nothing is counted."""
    before = request.GET.get("before", "")
    if before.isdecimal():
        posts = posts.filter(pk__lt=int(before[:18]))
    found = list(posts.order_by("-pk")[: PAGE + 1])
    return {"lines": _lines(found[:PAGE]), "before": found[PAGE - 1].pk if len(found) > PAGE else None}


def _lines(posts: Iterable[Post]) -> list[Line]:
    lines = {post.pk: Line(post) for post in posts}
    counted = (
        Delivery.objects.filter(post__in=list(lines))
        .values("post", "state")
        .annotate(number=Count("*"), last=Max(F("accepted_at")))
        .order_by()
    )
    names = {"accepted": "told", "waiting": "waiting", "failed": "failed", "dropped": "dropped"}
    for row in counted:
        line = lines[row["post"]]
        setattr(line, names[row["state"]], row["number"])
        line.last = row["last"] or line.last
    return list(lines.values())


@csrf_exempt  # a mail program posts here for its user (RFC 8058); who has the token is the subscriber
@require_http_methods(["GET", "POST"])
@safe
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, POST does: programs that follow links in mails unsubscribe nobody."""
    one = get_object_or_404(Subscriber, token=token)
    if request.method == "POST":
        one.active = "again" in request.POST
        one.save(update_fields=["active"])
    return render(request, "watch/unsubscribe.html", {"subscriber": one, "done": request.method == "POST"})
