"""What ``duly doctor`` and the worker's banner say of a Redis server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.redis import RedisReplica, RedisServer

import duly.store
from duly.errors import ConfigError
from duly.messages import Finding


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def findings(server: RedisServer, severity: str | None = None) -> list[Finding]:
    store = duly.store.open(server.url())
    found = store.examine()
    store.close()
    return [one for one in found if severity is None or one.severity == severity]


@pytest.mark.parametrize(
    ("settings", "said", "severity"),
    [
        ({"appendonly": "yes", "appendfsync": "always"}, "every acknowledged job survives", "ok"),
        ({"appendonly": "yes", "appendfsync": "everysec"}, "up to about two seconds", "warning"),
        ({"appendonly": "yes", "appendfsync": "no"}, "half a minute", "warning"),
        ({"appendonly": "no", "save": "60 1"}, 'undoes all since its last snapshot .*save "60 1"', "warning"),
        ({"appendonly": "no", "save": ""}, "nothing survives", "warning"),
    ],
)
def test_what_survives_is_said_as_the_server_is_set(
    server: RedisServer, settings: dict[str, str], said: str, severity: str
) -> None:
    for name, value in settings.items():
        server.ask("CONFIG", "SET", name, value)
    store = duly.store.open(server.url())
    assert re.search(said, store.durability)
    [found] = [one for one in store.examine() if re.search(said, one.text[:1].lower() + one.text[1:])]
    assert found.severity == severity
    assert bool(found.help) == (severity != "ok")
    store.close()


def test_a_policy_that_deletes_jobs_is_an_error(server: RedisServer) -> None:
    assert findings(server, "error") == []
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    [found] = findings(server, "error")
    assert "allkeys-lru" in found.text
    assert "noeviction" in found.help
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_full_memory_is_an_error(server: RedisServer) -> None:
    findings(server)
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    [found] = findings(server, "error")
    assert found.about == "memory"
    server.ask("CONFIG", "SET", "maxmemory", "0")


def test_who_may_not_ask_for_settings_is_told_that_it_is_unknown(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config")
    store = duly.store.open(f"redis://app:secret@127.0.0.1:{server.port}")
    assert store.durability.startswith("unknown")
    assert [one.severity for one in store.examine() if "CONFIG GET is refused" in one.text] == ["warning"]
    store.close()


def test_a_replica_is_an_error(server: RedisServer, tmp_path: Path) -> None:
    server.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    duly.store.open(server.url()).counts()
    with RedisReplica(tmp_path, server) as replica:
        store = duly.store.open(replica.url() + "?timeout=0.5", create=False)
        end = time.monotonic() + 20
        while replica.ask("DBSIZE") == ":0":
            assert time.monotonic() < end
            time.sleep(0.01)
        assert any("replica" in one.text for one in store.examine() if one.severity == "error")
        store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://localhost?prefix=a{b}", r"prefix='a\{b\}' has a brace"),
        ("redis://localhost?timeout=soon", "timeout='soon'; it takes a number of seconds"),
        ("redis://localhost?clutser=1", "no option 'clutser'; known: prefix, timeout, db"),
        ("redis://:pass@localhost?prefx=1", r"redis://:[*]{8}@localhost.*did you mean 'prefix'"),
        ("redis://localhost/one", "the database 'one' is no number"),
        ("redis://localhost:port", "its port is no number"),
        ("redis+sentinel://a,b:26379", r"expected redis\+sentinel://.*/SERVICE"),
        ("redis+sentinel://:pass@a,b:port/jobs", r"redis\+sentinel://:[*]{8}@a,b:port.*expected"),
        ("redis+sentinel://a/jobs/x", "the database 'x' is no number"),
        ("redis+sentinel://a/jobs?sentinel_pasword=x", "did you mean 'sentinel_password'"),
        ("redsi://localhost", "did you mean redis://"),
        ("redis:localhost", "no such kind of store"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        duly.store.open(url)
