"""A Redis server's disk: what is counted as lost by each setting when it is killed, and what a full one does."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.servers.redis import RedisServer

import duly.store
from duly.errors import StoreUnavailable
from duly.ids import new_id
from duly.job import Filter, Job
from duly.store import Store

AHEAD = 9 * 10**15  # in 2255
BEFORE, AFTER = 200, 300  # jobs that are acknowledged before and after a snapshot


class CrampedServer(RedisServer):
    """A server whose files may be made to grow no further: for it, its disk is full."""

    def command(self) -> Sequence[str]:
        return ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh", *super().command()]

    def cramp(self, size: float) -> None:
        """No file may have more bytes; ``inf``: as many as it likes."""
        assert self.process is not None
        most = resource.RLIM_INFINITY if size == float("inf") else int(size)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CrampedServer]:
    with CrampedServer(tmp_path / "redis", request.param) as server:
        yield server


def put(store: Store, n: int, args: bytes = b"[[],{}]") -> list[str]:
    jobs = [Job(id=new_id(), task="t", due=AHEAD, args=args) for _ in range(n)]
    assert all(one.stored for job in jobs for one in store.enqueue([job]))
    return [job.id for job in jobs]


def there(store: Store) -> set[str]:
    return {one.id for one in store.jobs(Filter(), limit=10_000).jobs}


def whole(store: Store) -> None:
    """The index of what waits has the jobs that there are."""
    assert sum(one.scheduled for one in store.counts()) == len(there(store))


@pytest.mark.parametrize(
    ("server", "lost"),
    [
        ({"appendonly": "yes", "appendfsync": "always"}, 0),
        ({"appendonly": "yes", "appendfsync": "everysec"}, 0),
        ({"appendonly": "yes", "appendfsync": "no"}, 0),
        ({"save": "3600 1"}, AFTER),
        ({}, BEFORE + AFTER),
    ],
    indirect=["server"],
    ids=["always", "everysec", "no", "snapshots", "memory"],
)
def test_what_a_kill_of_the_server_undoes(server: CrampedServer, lost: int) -> None:
    """The process is killed, not the machine: the kernel keeps what was written."""
    store = duly.store.open(server.url())
    before = put(store, BEFORE)
    if server.settings["save"]:
        assert server.ask("SAVE") == "+OK"
    acknowledged = [*before, *put(store, AFTER)]
    server.kill()
    server.start()
    left = there(store)
    assert len(set(acknowledged) - left) == lost
    assert left <= set(acknowledged)
    if lost == AFTER:
        assert left == set(before)
    whole(store)
    assert set(put(store, 1)) <= there(store)
    store.close()


def fill(store: Store) -> list[str]:
    """Jobs that were acknowledged until the server took no more."""
    taken: list[str] = []
    for _ in range(2000):
        try:
            taken += put(store, 1, b"x" * 2000)
        except StoreUnavailable:
            return taken
    raise AssertionError("its disk is never full")


@pytest.mark.parametrize("server", [{"appendonly": "yes", "appendfsync": "everysec"}], indirect=True)
def test_a_full_disk_refuses_new_jobs_whole_and_ends_by_itself(server: CrampedServer) -> None:
    store = duly.store.open(f"{server.url()}?timeout=1")
    taken = put(store, 10)
    server.cramp(100_000)
    taken += fill(store)
    assert len(taken) > 10
    with pytest.raises(StoreUnavailable, match=r"nothing was written, for the server refuses writes \(MISCONF"):
        put(store, 1)
    assert there(store) == set(taken)
    whole(store)
    assert any(one.severity == "error" and one.about == "disk" for one in store.examine())
    server.cramp(float("inf"))
    taken += after_a_while(store)
    server.kill()
    server.start()
    assert there(store) == set(taken)
    whole(store)
    store.close()


@pytest.mark.parametrize("server", [{"appendonly": "yes", "appendfsync": "always"}], indirect=True)
def test_a_server_that_has_to_write_at_once_ends_when_its_disk_is_full(server: CrampedServer) -> None:
    store = duly.store.open(f"{server.url()}?timeout=1")
    server.cramp(100_000)
    taken = fill(store)
    server.kill()  # what is left of it
    server.start()
    left = there(store)
    assert set(taken) <= left, "what was acknowledged is lost"
    assert len(left) <= len(taken) + 1, "the one that was under way, and no other"
    whole(store)
    assert set(put(store, 1)) <= there(store)
    store.close()


def after_a_while(store: Store) -> list[str]:
    """A job, as soon as the server takes one."""
    end = time.monotonic() + 20
    while True:
        try:
            return put(store, 1)
        except StoreUnavailable:
            assert time.monotonic() < end, "it takes no jobs though there is room again"
            time.sleep(0.05)
