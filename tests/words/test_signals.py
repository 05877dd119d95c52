"""Signals: connecting, what is sent when, and that a receiver which raises harms nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from duly import Reject, Task, signals
from duly.job import Filter
from duly.testing import World

Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def told() -> Told:
    """All that the signals around a job say, in order."""
    heard: Told = []

    def listener(name: str) -> Callable[..., None]:
        return lambda **told: heard.append((name, told))

    for name, signal in signals.ALL.items():
        if name.startswith(("task_", "before_", "after_task")) and signal._never is None:
            signal.connect(listener(name))
    return heard


def test_a_job_that_succeeds(world: World, told: Told) -> None:
    @world.app.task
    def add(x: int, y: int) -> int:
        return x + y

    job = add.delay(1, y=2)
    world.advance(1)
    assert [name for name, _ in told] == [
        "before_task_publish", "after_task_publish", "task_received", "task_prerun", "task_success", "task_postrun",
    ]  # fmt: skip
    by = dict(told)
    assert by["before_task_publish"]["sender"] == add.name
    assert by["before_task_publish"]["headers"]["id"] == job.id
    assert by["before_task_publish"]["body"][:2] == ([1], {"y": 2})
    prerun = by["task_prerun"]
    assert (prerun["sender"], prerun["task"], prerun["task_id"]) == (add, add, job.id)
    assert (prerun["args"], prerun["kwargs"]) == ([1], {"y": 2})
    assert by["task_success"]["result"] == 3
    assert (by["task_postrun"]["state"], by["task_postrun"]["retval"]) == ("SUCCESS", 3)


def test_retry_failure_and_reject(world: World, told: Told) -> None:
    @world.app.task(autoretry_for=(ValueError,), max_retries=1, default_retry_delay=1)
    def fail() -> None:
        raise ValueError("no")

    @world.app.task
    def reject() -> None:
        raise Reject("never")

    job = fail.delay()
    world.advance(5)
    ends = [name for name, _ in told if name.startswith("task_")]
    one = ["task_received", "task_prerun"]
    assert ends == [*one, "task_retry", "task_postrun", *one, "task_failure", "task_postrun"]
    by = dict(told)
    assert by["task_failure"]["task_id"] == job.id
    assert isinstance(by["task_failure"]["exception"], ValueError)
    assert "raise ValueError" in str(by["task_failure"]["einfo"])
    assert by["task_retry"]["request"].id == job.id
    told.clear()
    reject.delay()
    world.advance(1)
    assert [name for name, _ in told][-2:] == ["task_rejected", "task_postrun"]


def test_arguments_that_do_not_fit_any_more_are_a_failure(world: World, told: Told) -> None:
    @world.app.task(name="t")
    def old(x: Any) -> None: ...

    old.delay("text")

    world.app._registry.clear()

    @world.app.task(name="t")
    def new(x: int) -> None: ...

    world.advance(1)
    assert "DecodeError" in repr(dict(told)["task_failure"]["exception"])


def test_an_unknown_task(world: World, told: Told) -> None:
    job = world.app.send_task("elsewhere.f")
    world.advance(1)
    assert dict(told)["task_unknown"]["name"] == "elsewhere.f"
    assert dict(told)["task_unknown"]["id"] == job.id


def test_headers_added_before_publishing_travel_along(world: World) -> None:
    @signals.before_task_publish.connect
    def stamp(headers: dict[str, Any], **_: Any) -> None:
        headers["tenant"] = "acme"
        headers["id"] = "forged"

    @world.app.task(bind=True)
    def who(self: Task[..., Any]) -> list[Any]:
        return [self.request.headers["tenant"], self.request.get("tenant"), self.request.headers.get("mine")]

    jobs = [who.delay(), who.apply_async(headers={"mine": 1}), *who.enqueue_many([()])]
    world.advance(1)
    assert [job.get() for job in jobs] == [["acme", "acme", None], ["acme", "acme", 1], ["acme", "acme", None]]
    assert "forged" not in {job.id for job in jobs}


async def test_coroutines_publish_too(world: World, told: Told) -> None:
    @world.app.task
    def add() -> None: ...

    await add.adelay()
    assert [name for name, _ in told] == ["before_task_publish", "after_task_publish"]
    world.app.client.close()


def test_a_receiver_that_raises_is_logged_and_the_others_are_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    heard = []

    @signals.task_prerun.connect
    def bad(**_: Any) -> None:
        raise RuntimeError("bad receiver")

    @signals.task_prerun.connect
    def good(**_: Any) -> None:
        heard.append(1)

    @world.app.task
    def add() -> int:
        return 1

    job = add.delay()
    world.advance(1)
    assert job.get() == 1
    assert heard == [1]
    assert "a receiver of task_prerun raised RuntimeError: bad receiver" in caplog.text


def test_one_sender_by_task_or_name(world: World) -> None:
    heard: list[str] = []

    @world.app.task
    def one() -> None: ...

    @world.app.task
    def two() -> None: ...

    @signals.task_prerun.connect(sender=one)
    def by_task(task: Any, **_: Any) -> None:
        heard.append(f"task {task.name}")

    @signals.after_task_publish.connect(sender=two.name)
    def by_name(sender: str, **_: Any) -> None:
        heard.append(f"name {sender}")

    one.delay()
    two.delay()
    world.advance(1)
    assert heard == [f"name {two.name}", f"task {one.name}"]


def test_connecting_twice_weakly_and_not_any_more() -> None:
    signal = signals.Signal("test")
    heard: list[int] = []

    def note(**_: Any) -> None:
        heard.append(1)

    signal.connect(note)
    signal.connect(note)
    signal.send(None)
    assert heard == [1]
    assert signal.disconnect(note)
    assert not signal.disconnect(note)
    signal.connect(note, weak=True)
    signal.connect(lambda **_: heard.append(2), dispatch_uid="u")
    signal.connect(lambda **_: heard.append(3), dispatch_uid="u")
    del note
    gc.collect()
    signal.send(None)
    assert heard == [1, 3]


def test_what_cannot_be_connected_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError, match=r"task_prerun.connect\(f\): a receiver has to take \*\*kwargs"):

        @signals.task_prerun.connect
        def f(sender: Any) -> None: ...

    with pytest.raises(TypeError, match="expected a function"):
        signals.task_prerun.connect(3)  # type: ignore[call-overload]
    signals.beat_embedded_init.connect(lambda **_: None)
    assert "signal beat_embedded_init is never sent here: every worker" in caplog.text


def test_nobody_listens_nobody_is_called(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    @world.app.task
    def add() -> None: ...

    monkeypatch.setattr(signals.Signal, "send", lambda *_, **__: pytest.fail("sent to nobody"))
    add.delay()
    world.advance(1)
    assert not signals.TASKS.live
    assert world.app.jobs(Filter(states=("succeeded",))).jobs
