"""Stores of every kind, for tests that hold of each of them."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.servers.postgres import PostgresServer, place
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("duly", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("duly")

KINDS = ("sqlite", "postgres", "redis")

on_every_store = pytest.mark.parametrize("store_url", KINDS, indirect=True)
"""For a test that takes ``store_url``, or a fixture made of it."""

_numbers = itertools.count()

_LEFT = 100  # descriptors that a module may leave: servers, which later ones share, and what Python keeps


@pytest.fixture(scope="module", autouse=True)
def closes_what_it_opens(request: pytest.FixtureRequest) -> Iterator[None]:
    """A process that runs hundreds of modules ends at its thousandth open file, somewhere else than where they were
    left open; and what a test cannot close, users cannot."""
    before = _open_files()
    yield
    end = time.monotonic() + 20  # seconds for threads that are just ending
    while len(left := {fd: what for fd, what in _open_files().items() if before.get(fd) != what}) > _LEFT:
        if time.monotonic() > end:
            pytest.fail(f"{request.node.nodeid} left {len(left)} files open: {sorted(left.values())[:100]}")
        gc.collect()
        time.sleep(0.05)


def _open_files() -> dict[str, str]:
    """The descriptors of this process, with what they are where the system says it."""
    found = dict.fromkeys(os.listdir("/dev/fd"), "")
    for fd in found:
        with contextlib.suppress(OSError):
            found[fd] = os.readlink(f"/dev/fd/{fd}")
    return found


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    with place() as folder, PostgresServer(folder / "postgres", settings={"fsync": "off"}) as server:
        yield server
        server.kill()  # at once: nobody wants its hundreds of schemas written down


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    with RabbitServer(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
def store_of(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Gives the URL of a fresh store of a kind; servers are started when the first test needs one."""

    def url(kind: str) -> str:
        name = f"test_{next(_numbers)}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/duly.db"
        if kind == "postgres":
            server: PostgresServer = request.getfixturevalue("shared_postgres")
            return server.url(schema=name)
        far: RedisServer = request.getfixturevalue("shared_redis")
        return f"{far.url()}?prefix={name}"

    return url


@pytest.fixture
def store_url(store_of: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """The URL of this test's store: of the kind that the test asks for (``on_every_store``), else a file, or what
    DULY_TEST_STORE says for a whole run."""
    return store_of(getattr(request, "param", None) or os.environ.get("DULY_TEST_STORE", "sqlite"))
