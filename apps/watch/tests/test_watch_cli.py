"""The command line: what it shows, what it asks, and what it says to slips."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from sites.server import Reply, Sites, listing, rss

from duly import StoreUnavailable
from duly.contrib.django import app
from watch import planning
from watch.cli import main
from watch.cli.near import did_you_mean
from watch.cli.root import VERBS
from watch.environment import read
from watch.errors import SettingsError
from watch.models import Site, Subscriber, Subscription, Target

pytestmark = pytest.mark.usefixtures("db")
Said = Callable[..., str]


@pytest.fixture
def watch() -> Said:
    def run(*words: str, status: int = 0, stdin: str = "") -> str:
        done = CliRunner().invoke(main, words, prog_name="watch", input=stdin, env={"COLUMNS": "200"})
        assert done.exit_code == status, done.output
        return str(done.output)

    return run


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watch.crawling.fetching.PAUSE", 0.0)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_there(watch: Said, verb: str) -> None:
    assert f"watch {verb}" in watch(verb, "--help") or verb == "manage"  # Django prints past click


def test_add_shows_what_would_be_found_and_asks(watch: Said, sites: Sites) -> None:
    sites.pages["/rss"] = Reply(rss(*range(12)))
    said = watch("add", f"{sites.url}/rss", stdin="n\n")
    assert "A feed: " in said
    assert "12 posts there now:" in said
    assert "2026-11-25  Post 0" in said
    assert "and 4 more" in said
    assert "Add it as 'News', crawled every 15 min?" in said
    assert not Site.objects.exists()
    assert "[Y/n]" not in watch("add", f"{sites.url}/rss", "--dry-run")
    assert not Site.objects.exists()
    watch("add", f"{sites.url}/rss", "--every", "2h", stdin="y\n")
    assert (Site.objects.get().interval, Site.objects.get().kind) == (7200, "feed")
    assert "already exists" in watch("add", f"{sites.url}/rss", "-y", status=1)


def test_add_proposes_selectors_or_takes_them(watch: Said, sites: Sites, tmp_path: Path) -> None:
    sites.pages["/flats"] = Reply(listing(2, 1, 0))
    said = watch("add", f"{sites.url}/flats", "--yes")
    assert "No feed; selectors" in said
    assert '"item": "article.offer"' in said
    Site.objects.all().delete()
    file = tmp_path / "selectors.json"
    file.write_text('{"item": "article", "title": "h2"}')
    watch("add", f"{sites.url}/flats", "--yes", "--name", "Flats", "--selectors", f"@{file}")
    assert Site.objects.get().spider == {"item": "article", "title": "h2"}
    for given, words in (("{", "no JSON"), ("[]", "is no JSON object"), ("@/nowhere", "No such file")):
        assert words in watch("add", f"{sites.url}/flats", "--selectors", given, status=2)
    assert "item='b' finds nothing" in watch("add", f"{sites.url}/flats", "--selectors", '{"item": "b"}', status=1)
    assert "expected module:Class" in watch("add", f"{sites.url}/x", "--scrapy", "spider", status=1)


def test_list_and_remove(watch: Said) -> None:
    assert "There are no sites yet: watch add URL" in watch("list")
    fine = Site.objects.create(name="Fine", url="https://a.example/", state="fine")
    Site.objects.create(name="Bad", url="https://b.example/", state="failing", problem="it answered 500")
    said = watch("list")
    assert "Bad: it answered 500" in said
    assert json.loads(watch("list", "--troubled", "--json", status=1))["name"] == "Bad"
    assert "did you mean 'Fine'?" in watch("remove", "Fien", status=1)
    watch("remove", str(fine.pk), stdin="n\n")
    assert Site.objects.count() == 2
    watch("remove", "https://b.example/", "--yes")
    assert watch("list", "--troubled") == ""
    assert [one.name for one in app.schedules.list() if one.name.startswith(planning.PREFIX)] == [
        planning.name_of(fine.pk)
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Fien", "Fine"),
        ("fine", "Fine"),
        ("news", "News of the town"),
        ("town", "News of the town"),
        ("flats", ""),
        ("xy", ""),
    ],
)
def test_what_was_meant(text: str, meant: str) -> None:
    names = ["Fine", "News of the town", "Flats A in the south", "Flats B in the north"]
    assert did_you_mean(text, names) == (f"; did you mean {meant!r}?" if meant else "")


def test_what_was_not_planned_is_put_right(watch: Said) -> None:
    """A process that died between the row and its schedule, and one that died between a deletion and it."""
    site = Site.objects.create(name="Fine", url="https://a.example/")
    app.schedules.remove(planning.name_of(site.pk))
    app.schedules.add(planning.name_of(999), planning.TASK, 60, (999, "gone.example"))
    assert planning.keep_in_step(app) == 1
    names = [one.name for one in app.schedules.list() if one.name.startswith(planning.PREFIX)]
    assert names == [planning.name_of(site.pk)]


def test_a_store_that_does_not_answer_costs_nobody_a_site(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable("the store is down")

    with monkeypatch.context() as broken:
        broken.setattr(planning, "plan", down)
        site = Site.objects.create(name="Fine", url="https://a.example/")
    assert "site Fine: its schedule follows within an hour, or at the next start: the store is down" in caplog.text
    planning.keep_in_step(app)
    assert app.schedules.get(planning.name_of(site.pk))


def test_export_and_import(watch: Said, tmp_path: Path) -> None:
    site = Site.objects.create(
        name="Flats", url="https://a.example/", kind="pages", spider={"item": "p"}, interval=60
    )
    Site.objects.create(name="News & more", url="https://b.example/feed")
    ada = Subscriber.objects.create(name="Ada", zone="Europe/Paris", quiet_from=time(22), quiet_to=time(7))
    Target.objects.create(subscriber=ada, kind="email", address="ada@example.org")
    Subscription.objects.create(subscriber=ada, site=site, keywords=["balcony"])
    file = tmp_path / "all.json"
    watch("export", str(file))
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    before = file.read_text()
    assert "0 sites added, 2 changed; 1 subscribers" in watch("import", str(file))
    watch("export", str(file))
    assert file.read_text() == before
    Site.objects.all().delete()
    Subscriber.objects.all().delete()
    assert "2 sites added, 0 changed; 1 subscribers" in watch("import", str(file))
    watch("export", str(file))
    assert file.read_text() == before  # its unsubscribe link too


def test_feeds_go_to_other_readers_and_come_from_them(watch: Said, tmp_path: Path) -> None:
    Site.objects.create(name="News & more", url="https://b.example/feed?a=1&b=2")
    file = tmp_path / "feeds.opml"
    watch("export", str(file))
    Site.objects.all().delete()
    assert "1 sites added" in watch("import", str(file))
    assert (Site.objects.get().name, Site.objects.get().url) == ("News & more", "https://b.example/feed?a=1&b=2")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "a.json: Input data was truncated"),
        ("a.json", '{"version": 2}', "this watch reads version 1"),
        ("a.json", '{"version": 1, "sits": []}', "unknown field `sits`"),
        ("a.json", '{"version": 1, "sites": [{"name": "A", "url": "x"}]}', "site 'A': url: "),
        (
            "a.json",
            '{"version": 1, "sites": [{"name": "A", "url": "https://a.example/"}],'
            '"subscribers": [{"name": "B", "subscriptions": [{"site": "https://c.example/"}]}]}',
            "and there is no such site",
        ),
        ("a.opml", "<opml>", "is no OPML"),
        ("a.opml", "<opml/>", "has no feeds"),
        ("a.txt", "", "ends in .json or .opml"),
    ],
)
def test_a_wrong_file_changes_nothing(watch: Said, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    assert said in watch("import", str(tmp_path / name), status=1)
    assert not Site.objects.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lst"], "Did you mean 'list'?"),
        (["add"], "Missing argument 'URL'"),
        (["add", "x.example", "--every", "often"], "is no duration; expected one like 15m"),
        (["run", "--listen", "here"], "expected HOST:PORT"),
        (["crawl", "nothing"], "no site 'nothing'"),
    ],
)
def test_slips(watch: Said, words: list[str], said: str) -> None:
    status = 1 if words[0] in ("run", "crawl") else 2
    assert said in watch(*words, status=status)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WATCH_FOLDR", "/x", "did you mean WATCH_FOLDER?"),
        ("WATCH_ZONE", "Mars", "is no time zone"),
        ("WATCH_URL", "watch.example", "expected the scheme and host"),
        ("WATCH_DATABASE", "mysql://x", "expected postgresql://"),
        ("WATCH_KEEP", "0", "expected days, 1 or more"),
        ("WATCH_PRIVATE", "perhaps", "WATCH_PRIVATE"),
    ],
)
def test_settings_that_cannot_be(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("?", r"\?")):
        read({variable: value})
