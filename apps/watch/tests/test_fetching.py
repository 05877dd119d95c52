"""Manners and care: what is asked of a site, how often, and what is not taken from it."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import format_datetime

import pytest
from sites.server import Reply, Sites, unless_unchanged

from watch.crawling import fetching
from watch.crawling.fetching import Fetcher
from watch.crawling.robots import Robots
from watch.errors import CrawlFailed


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def fetch(pauses: list[float]) -> Iterator[Fetcher]:
    with Fetcher(Robots(), contact="https://me.example", private=True, pause=pauses.append) as fetcher:
        yield fetcher


def test_it_says_who_it_is_and_asks_for_robots_txt_first(sites: Sites, fetch: Fetcher) -> None:
    sites.pages["/feed"] = Reply("hello")
    assert fetch.get(f"{sites.url}/feed").body == b"hello"
    assert [asked.path for asked in sites.asked] == ["/robots.txt", "/feed"]
    assert sites.asked[0].headers["User-Agent"] == "duly-watch/0.1.0 (+https://me.example)"


def test_robots_txt_is_asked_for_once_a_day_and_obeyed(sites: Sites, pauses: list[float]) -> None:
    now = [0.0]
    robots = Robots(clock=lambda: now[0])
    sites.pages |= {"/robots.txt": Reply("User-agent: *\nDisallow: /private\n"), "/a": Reply("a")}
    with Fetcher(robots, private=True, pause=pauses.append) as fetch:
        fetch.get(f"{sites.url}/a")
        with pytest.raises(CrawlFailed, match=r"robots\.txt of 127\.0\.0\.1 does not allow .*/private/x"):
            fetch.get(f"{sites.url}/private/x")
        assert [asked.path for asked in sites.asked] == ["/robots.txt", "/a"]
        now[0] = 86_401.0
        sites.pages["/robots.txt"] = Reply("User-agent: duly-watch\nDisallow: /\n")
        with pytest.raises(CrawlFailed, match="does not allow"):
            fetch.get(f"{sites.url}/a")


def test_while_robots_txt_fails_nothing_is_allowed(sites: Sites, fetch: Fetcher) -> None:
    sites.pages |= {"/robots.txt": Reply(status=503, headers={"Retry-After": "120"}), "/a": Reply("a")}
    with pytest.raises(CrawlFailed, match="until it says what it allows") as failed:
        fetch.get(f"{sites.url}/a")
    assert failed.value.retry_after == 120
    assert sites.paths() == []


def test_there_is_a_pause_between_two_requests(sites: Sites, fetch: Fetcher, pauses: list[float]) -> None:
    sites.pages |= {"/a": Reply("a"), "/b": Reply("b")}
    fetch.get(f"{sites.url}/a")
    fetch.get(f"{sites.url}/b")
    assert len(pauses) == 2  # after robots.txt, after /a
    assert all(0.5 < pause <= fetching.PAUSE for pause in pauses)


def test_a_crawl_delay_is_obeyed_up_to_a_minute(sites: Sites, fetch: Fetcher, pauses: list[float]) -> None:
    sites.pages |= {"/robots.txt": Reply("User-agent: *\nCrawl-delay: 7\n"), "/a": Reply("a")}
    fetch.get(f"{sites.url}/a")
    assert 6 < pauses[-1] <= 7


def test_what_has_not_changed_is_not_sent(sites: Sites, fetch: Fetcher) -> None:
    sites.pages["/a"] = unless_unchanged("a", '"v1"')
    first = fetch.get(f"{sites.url}/a")
    again = fetch.get(f"{sites.url}/a", etag=first.headers["etag"])
    assert (first.unchanged, again.unchanged, again.body) == (False, True, b"")


@pytest.mark.parametrize(("status", "moved"), [(301, True), (308, True), (302, False), (307, False)])
def test_redirects_are_followed(sites: Sites, fetch: Fetcher, status: int, moved: bool) -> None:
    sites.pages |= {"/old": Reply(status=status, headers={"Location": "/new"}), "/new": Reply("new")}
    answer = fetch.get(f"{sites.url}/old")
    assert answer.body == b"new"
    assert answer.moved_to == (f"{sites.url}/new" if moved else "")


def test_not_for_ever_and_not_out_of_the_web(sites: Sites, fetch: Fetcher) -> None:
    sites.pages |= {
        "/loop": Reply(status=302, headers={"Location": "/loop"}),
        "/file": Reply(status=302, headers={"Location": "file:///etc/passwd"}),
    }
    with pytest.raises(CrawlFailed, match="more than 5 redirects"):
        fetch.get(f"{sites.url}/loop")
    assert sites.paths() == ["/loop"] * 6
    with pytest.raises(CrawlFailed, match="is no address of http or https"):
        fetch.get(f"{sites.url}/file")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://10.0.0.1/", "http://169.254.169.254/latest",
     "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://2130706433/"],
)  # fmt: skip
def test_private_addresses_are_not_asked(url: str) -> None:
    with Fetcher(Robots()) as fetch, pytest.raises(CrawlFailed, match="has the private address"):
        fetch.get(url)


def test_who_answers_is_looked_at_too(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads somewhere else when it is asked again."""
    with Fetcher(Robots()) as fetch:
        monkeypatch.setattr(fetch, "_check_addresses", lambda host: None)  # at the first look they were public
        with pytest.raises(CrawlFailed, match=r"has the private address 127\.0\.0\.1"):
            fetch.get(f"{sites.url}/a")


@pytest.mark.parametrize(
    "url", ["ftp://news.example/", "news.example", "http://", "http://u:p@news.example/", "http://[/"]
)
def test_what_is_no_address_is_refused(url: str, fetch: Fetcher) -> None:
    with pytest.raises(CrawlFailed, match=r"is no address|user name"):
        fetch.get(url)


def test_too_large_and_too_slow(sites: Sites, fetch: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    sites.pages |= {"/large": Reply(b"x" * 1_200_000), "/slow": Reply(b"x" * 50, drip=0.05)}
    monkeypatch.setattr(fetching, "MAX_BYTES", 1_000_000)
    with pytest.raises(CrawlFailed, match="is larger than 1 MB"):
        fetch.get(f"{sites.url}/large")
    monkeypatch.setattr(fetching, "MAX_SECONDS", 0.2)
    with pytest.raises(CrawlFailed, match="did not come to an end"):
        fetch.get(f"{sites.url}/slow")


def test_nobody_there(fetch: Fetcher) -> None:
    with pytest.raises(CrawlFailed, match=r"no answer from 127\.0\.0\.1: ConnectError"):
        fetch.get("http://127.0.0.1:1/")


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
def test_a_no_is_said_with_its_status(sites: Sites, fetch: Fetcher, status: int) -> None:
    sites.pages["/a"] = Reply("no", status=status, headers={"Retry-After": "3600"})
    with pytest.raises(CrawlFailed, match=f"/a answered {status}") as failed:
        fetch.get(f"{sites.url}/a")
    assert failed.value.retry_after == 3600


def test_retry_after_as_a_date(sites: Sites, fetch: Fetcher) -> None:
    from datetime import UTC, datetime, timedelta

    later = datetime.now(UTC) + timedelta(hours=2)
    sites.pages["/a"] = Reply(status=429, headers={"Retry-After": format_datetime(later, usegmt=True)})
    with pytest.raises(CrawlFailed) as failed:
        fetch.get(f"{sites.url}/a")
    assert failed.value.retry_after == pytest.approx(7200, abs=30)


@pytest.mark.parametrize(
    ("header", "body"),
    [("text/html; charset=iso-8859-1", "Grüße".encode("latin-1")), ("text/html", "Grüße".encode()),
     ("text/html", b'<meta charset="windows-1252">Gr\xfc\xdfe'), ("text/html; charset=klingon", "Grüße".encode())],
)  # fmt: skip
def test_text_is_read_in_its_encoding(sites: Sites, fetch: Fetcher, header: str, body: bytes) -> None:
    sites.pages["/a"] = Reply(body, headers={"Content-Type": header})
    assert fetch.get(f"{sites.url}/a").text.endswith("Grüße")
