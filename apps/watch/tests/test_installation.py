"""Whole installations: real workers, real sites, SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import Installation, eventually
from sites.server import Reply, Sites, listing, rss
from tests.servers.postgres import PostgresServer, place
from tests.servers.process import free_port


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
    running = here.start("run", "--listen", f"127.0.0.1:{free_port()}", ready="Nobody can log in yet")
    here.run("add", f"{sites.url}/flats", "--name", "Flats", stdin="y\n")  # while it runs
    eventually(lambda: here.states() == ["fine", "fine"])
    sites.pages |= {"/news": Reply(rss(3, 2, 1)), "/flats": Reply(listing(1, name="tile"))}
    assert "News: 3 posts, 1 new, 0 edited" in here.run("crawl", "News")
    assert "Flats is changed: item=" in here.run("crawl", "Flats", status=1)
    assert json.loads(here.run("list", "--troubled", "--json", status=1))["problem"].startswith("item=")
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
    here.start("run", "-c", "4", "--no-pages", ready="Ready.")
    eventually(lambda: here.states() == ["fine"] * 3)
    assert sites.most_at_once == 1
