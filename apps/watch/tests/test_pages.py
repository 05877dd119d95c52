"""The pages, the admin, and the link in each message; through Django's client, and once in a browser."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from playwright.sync_api import sync_playwright
from waitress.server import create_server

from duly import Filter
from duly.contrib.django import app
from watch import tidying
from watch.finding import record
from watch.found import Found
from watch.models import Delivery, Post, Site, Subscriber, Subscription, Target
from watch.planning import name_of
from watch.tasks import tidy
from watch.wsgi import application

pytestmark = pytest.mark.usefixtures("db")


def anybody(**options: bool) -> Client:
    return Client(SERVER_NAME="localhost", **options)


@pytest.fixture
def client() -> Client:
    """Logged in."""
    client = anybody()
    client.force_login(get_user_model().objects.create_superuser("ada", "", "secret"))
    return client


@pytest.fixture
def site() -> Site:
    """With two posts that were there at first, and three that somebody was told of."""
    site = Site.objects.create(name="News & more", url="https://news.example/feed")
    record(site, posts("old", 2))
    site.first_crawl_done = True
    for name in ("Ada", "Ben"):
        one = Subscriber.objects.create(name=name)
        Target.objects.create(subscriber=one, kind="ntfy", address=f"https://ntfy.example/{name}")
        Subscription.objects.create(subscriber=one)
    record(site, posts("new", 3))
    return site


def posts(name: str, number: int) -> list[Found]:
    return [
        Found(key=f"{name}{n}", url=f"https://news.example/{name}{n}", title=f"<b>{name}</b> {n}")
        for n in range(number)
    ]


def page(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response
    return str(response.content.decode())


@pytest.mark.parametrize("path", ["/", "/site/1/", "/post/1/", "/admin/watch/site/"])
def test_who_is_not_logged_in_sees_nothing(path: str) -> None:
    response = anybody().get(path)
    assert response.status_code == 302
    assert "/admin/login/" in response.headers["Location"]


def test_what_was_found_and_told(client: Client, site: Site) -> None:
    first = Post.objects.get(key="new0")
    now = timezone.now()
    first.deliveries.update(state="accepted", accepted_at=first.found_at + timedelta(seconds=1.5))
    Post.objects.get(key="new1").deliveries.filter(subscriber__name="Ben").update(state="failed", reason="quota")
    Site.objects.filter(pk=site.pk).update(
        state="changed", problem="item='p' finds <nothing>", crawled_at=now, not_before=now
    )
    home = page(client, "/")
    for words in (
        "News &amp; more", "layout changed", "finds &lt;nothing&gt;", "&lt;b&gt;new&lt;/b&gt; 0", "2 told",
        "within 1.5 s", "1 waiting", "1 failed", "there at first",
    ):  # fmt: skip
        assert words in home, words
    assert "<b>new" not in home
    assert "quota" in page(client, f"/post/{Post.objects.get(key='new1').pk}/")
    assert "layout changed" in page(client, f"/site/{site.pk}/")
    page(client, "/post/999999/", 404)


def test_older_posts_are_a_page_away(client: Client, site: Site) -> None:
    record(site, posts("many", 60))
    assert "Older posts" in page(client, "/")
    eldest = Post.objects.order_by("-pk")[49].pk
    older = page(client, f"/?before={eldest}")
    assert "old" in older
    assert "Older posts" not in older
    page(client, "/?before=9999999999999999999999")
    page(client, "/?before=x")


@pytest.mark.parametrize("batch", [1, 1000])
def test_who_was_told_is_kept_for_thirty_days(
    client: Client, site: Site, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(tidying, "BATCH", batch)
    Delivery.objects.update(state="accepted", accepted_at=timezone.now())
    first, second = Post.objects.get(key="new2"), Post.objects.get(key="new1")  # as they were stored: eldest first
    first.deliveries.update(created_at=timezone.now() - timedelta(days=31))
    second.deliveries.update(created_at=timezone.now() - timedelta(days=31), state="waiting")
    Post.objects.update(found_at=timezone.now() - timedelta(days=31))
    assert tidy() == 2
    assert set(Delivery.objects.values_list("post__key", flat=True)) == {"new0", "new1"}
    assert "not kept any more" in page(client, f"/post/{first.pk}/")
    assert Post.objects.count() == 5


def test_no_page_lets_anything_in_from_elsewhere(client: Client, site: Site) -> None:
    headers = client.get("/").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"


def test_a_link_unsubscribes_whoever_follows_it_by_a_click_only() -> None:
    ada = Subscriber.objects.create(name="Ada")
    somebody = anybody(enforce_csrf_checks=True)
    path = f"/unsubscribe/{ada.token}"
    assert "No more messages?" in page(somebody, path)
    assert Subscriber.objects.get().active  # a program that follows links has done no harm
    done = somebody.post(path, {"List-Unsubscribe": "One-Click"})
    assert done.status_code == 200
    assert not Subscriber.objects.get().active
    assert "You are unsubscribed" in page(somebody, path)
    somebody.post(path, {"again": "1"})
    assert Subscriber.objects.get().active
    assert somebody.get("/unsubscribe/nobody").status_code == 404
    assert somebody.put(path).status_code == 405


def test_every_list_and_form_of_the_admin_opens(client: Client, site: Site) -> None:
    for name in ("site", "post", "subscriber", "delivery", "provider"):
        page(client, f"/admin/watch/{name}/?q=a" if name not in ("provider",) else f"/admin/watch/{name}/")
    for one in (site, Post.objects.first(), Subscriber.objects.first(), Delivery.objects.first()):
        page(client, f"/admin/watch/{one._meta.model_name}/{one.pk}/change/")
    page(client, "/admin/watch/site/add/")
    page(client, "/admin/watch/delivery/add/", 403)


def test_a_site_added_in_the_admin_has_its_schedule(client: Client) -> None:
    fields = {"name": "New", "url": "https://new.example/feed", "kind": "feed", "spider": "{}", "interval": "120",
              "jitter": "5", "active": "on"}  # fmt: skip
    assert client.post("/admin/watch/site/add/", fields).status_code == 302
    site = Site.objects.get()
    assert app.schedules.get(name_of(site.pk)).jitter == 5_000_000
    assert app.jobs(Filter(key=name_of(site.pk))).jobs  # its first crawl, at once
    changed = client.post(f"/admin/watch/site/{site.pk}/change/", fields | {"active": ""})
    assert changed.status_code == 302
    assert name_of(site.pk) not in [one.name for one in app.schedules.list()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "pages", "spider": '{"item": "a[["}'}, "is no CSS selector"),
        ({"kind": "pages", "spider": '["item"]'}, "there are item, link"),
        ({"kind": "scrapy", "spider": '{"spider": "x"}'}, "expected module:Class"),
        ({"url": "ftp://new.example/"}, "is no address of http or https"),
        ({"interval": "5"}, "greater than or equal to 60"),
    ],
)
def test_a_wrong_site_is_refused_with_the_reason(client: Client, change: dict[str, str], said: str) -> None:
    fields = {"name": "New", "url": "https://new.example/feed", "kind": "feed", "spider": "{}", "interval": "120",
              "jitter": "5"}  # fmt: skip
    response = client.post("/admin/watch/site/add/", fields | change)
    assert response.status_code == 200
    assert said in response.content.decode()
    assert not Site.objects.exists()


def test_keywords_are_written_with_commas(client: Client) -> None:
    fields = {"name": "Ada", "zone": "Europe/Berlin", "quiet_from": "", "quiet_to": "", "active": "on",
              "targets-TOTAL_FORMS": "0", "targets-INITIAL_FORMS": "0", "subscriptions-TOTAL_FORMS": "1",
              "subscriptions-INITIAL_FORMS": "0", "subscriptions-0-site": "",
              "subscriptions-0-keywords": " balcony, two rooms ,,"}  # fmt: skip
    response = client.post("/admin/watch/subscriber/add/", fields)
    assert response.status_code == 302, response.content.decode()
    assert Subscription.objects.get().keywords == ["balcony", "two rooms"]
    assert 'value="balcony, two rooms"' in page(
        client, f"/admin/watch/subscriber/{Subscriber.objects.get().pk}/change/"
    )
    refused = client.post("/admin/watch/subscriber/add/", fields | {"zone": "Mars"})
    assert "is no time zone" in refused.content.decode()


@pytest.fixture
def address() -> Iterator[str]:
    server = create_server(application, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


def test_in_a_browser_on_a_phone_in_the_dark(address: str, client: Client, site: Site) -> None:
    """Nothing sticks out sideways, nothing is refused, and the style sheet arrives without collectstatic."""
    ada, first = Subscriber.objects.get(name="Ada"), Post.objects.first()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
        context = browser.new_context(viewport={"width": 360, "height": 700}, color_scheme="dark")
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": address}])
        shown = context.new_page()
        errors: list[str] = []
        shown.on("console", lambda message: errors.append(message.text))
        for path in ("/", f"/site/{site.pk}/", f"/post/{first.pk}/", f"/unsubscribe/{ada.token}"):
            shown.goto(address + path)
            assert shown.evaluate("document.documentElement.scrollWidth") <= 360, path
            assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 29)"
        shown.click("text=Unsubscribe")
        shown.wait_for_selector("text=You are unsubscribed")
        browser.close()
    assert errors == []
    assert not Subscriber.objects.get(name="Ada").active
