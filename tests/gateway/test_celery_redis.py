"""The door to Celery's lists on a real Redis: what comes in, and what becomes of it when things break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from gateway_kit import PROJECT, jobs, taking, until
from tests.servers.celery import CeleryProgram
from tests.servers.redis import RedisServer

from duly import Duly
from duly.gateway.celery_redis import RedisDoor
from duly.gateway.envelope import Envelope, to_redis
from duly.gateway.publishing import Lists


@pytest.fixture
def broker(shared_redis: RedisServer) -> Iterator[str]:
    """A database of the shared server that nobody else uses meanwhile."""
    url = shared_redis.url(8)
    yield url
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@pytest.fixture
def app(store_of: Callable[[str], str]) -> Iterator[Duly]:
    app = Duly("proj", store=store_of("sqlite"))
    yield app
    app.close()


def door(app: Duly, broker: str, *queues: str, **options: object) -> RedisDoor:
    return RedisDoor([broker], queues, app.store_url, Lists.of(options))


def item(id: str, priority: int = 0) -> bytes:
    headers = {"task": "proj.add", "id": id}
    return to_redis(Envelope(body=b"[[1],{},{}]", headers=headers, properties={"priority": priority}))


def test_calls_of_a_celery_client_become_jobs(app: Duly, broker: str, tmp_path: Path) -> None:
    with CeleryProgram(tmp_path, PROJECT, {"BROKER": broker}) as celery, taking(app, door(app, broker, "a", "b")):
        celery.run("""
for i in (0, 3, 9): add.apply_async((i,), queue="a", priority=i, task_id=f"p{i}")
add.apply_async((7,), queue="b", countdown=3600, task_id="later")
add.apply_async((7,), queue="others")
""")
        until(lambda: len(jobs(app, "a", "b")) == 4, "four jobs")
    found = {job.id: job for job in jobs(app, "a", "b")}
    assert [found[f"p{i}"].priority for i in (0, 3, 9)] == [9, 6, 0]
    assert found["later"].state_name(app.now()) == "scheduled"
    with redis.Redis.from_url(broker) as client:
        assert client.llen("a") == client.llen("b") == 0
        assert client.llen("others") == 1
        assert client.keys("duly:taken:*:*") == []


def test_oldest_first_and_by_priority(app: Duly, broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        client.lpush("a", item("1"), item("2"))
        client.lpush("a\x06\x166", item("low", 6))
        client.lpush("b", item("3"))
    one = door(app, broker, "a", "b")
    one.open()
    taken = one.take(0)
    assert [(each.queue, each.envelope.headers["id"]) for each in taken] == [
        ("a", "1"), ("a", "2"), ("b", "3"), ("a", "low"),
    ]  # fmt: skip


def test_a_prefix_and_other_steps(app: Duly, broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        client.lpush("mine:a", item("1"))
        client.lpush("mine:a-5", item("2", 5))
    one = door(app, broker, "a", global_keyprefix="mine:", sep="-", priority_steps=[0, 5])
    one.open()
    assert [each.envelope.headers["id"] for each in one.take(0)] == ["1", "2"]


def test_what_a_dead_gateway_had_taken_is_gone_on_with(app: Duly, broker: str) -> None:
    dead, heir = door(app, broker, "a"), door(app, broker, "a")
    with redis.Redis.from_url(broker) as client:
        client.lpush("a", item("1"))
        dead.open()
        assert len(dead.take(0)) == 1
        heir.open()
        assert heir.take(0) == []  # it may live
        until(lambda: len(heir.take(0)) == 1, "the heir has it")
        assert dead.take(0) == []  # it was not dead; it has lost what it had
        assert len(heir.take(0)) == 1
        heir.done(heir.take(0))
        assert heir.take(0) == []
        assert client.keys("duly:taken:*:*") == []


def test_what_was_taken_while_the_connection_broke_is_taken_again(app: Duly, broker: str) -> None:
    one = door(app, broker, "a")
    with redis.Redis.from_url(broker) as client:
        client.lpush("a", item("1"))
        one.open()
        one.take(0)
        one.open()
        client.lpush("a", item("2"))
        assert [each.envelope.headers["id"] for each in one.take(0)] == ["1"]
        one.done([])
        assert [each.envelope.headers["id"] for each in one.take(0)] == ["2"]


def test_what_is_no_message_is_kept(app: Duly, broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        client.lpush("a", b"\xff\x00 nonsense", b'{"body": 3}', item("good"))
    with taking(app, door(app, broker, "a")):
        until(lambda: len(jobs(app, "a")) == 3, "three jobs")
    assert sorted(job.task for job in jobs(app, "a")) == ["duly.unreadable", "duly.unreadable", "proj.add"]


def test_a_server_that_goes_away_loses_nothing(app: Duly, tmp_path: Path) -> None:
    durable = {"appendonly": "yes", "appendfsync": "always"}
    with RedisServer(tmp_path / "redis", durable) as server, taking(app, door(app, server.url(), "a")):
        for name in ("before", "after"):
            with redis.Redis.from_url(server.url()) as client:
                for i in range(50):
                    client.lpush("a", item(f"{name}{i}"))
            server.kill()
            server.start()
        until(lambda: len(jobs(app, "a")) == 100, "all jobs")
