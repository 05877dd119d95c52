"""Whole installations: real workers, real sites, SQLite and PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from installation import Installation, eventually
from sites.server import SELECTORS, Asked, Reply, Sites, listing, rss
from tests.servers.postgres import PostgresServer, place
from tests.servers.process import free_port

pytestmark = pytest.mark.timeout(300)  # a machine that is busy with other things takes its time over new processes


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path)
    yield installation
    installation.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with place() as folder, PostgresServer(folder / "postgres", settings={"fsync": "off"}) as server:
        yield server


def test_one_command_on_sqlite(sites: Sites, here: Installation) -> None:
    """Add, run; a crawl that somebody asks for; what is new, and what is wrong, is said."""
    sites.pages |= {"/news": Reply(rss(2, 1)), "/flats": Reply(listing(3, 2, 1))}
    here.run("add", f"{sites.url}/news", "--yes")
    running = here.start("run", "-c", "1", "--listen", f"127.0.0.1:{free_port()}", ready="Nobody can log in yet")
    here.run("add", f"{sites.url}/flats", "--name", "Flats", stdin="y\n")  # while it runs
    eventually(lambda: here.states() == ["fine", "fine"])
    sites.pages |= {"/news": Reply(rss(3, 2, 1)), "/flats": Reply(listing(1, name="tile"))}
    assert "News: 3 posts, 1 new, 0 edited" in here.run("crawl", "News")
    assert "Flats is changed: item=" in here.run("crawl", "Flats", status=1)
    assert running.end() == 0
    assert "site Flats is changed: item=" in running.text()


def test_two_workers_as_in_the_documents_on_postgresql(
    sites: Sites, postgres: PostgresServer, tmp_path: Path
) -> None:
    """``multi`` with a crawler and a notificator; the jobs are in the database of the project."""
    here = Installation(tmp_path, WATCH_DATABASE=postgres.url(postgres.create_database("multi")))
    sites.pages["/news"] = Reply(rss(2, 1))
    assert "watch manage migrate" in here.run("list", status=1)
    here.run("manage", "migrate", "-v0")
    here.run("add", f"{sites.url}/news", "--yes")
    workers = ["crawler", "notificator", "-Q:crawler", "crawl", "-Q:notificator", "notify", "-c", "1"]
    workers += ["--pidfile", str(tmp_path / "%n.pid"), "--logfile", str(tmp_path / "%n.log")]
    here.run("manage", "duly", "multi", "start", *workers)
    try:
        eventually(lambda: here.states() == ["fine"])
        assert sites.paths().count("/news") == 2
        assert here.query("SELECT count(*), count(announced OR NULL) FROM watch_post") == [(2, 0)]
    finally:
        here.run("manage", "duly", "multi", "stopwait", *workers)


def test_one_host_is_asked_one_thing_at_a_time(sites: Sites, here: Installation) -> None:
    """Sites of one host, and more slots than sites."""
    outlines = ""
    for number in range(3):
        sites.pages[f"/news{number}"] = Reply(rss(1), drip=0.001)
        outlines += f'<outline text="{number}" xmlUrl="{sites.url}/news{number}"/>'
    file = here.folder / "feeds.opml"
    file.write_text(f'<opml version="2.0"><body>{outlines}</body></opml>')
    assert "3 sites added" in here.run("import", str(file))
    here.start("run", "-c", "3", "--no-pages", ready="Ready.")
    eventually(lambda: here.states() == ["fine"] * 3)
    assert sites.most_at_once == 1


def test_a_crawl_whose_worker_is_killed_is_made_whole(sites: Sites, here: Installation) -> None:
    """SIGKILL for all of its processes while the pages are being read; what is new is found, each once."""
    sites.pages |= {"/flats?p=0": Reply(listing(0)), "/flats?p=1": Reply(listing(0))}
    here.run("add", f"{sites.url}/flats?p=0", "--name", "Flats", "--selectors", json.dumps(SELECTORS), "--yes")
    first = here.start("run", "-c", "1", "--no-pages", ready="Ready.")
    eventually(lambda: here.states() == ["fine"])
    hold, held = threading.Event(), threading.Event()

    def second(asked: Asked) -> Reply:
        held.set()
        hold.wait(60)
        return Reply(listing(*range(60, 30, -1), following="/flats?p=2"))

    sites.pages |= {
        "/flats?p=0": Reply(listing(*range(90, 60, -1), following="/flats?p=1")),
        "/flats?p=1": second,
        "/flats?p=2": Reply(listing(*range(30, -1, -1))),
    }
    asking = here.start("crawl", "Flats", ready="")
    assert held.wait(60)
    for process in [*psutil.Process(first.process.pid).children(recursive=True), first.process]:
        process.kill()
    hold.set()
    here.start("run", "-c", "1", "--no-pages", ready="Ready.")
    assert asking.process.wait(100) == 0
    assert "Flats: 91 posts, 90 new, 0 edited" in asking.text()
    assert here.query("SELECT count(*), count(DISTINCT key) FROM watch_post") == [(91, 91)]


def test_a_crawl_whose_workers_died_is_told_on_its_site(sites: Sites, here: Installation) -> None:
    """It cannot speak for itself; until somebody looks its row says that it goes on."""
    sites.pages["/news"] = Reply(rss(1))
    here.run("add", f"{sites.url}/news", "--name", "News", "--yes")
    running = here.start("run", "-c", "1", "--no-pages", ready="Ready.")
    eventually(lambda: here.states() == ["fine"])
    port = urlsplit(sites.url).port

    def deadly(_: Asked) -> Reply:
        """Kills who asks: of the worker's processes the one that has a connection to the site."""
        for process in psutil.Process(running.process.pid).children(recursive=True):
            if port in [one.raddr.port for one in process.net_connections("tcp4") if one.raddr]:
                process.kill()
        return Reply(rss(2, 1))

    sites.pages["/news"] = deadly
    said = here.run("crawl", "News", status=1)
    assert "the crawl failed: " in said
    assert sites.paths() == ["/news"] * 5  # added, crawled at first, and by three that died of it
    assert here.states() == ["fine"]
    here.run("manage", "duly", "call", "watch.mourn")
    eventually(lambda: here.states() == ["failing"])
    listed = here.run("list", "--troubled", status=1)
    assert "News: the crawl did not come to its end: the executor was ended" in listed
    assert "site News is failing: the crawl did not come to its end" in running.text()
    assert here.query("SELECT failures, job FROM watch_site") == [(1, "")]


RACE = """
import threading, time
from django.db import connection
from watch.finding import record
from watch.found import Found
from watch.models import Post, Site
import psycopg, django.conf
site = Site.objects.create(name="News", url="https://news.example/", first_crawl_done=True, active=False)
found = [Found(key=key, url="https://news.example/" + key, title=key) for key in "abc"]
other = psycopg.connect(django.conf.settings.WATCH.database)
other.execute("INSERT INTO watch_post (site_id, key, url, title, summary, digest, announced, handed_over, found_at) "
    "VALUES (%s, 'b', 'https://news.example/b', 'b', '', %s, true, true, now())", [site.pk, found[1].digest])
said = []
def work():
    said.append(record(site, found))
    connection.close()
thread = threading.Thread(target=work)
thread.start()
waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
with psycopg.connect(django.conf.settings.WATCH.database, autocommit=True) as look:
    while not look.execute(waits).fetchone()[0]:
        time.sleep(0.01)
other.commit()
thread.join()
print(said[0].new, said[0].edited, said[0].known, Post.objects.count())
"""


def test_two_crawls_that_store_the_same_post_at_the_same_moment(postgres: PostgresServer, tmp_path: Path) -> None:
    here = Installation(tmp_path, WATCH_DATABASE=postgres.url(postgres.create_database("race")))
    here.run("manage", "migrate", "-v0")
    assert here.run("manage", "shell", "-v0", "-c", RACE).split() == ["2", "0", "1", "3"]
