"""Real workers that are killed, and one that has a crawl of its own to do: what people get, and when."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pushworld import chaos
from pushworld.installation import client_of, eventually, installed
from pushworld.slow import SlowSites
from tests.servers.postgres import PostgresServer, place

THREADS = ("-Q", "notify", "-P", "thread", "-c", "4", "--lease", "3s")


def test_killed_between_the_providers_yes_and_our_record(tmp_path: Path) -> None:
    """The one moment in which a notice is sent again: under the same key, so that the phone shows one."""
    with installed(tmp_path, 3) as (installation, google):
        killed: list[int] = []

        def kill(device: str, key: str, port: int) -> None:
            if device == "phone-1" and not killed:
                killed.append(client_of(port))
                os.kill(killed[0], signal.SIGKILL)

        google.on_accept = kill
        installation.worker(*THREADS)
        installation.ask("posts", 0, 1)
        eventually(lambda: installation.states() == {"accepted": 3})
        assert killed
        counts = {device: count for (device, _), count in google.counts().items()}
        assert counts["phone-1"] == 2
        assert {device: len(keys) for device, keys in google.shown.items()} == dict.fromkeys(counts, 1)


def test_killed_after_our_record_nothing_is_sent_again(tmp_path: Path) -> None:
    """The whole worker goes each time a push was accepted and recorded; another one takes over."""
    with installed(tmp_path, 1) as (installation, google):
        for number in range(2):
            worker = installation.worker(*THREADS)
            installation.ask("posts", number, 1)
            eventually(lambda: len(google.counts()) == number + 1)  # noqa: B023 - waited for at once
            eventually(lambda: installation.states() == {"accepted": number + 1})  # noqa: B023
            worker.kill()
        installation.worker(*THREADS)
        installation.ask("posts", 2, 1)
        eventually(lambda: installation.states() == {"accepted": 3})
        assert set(google.counts().values()) == {1}


@pytest.mark.timeout(300)
def test_chaos(tmp_path: Path) -> None:
    """``python apps/watch/bench.py chaos`` does it with 200 posts and 500 subscribers."""
    seed = int(os.environ.get("DULY_CHAOS_SEED", time.time()))
    outcome = chaos.run(tmp_path, posts=10, people=20, seed=seed, every=1.0, most=6, patience=200)
    assert outcome.told == outcome.shown == outcome.pairs, (seed, outcome)
    assert outcome.kills > 0
    assert outcome.doubled <= outcome.kills * chaos.THREADS, (seed, outcome)


def test_told_within_two_seconds_while_crawls_go_on(tmp_path: Path) -> None:
    """One worker for all, with a slot that is kept for ``notify``; the others crawl sites that take their time."""
    with installed(tmp_path, 5) as (installation, google), contextlib.closing(SlowSites(55)) as sites:
        installation.worker("-Q", "notify=4,crawl=1", "-c", "3", "--reserve", "notify=1")
        installation.ask("sites", *sites.urls(8))
        eventually(lambda: sites.at_once == 2)
        installation.ask("posts", 0, 1)
        eventually(lambda: len(google.counts()) == 5)  # its access token and connections are there now
        found = installation.ask("posts_slowly", 4, 0.5)
        eventually(lambda: len(google.counts()) == 20)
        assert sites.at_once >= 2
        assert max(at - found[key] for _, key, at in google.accepted[5:]) < 2.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with place() as folder, PostgresServer(folder / "postgres", settings={"fsync": "off"}) as server:
        yield server
        server.kill()


def test_on_postgresql_jobs_come_with_the_transaction(tmp_path: Path, postgres: PostgresServer) -> None:
    with installed(tmp_path, 5, database=postgres.url()) as (installation, google):
        assert installation.ask("posts_rolled_back") == [0, 0]
        installation.worker(*THREADS)
        installation.ask("posts", 0, 4)
        eventually(lambda: installation.ask("states") == {"accepted": 20})
        assert google.counts().total() == 20
