"""From a post to a person, on a driven clock; the providers are real servers on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from django.conf import settings
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from pushworld.browsers import PushService
from pushworld.google import Google, error
from pushworld.post_office import PostOffice

from duly.contrib.django import app
from duly.signals import worker_process_init
from duly.testing import World
from watch import channels, errands, telling
from watch.cli import people
from watch.environment import read
from watch.errors import SettingsError, WatchError
from watch.finding import record
from watch.found import Found
from watch.models import Delivery, Post, Provider, Site, Subscriber, Subscription, Target

pytestmark = pytest.mark.usefixtures("db")

NOON = datetime(2030, 5, 6, 10, tzinfo=UTC)  # in Berlin


@pytest.fixture
def google() -> Iterator[Google]:
    google = Google()
    google.everybody = True
    yield google
    google.close()


@pytest.fixture
def installation(google: Google, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the settings are to be; a test may change it before the first push."""
    values: dict[str, Any] = {
        "folder": tmp_path, "fcm": str(google.key_file(tmp_path)), "fcm_url": google.url, "contact": "a@example.org",
    }  # fmt: skip
    yield from _installed(values)


def _installed(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with override_settings(WATCH=msgspec.structs.replace(settings.WATCH, **values)):
        channels._make.cache_clear()  # one process of an installation has one set of settings, and one database
        channels._read = None
        errands._shared.clear()
        yield values
        channels._client().close()
        channels._client.cache_clear()
        channels._make.cache_clear()


@pytest.fixture
def world(installation: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[World]:
    with World(app=app, start=getattr(request, "param", NOON)) as world:
        world.worker(queues=("notify",))
        yield world


@pytest.fixture
def site() -> Site:
    return Site.objects.create(name="Flats", url="https://flats.example/feed", first_crawl_done=True)


def person(name: str, *targets: tuple[str, str], **fields: Any) -> Subscriber:
    subscriber = Subscriber.objects.create(name=name, **fields)
    Subscription.objects.create(subscriber=subscriber)
    for kind, address in targets or [("fcm", f"token-{name}")]:
        Target.objects.create(subscriber=subscriber, kind=kind, address=address)
    return subscriber


def post(site: Site, number: int = 1) -> Post:
    record(site, [Found(key=f"k{number}", url=f"https://flats.example/{number}", title=f"Flat {number}")])
    return Post.objects.get(site=site, key=f"k{number}")


def states() -> dict[str, str]:
    return dict(Delivery.objects.values_list("subscriber__name", "state"))


def devices(google: Google) -> list[str]:
    return sorted(device for device, _, _ in google.accepted)


def test_each_is_told_once(world: World, site: Site, google: Google) -> None:
    ada, _ = person("ada"), person("bob")
    flat = post(site)
    post(site)
    world.advance(1)
    assert devices(google) == ["token-ada", "token-bob"]
    told = Delivery.objects.get(subscriber=ada)
    assert (told.state, told.target.address) == ("accepted", "token-ada")
    assert told.provider_id.startswith("projects/watch-demo/messages/")
    assert app.AsyncResult(told.job).result == "accepted"
    shown = next(iter(google.shown["token-ada"].values()))
    assert shown["notification"] == {"title": flat.title, "body": "Flats"}


def test_keywords_and_sites(world: World, site: Site, google: Google) -> None:
    for name, wanted in (("ada", ["flat 2"]), ("bob", [])):
        subscriber = Subscriber.objects.create(name=name)
        Target.objects.create(subscriber=subscriber, kind="fcm", address=name)
        Subscription.objects.create(subscriber=subscriber, site=site, keywords=wanted)
    for number in (1, 2):
        post(site, number)
    post(Site.objects.create(name="News", url="https://news.example", first_crawl_done=True), 3)
    world.advance(1)
    assert devices(google) == ["ada", "bob", "bob"]


def test_a_phone_that_is_gone_is_forgotten_and_the_next_target_is_told(
    world: World, site: Site, google: Google, installation: dict[str, Any]
) -> None:
    office = PostOffice()
    installation["smtp"] = office.url
    for _ in _installed(installation):
        ada = person("ada", ("fcm", "gone"), ("fcm", "new"), ("email", "ada@example.org"))
        google.script["gone"].extend([error("UNREGISTERED", 404)])
        post(site)
        world.advance(1)
        dead = Target.objects.get(address="gone")
        assert (dead.state, devices(google)) == ("dead", ["new"])
        assert "UNREGISTERED" in dead.reason
        assert dead.died_at is not None

        google.script["new"].append(error("UNREGISTERED", 404))
        post(site, 2)
        world.advance(5)
        assert [mail["To"] for mail in office.mails] == ["ada@example.org"]
        assert office.mails[0]["List-Unsubscribe"] == f"<http://127.0.0.1:8028/unsubscribe/{ada.token}>"
        assert set(Delivery.objects.values_list("state", flat=True)) == {"accepted"}
        channels.sender("email").close()  # type: ignore[attr-defined]
    office.close()


def test_a_refusal_is_of_this_post_only(world: World, site: Site, google: Google) -> None:
    person("ada", ("fcm", "first"), ("fcm", "second"))
    google.script["first"].append(error("INVALID_ARGUMENT", 400, "message too big"))
    post(site, 1)
    world.advance(1)
    post(site, 2)
    world.advance(1)
    assert devices(google) == ["first", "second"]
    google.script["first"].append(error("INVALID_ARGUMENT", 400, "message too big"))
    google.script["second"].append(error("INVALID_ARGUMENT", 400, "message too big"))
    post(site, 3)
    world.advance(1)
    failed = Delivery.objects.get(post__key="k3")
    assert (failed.state, failed.reason) == ("failed", "FCM: message too big")


def test_who_has_nothing_that_reaches_them(world: World, site: Site, google: Google) -> None:
    person("ada")
    Target.objects.update(state="dead")
    post(site)
    assert states() == {"ada": "dropped"}
    Target.objects.update(state="alive")
    google.script["token-ada"].append(error("UNREGISTERED", 404))
    post(site, 2)
    world.advance(1)
    assert Delivery.objects.get(post__key="k2").reason == "no target is left"


def test_who_unsubscribes_meanwhile(world: World, site: Site, google: Google) -> None:
    person("ada")
    post(site)
    Subscriber.objects.update(active=False)
    world.advance(1)
    assert (states(), google.accepted) == ({"ada": "dropped"}, [])


@pytest.mark.parametrize("world", [datetime(2030, 5, 6, 3, tzinfo=UTC)], indirect=True)
def test_at_night_the_job_moves_to_the_morning(world: World, site: Site, google: Google) -> None:
    night = {"quiet_from": time(22), "quiet_to": time(7)}
    person("berlin", zone="Europe/Berlin", **night)
    person("tokyo", zone="Asia/Tokyo", **night)
    post(site)  # at five in Berlin, at noon in Tokyo
    world.advance(minutes=1)
    assert devices(google) == ["token-tokyo"]
    waits = app.AsyncResult(Delivery.objects.get(subscriber__name="berlin").job)
    assert waits.state == "scheduled"
    world.advance(hours=1, minutes=58)
    assert len(google.accepted) == 1
    world.advance(minutes=2)
    assert devices(google) == ["token-berlin", "token-tokyo"]


def test_quiet_hours_that_came_later_hold_too(world: World, site: Site, google: Google) -> None:
    person("ada", zone="Europe/Berlin")
    post(site)
    Subscriber.objects.update(quiet_from=time(11), quiet_to=time(13))
    world.advance(minutes=30)
    assert google.accepted == []
    world.advance(minutes=31)
    assert devices(google) == ["token-ada"]


def test_a_quota_holds_for_everybody(world: World, site: Site, google: Google) -> None:
    for number in range(20):
        person(f"p{number}")
    google.script["token-p3"].append(error("QUOTA_EXCEEDED", 429, after="120"))
    post(site)
    world.advance(60)
    assert Provider.objects.get(name="FCM").reason.startswith("FCM: this is QUOTA")
    before = len(google.accepted)
    assert before < 20
    world.advance(55)
    assert len(google.accepted) == before
    world.advance(20)
    assert set(states().values()) == {"accepted"}
    assert max(google.counts().values()) == 1


def test_later_is_later_and_in_the_end_too_late(
    installation: dict[str, Any], world: World, site: Site, google: Google
) -> None:
    person("ada")
    google.script["token-ada"].extend([error("INTERNAL", 500)] * 200)
    for _ in _installed({**installation, "within": 1.0}):
        post(site)
        world.advance(minutes=5)
        waiting = Delivery.objects.get()
        assert (waiting.state, waiting.reason) == ("waiting", "FCM: this is INTERNAL")
        world.advance(minutes=90)
        late = Delivery.objects.get()
        assert (late.state, late.reason) == ("failed", "not told in time: FCM: this is INTERNAL")
        assert 5 <= 200 - len(google.script["token-ada"]) <= 11  # after 5 s, 10 s, 20 s ...


def test_a_browser(world: World, site: Site, installation: dict[str, Any]) -> None:
    service = PushService()
    service.owner = channels.vapid().public
    browser = service.subscribe("ada")
    ada = person("ada", ("webpush", browser.endpoint))
    Target.objects.update(keys=browser.keys)
    post(site)
    world.advance(1)
    assert [shown["title"] for shown in service.shown["ada"].values()] == ["Flat 1"]
    del service.browsers["ada"]
    post(site, 2)
    world.advance(1)
    assert ada.targets.get().state == "dead"
    service.close()


def test_a_missing_setting_is_said_and_waited_for(
    world: World, site: Site, google: Google, installation: dict[str, Any]
) -> None:
    person("ada")
    for _ in _installed({**installation, "fcm": ""}):
        post(site)
        world.advance(minutes=1)
        assert "WATCH_FCM names no key file" in Delivery.objects.get().reason
        assert Provider.objects.get(name="fcm").reason == Delivery.objects.get().reason
    world.advance(minutes=16)
    assert devices(google) == ["token-ada"]


def test_what_a_dead_process_left_is_handed_over_within_a_minute(
    world: World, site: Site, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    person("ada")
    with monkeypatch.context() as dies:
        dies.setattr(transaction, "on_commit", lambda *args, **options: None)
        flat = post(site)
    Post.objects.update(found_at=NOON)
    assert not flat.handed_over
    assert telling.remaining(NOON + timedelta(seconds=29)) == 0
    assert telling.remaining(NOON + timedelta(seconds=31)) == 1
    assert telling.remaining(NOON + timedelta(seconds=31)) == 0
    Post.objects.update(handed_over=False)  # it had died one line later
    assert telling.remaining(NOON + timedelta(seconds=31)) == 1
    world.advance(1)
    assert devices(google) == ["token-ada"]


def test_what_the_provider_accepted_is_not_sent_again_though_the_row_cannot_be_written(
    world: World, site: Site, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's yes is in the journal before the row: whatever ends the attempt in between, the next one finds
    it, even if that target is gone meanwhile."""
    person("ada", ("fcm", "first"), ("fcm", "second"))
    with monkeypatch.context() as broken:
        broken.setattr(errands, "write", lambda *args, **fields: 1 / 0)
        post(site)
        world.advance(1)
        assert devices(google) == ["first"]
        assert states() == {"ada": "waiting"}
        Target.objects.filter(address="first").update(state="dead")
    world.advance(60)
    assert states() == {"ada": "accepted"}
    assert devices(google) == ["first"]


def test_deliveries_whose_job_is_no_more_are_given_up(world: World, site: Site) -> None:
    person("ada")
    post(site)
    app.AsyncResult(Delivery.objects.get().job).cancel()
    give_up = app.tasks["watch.give_up"]
    assert give_up() == 0
    Delivery.objects.update(created_at=NOON - timedelta(days=3))
    assert give_up() == 1
    assert Delivery.objects.get().reason == "its job ended without an outcome"


def test_a_thousand_subscribers_cost_no_more_queries_than_one(world: World, site: Site) -> None:
    def reads(number: int) -> int:
        found = Found(key=f"k{number}", url=f"https://flats.example/{number}", title=f"Flat {number}")
        with CaptureQueriesContext(connection) as asked:
            record(site, [found])
        return sum(query["sql"].startswith("SELECT") for query in asked)

    person("ada")
    few = reads(1)
    people = Subscriber.objects.bulk_create([Subscriber(name=f"p{n}") for n in range(1000)])
    Target.objects.bulk_create([Target(subscriber=one, kind="fcm", address=f"t{one.pk}") for one in people])
    Subscription.objects.bulk_create(
        [Subscription(subscriber=one, keywords=["flat"] if n % 2 else ["garage"]) for n, one in enumerate(people)]
    )
    assert reads(2) == few
    assert Delivery.objects.count() == 502


def test_a_push_costs_two_statements(world: World, site: Site, google: Google) -> None:
    """One that reads and one that writes; the post and the closed providers are asked for once for all of them."""
    for number in range(20):
        person(f"p{number}")
    post(site)
    with CaptureQueriesContext(connection) as asked:
        world.advance(1)
    assert set(states().values()) == {"accepted"}
    assert len(asked) <= 2 * 20 + 2, [query["sql"] for query in asked]


def test_an_edit_is_told_to_those_who_still_wait(world: World, site: Site, google: Google) -> None:
    """What is remembered of a post does not outlive it for long."""
    person("ada")
    person("bob", zone="Europe/Berlin", quiet_from=time(11), quiet_to=time(13))
    flat = post(site)
    world.advance(1)
    Post.objects.filter(pk=flat.pk).update(title="Flat 1, taken")
    until, words = errands._shared[flat.pk]
    errands._shared[flat.pk] = until - errands.REMEMBERED, words  # the seconds are the machine's own, not the world's
    world.advance(hours=1)
    titles = {device: next(iter(shown.values()))["notification"]["title"] for device, shown in google.shown.items()}
    assert titles == {"token-ada": "Flat 1", "token-bob": "Flat 1, taken"}


def test_a_test_notice(site: Site, google: Google, installation: dict[str, Any]) -> None:
    person("ada", ("fcm", "phone"), ("email", "ada@example.org"))
    said = CliRunner().invoke(people.tell, ["ada"])
    assert said.exit_code == 1
    phone, mail = said.output.splitlines()
    assert phone == "fcm phone: accepted projects/watch-demo/messages/1"
    assert mail.startswith("email ada@example.org: not accepted (Closed): there are targets of the kind email, and ")
    Target.objects.filter(kind="email").delete()
    assert CliRunner().invoke(people.tell, ["ada"]).exit_code == 0
    with pytest.raises(WatchError, match="did you mean 'ada'"):
        CliRunner().invoke(people.tell, ["adda"], catch_exceptions=False)
    assert CliRunner().invoke(people.webpush_key).output.strip() == channels.vapid().public


def test_rates_are_the_tasks_own() -> None:
    limits = {kind: app.tasks[telling.TASK + kind].options.get("rate_limit") for kind in ("fcm", "email", "ntfy")}
    assert limits == {"fcm": None, "email": "10/s", "ntfy": "1/s"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("mail=10/s", "did you mean email"),
        ("carrier=10/s", "there are fcm, webpush"),
        ("email=fast", "expected a rate like email=10/s"),
        ("email", "expected a rate"),
    ],
)
def test_a_wrong_rate_is_refused(value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read({"WATCH_RATES": value})


def test_senders_are_made_before_the_first_notice(installation: dict[str, Any]) -> None:
    """One for each kind that somebody is reached by; a setting that is missing is for the first notice to say."""
    person("ada", ("fcm", "token-ada"), ("ntfy", "https://ntfy.example/ada"), ("email", "ada@example.org"))
    worker_process_init.send(None)
    for thread in threading.enumerate():
        if thread.name == "senders":
            thread.join(60)
    assert channels._make.cache_info().currsize == 2
