"""``duly relay`` on Redis, beside a real Celery."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.relay.kit import PROJECT, Fleet, until
from tests.servers.redis import RedisServer

from duly.clock import MICROS
from duly.gateway import wire
from duly.gateway.envelope import from_redis
from duly.relay.broker import Put, Raw
from duly.relay.redis import RedisForm, RedisIntake, RedisPutter


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url()) as client:
        yield client


@pytest.fixture
def fleet(server: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, server.url()) as fleet:
        yield fleet


def call(id: str, ahead: float = 0, **more: int) -> Raw:
    eta = int((time.time() + ahead) * MICROS)
    return RedisForm().new(wire.encode(wire.Message(id=id, task="proj.later", eta=eta, **more)), "celery.later")


def test_a_far_message_is_kept_and_put_unchanged_when_due(fleet: Fleet, client: redis.Redis) -> None:
    fleet.celery.run("later.apply_async([1], countdown=10, priority=6); later.apply_async([2])")
    sent = client.lrange("celery.later\x06\x166", 0, -1) + client.lrange("celery.later", 0, -1)
    assert len(sent) == 2
    fleet.relay()
    fleet.until(lambda: len(fleet.jobs()) == 1)
    (job,) = fleet.jobs()
    assert (job.args[:4], job.priority, fleet.states()) == (b"[[1]", 3, ["scheduled"])
    fleet.until(lambda: client.llen("celery") == 1)
    fleet.until(lambda: client.llen("celery\x06\x166") == 1)
    due = wire.decode(from_redis(sent[0])).eta
    assert due is not None
    assert time.time() >= due / MICROS
    assert client.lrange("celery\x06\x166", 0, -1) + client.lrange("celery", 0, -1) == sent
    fleet.worker()
    fleet.until(lambda: [note.args for note in fleet.notes()] in ([[1], [2]], [[2], [1]]))


def test_what_a_killed_relay_had_taken_is_taken_over_and_what_it_put_is_not_put_again(
    fleet: Fleet, client: redis.Redis
) -> None:
    """The steps of one that died: it has taken a message; it has put another, and not said so to the store."""
    dead = RedisIntake(fleet.broker, ["celery.later"])
    client.lpush("celery.later", call("taken", 5).body, call("near").body)
    assert len(dead.take(1)) == 2
    putter = RedisPutter(fleet.broker, ["celery.later"])
    frozen = Put("put", call("put"), attempt=1, lost=0)
    putter.put("celery.later", "celery", [frozen])
    putter.put("celery.later", "celery", [Put("put", frozen.raw, attempt=2, lost=1)])
    putter.put("celery.later", "celery", [frozen])  # it lives after all
    assert client.llen("celery") == 1
    putter.put("celery.later", "celery", [Put("put", frozen.raw, attempt=3, lost=0)])  # somebody wants it once more
    assert client.llen("celery") == 2
    fleet.relay()
    until(lambda: client.llen("celery") == 4, fleet.logs)
    assert dead.take(0.1) == []
    assert client.keys("duly:relay:taken:*") == []


def test_lists_are_called_as_celery_calls_them(server: RedisServer, client: redis.Redis, tmp_path: Path) -> None:
    """The relay reads the settings that the Celery project has."""
    options = {"global_keyprefix": "mine:", "sep": "-", "priority_steps": [0, 5]}
    (tmp_path / "celeryconfig.py").write_text(
        f"broker_url = {server.url()!r}\nbroker_transport_options = {options}\n"
    )
    text = PROJECT + f"app.conf.broker_transport_options = {options}\n"
    with Fleet(tmp_path / "fleet", server.url(), text) as fleet:
        fleet.celery.run("later.apply_async([1], countdown=8, priority=7); later.apply_async([2], priority=7)")
        assert client.llen("mine:celery.later-5") == 2
        fleet.relay("--config", "celeryconfig", PYTHONPATH=str(tmp_path))
        fleet.until(lambda: len(fleet.jobs()) == 1)
        fleet.until(lambda: client.llen("mine:celery-5") == 2)
        fleet.until(lambda: fleet.states() == ["succeeded"])
        assert client.llen("mine:celery.later-5") == 0
        assert {key.decode() for key in client.keys("*")} - {"mine:celery-5"} == {
            key.decode() for key in client.keys("mine:duly:relay:*")
        } | {key.decode() for key in client.keys("mine:_kombu*")}
