"""``shared_task``, ``current_app`` and ``current_task``."""

from __future__ import annotations

from typing import Any

import pytest

from duly import Duly, Task, current_app, current_task, shared, shared_task
from duly.testing import World


def test_a_shared_task_is_every_apps(world: World) -> None:
    @shared_task
    def add(x: int, y: int) -> int:
        return x + y

    @shared_task(bind=True, queue="mail", name="mails.send")
    def send(self: Task[..., Any], to: str) -> str:
        return f"{self.name} {to}"

    later = Duly("later", store="sqlite:///:memory:")
    assert later.tasks["mails.send"].queue == "mail"
    world.app.set_current()
    assert add(1, 2) == 3
    assert add.app is world.app
    assert isinstance(add, Task)
    assert add == world.app.tasks[add.name]
    job = add.delay(1, 2)
    world.advance(1)
    assert job.get() == 3
    assert send("a") == "mails.send a"
    later.set_current()
    assert add.app is later


def test_the_current_app_is_the_last_one() -> None:
    one = Duly("one", store="sqlite:///:memory:")
    assert current_app == one
    assert isinstance(current_app, Duly)
    two = Duly("two", store="sqlite:///:memory:")
    assert current_app.name == "two"
    one.set_current()
    assert current_app.name == "one"
    current_app.conf.timezone = "Europe/Paris"
    assert (one.conf.timezone, two.conf.timezone) == ("Europe/Paris", "UTC")


def test_without_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_current", None)
    monkeypatch.setattr(shared, "_default", None)
    with pytest.raises(RuntimeError, match=r"no app yet: import the module that makes it"):
        current_app.store_url  # noqa: B018


def test_the_current_task(world: World) -> None:
    assert not current_task

    @world.app.task
    def which() -> list[Any]:
        return [current_task.name, current_task.request.id, bool(current_task)]

    job = which.delay()
    world.advance(1)
    assert job.get() == [which.name, job.id, True]
