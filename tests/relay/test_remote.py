"""Calls of duly's clients that workers of a real Celery run, on both brokers, with results from both back ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.relay.kit import PROJECT, Fleet
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

from duly import ConfigError, Duly, JobCancelled, chain

TEXT = (
    PROJECT.replace('broker=os.environ["BROKER"]', 'broker=os.environ["BROKER"], backend=os.environ["BACKEND"]')
    + """
@app.task
def add(x, y=0):
    note(id="add", args=[x, y], kwargs={}, eta=None, expires=None, headers=None, queue="", priority=0, retries=0)
    return x + y

@app.task
def broken(text):
    raise ValueError(text, 7)

@app.task
def slow(path):
    note(id="slow", args=[], kwargs={}, eta=None, expires=None, headers=None, queue="", priority=0, retries=0)
    while not os.path.exists(path):
        time.sleep(0.05)
    return "slow"
"""
)


@pytest.fixture(params=["amqp+rpc", "redis+redis"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A Celery worker, and where it puts results."""
    if request.param == "amqp+rpc":
        rabbit: RabbitServer = request.getfixturevalue("shared_rabbitmq")
        broker, results = rabbit.new_vhost(), "rpc://"
    else:
        redis: RedisServer = request.getfixturevalue("shared_redis")
        broker, results = redis.url(7), redis.url(8)
    with Fleet(tmp_path, broker, TEXT, BACKEND=results) as fleet:
        fleet.results = results
        yield fleet


@pytest.fixture
def app(fleet: Fleet) -> Iterator[Duly]:
    app = Duly("remote", store=fleet.store)
    yield app
    app.close()


def test_a_remote_task_is_called_like_any_other(fleet: Fleet, app: Duly, tmp_path: Path) -> None:
    add, broken, slow = (app.remote(f"proj.{name}") for name in ("add", "broken", "slow"))
    ready = tmp_path / "ready"
    first = add.delay(2, y=3)  # before anybody is there
    fleet.worker()
    fleet.relay("--results", fleet.results)
    assert first.get(60) == 5
    failed = broken.delay("no")
    with pytest.raises(ValueError, match="no") as raised:
        failed.get(60)
    assert raised.value.args == ("no", 7)
    assert "raise ValueError" in str(failed.traceback)
    assert chain(add.s(1, 1), add.s(10)).apply_async().get(60) == 12
    waiting = slow.delay(str(ready))
    fleet.until(lambda: waiting.state == "running")
    fleet.relay("--results", fleet.results, wait=False)
    fleet.end_relay(0)
    fleet.relay("--results", fleet.results, wait=False)
    fleet.until(lambda: "puts what waits" in fleet.log(1))
    fleet.kill_relay(1)
    ready.touch()
    assert waiting.get(60) == "slow"
    assert (fleet.runs("add"), fleet.runs("slow")) == (3, 1)


def test_what_is_cancelled_or_ignored(fleet: Fleet, app: Duly, tmp_path: Path) -> None:
    add, slow = app.remote("proj.add", ignore_result=True), app.remote("proj.slow")
    fleet.worker()
    fleet.relay("--results", fleet.results)
    assert add.delay(1).get(60) is None
    fleet.until(lambda: fleet.runs("add") == 1)
    later = add.apply_async((5,), countdown=3600)
    app.cancel(later.id)
    waiting = slow.delay(str(tmp_path / "ready"))
    fleet.until(lambda: waiting.state == "running")
    app.cancel(waiting.id)
    with pytest.raises(JobCancelled):
        waiting.get(60)
    (tmp_path / "ready").touch()
    assert fleet.runs("add") == 1


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    app = Duly("remote", store=f"sqlite:///{tmp_path}/duly.db")
    with pytest.raises(ConfigError, match=r"without the '\.later'"):
        app.remote("proj.add", queue="celery.later")
    with pytest.raises(ConfigError, match="max_retries is for who runs the task"):
        app.remote("proj.add", max_retries=3)
    with pytest.raises(ConfigError, match="run by Celery's workers"):
        app.remote("proj.add")(1)
    app.close()
