"""AsyncResult, and what a task can do while it runs."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from miniworker import MiniWorker

from duly import (
    AsyncResult,
    Duly,
    EncodeError,
    JobCancelled,
    JobUnknown,
    RetriesExhausted,
    StaleLease,
    StoreError,
    Task,
)
from duly.job import Progress
from duly.request import current

MakeWorker = Callable[..., MiniWorker]


@dataclass
class Point:
    x: int


class Teapot(Exception): ...


@pytest.fixture
def tasks(app: Duly) -> Any:
    class Tasks:
        @app.task
        def add(x: int, y: int) -> int:  # type: ignore[misc]  # noqa: N805
            return x + y

        @app.task
        def point(x: int) -> Point:  # type: ignore[misc]  # noqa: N805
            return Point(x)

        @app.task
        def fail() -> None:  # type: ignore[misc]
            raise Teapot("short and stout")

    return Tasks


@pytest.fixture(params=["stored", "eager"])
def run(
    request: pytest.FixtureRequest, app: Duly, worker: MakeWorker
) -> Iterator[Callable[[AsyncResult[Any]], AsyncResult[Any]]]:
    """Brings a job to its end: through the store and a worker, or eagerly."""
    app.conf.task_always_eager = request.param == "eager"

    def finish(result: AsyncResult[Any]) -> AsyncResult[Any]:
        if request.param == "stored":
            mini = worker()
            while not result.ready():
                if not mini.run_due():
                    result.move(countdown=0)  # a retry that is due later
        return result

    return finish


def test_success(run: Any, tasks: Any) -> None:
    result = run(tasks.add.delay(2, 3))
    assert (result.state, result.ready(), result.successful(), result.failed()) == ("succeeded", True, True, False)
    assert (result.get(timeout=0), result.result, result.attempts, result.traceback) == (5, 5, 1, None)
    assert run(tasks.point.delay(4)).get(timeout=0) == Point(4)
    assert result.forget()
    assert result.state == "unknown"
    with pytest.raises(JobUnknown):
        result.get(timeout=0)


def test_failure(run: Any, tasks: Any) -> None:
    result = run(tasks.fail.delay())
    assert (result.state, result.failed()) == ("failed", True)
    with pytest.raises(Teapot, match="short and stout") as caught:
        result.get(timeout=0)
    assert 'raise Teapot("short and stout")' in caught.value.__notes__[0]
    assert "duly" not in result.traceback.split("\n")[1]
    assert isinstance(result.get(timeout=0, propagate=False), Teapot)
    assert isinstance(result.result, Teapot)


def test_a_result_that_cannot_be_encoded(run: Any, app: Duly) -> None:
    task = app.task(name="odd")(lambda: object())
    with pytest.raises(EncodeError, match="odd"):
        run(task.delay()).get(timeout=0)


def test_async_def_and_ignored_results(run: Any, app: Duly) -> None:
    @app.task(ignore_result=True)
    def quiet() -> int:
        return 3

    assert run(quiet.delay()).get(timeout=0) is None
    if app.conf.task_always_eager:

        @app.task
        async def slow(x: int) -> int:
            await asyncio.sleep(0)
            return x

        assert slow.delay(3).get() == 3


def test_retry_by_hand(run: Any, app: Duly) -> None:
    seen: list[tuple[int, int]] = []

    @app.task(bind=True, max_retries=2)
    def flaky(self: Task[..., Any], wrapped: bool) -> None:
        seen.append((self.request.attempt, self.request.retries))
        if not wrapped:
            self.retry(countdown=0)
        try:
            raise Teapot("hot")
        except Teapot as exc:
            self.retry(exc=exc, countdown=5)

    with pytest.raises(Teapot, match="hot"):
        run(flaky.delay(True)).get(timeout=0)
    assert seen == [(1, 0), (2, 1), (3, 2)]
    with pytest.raises(RetriesExhausted, match="retry 3 of 2"):
        run(flaky.delay(False)).get(timeout=0)
    seen.clear()
    with pytest.raises(Teapot):
        run(flaky.apply_async((True,), max_retries=0)).get(timeout=0)
    assert len(seen) == 1


def test_autoretry(run: Any, app: Duly) -> None:
    runs: list[int] = []

    @app.task(autoretry_for=(ValueError,), dont_autoretry_for=(UnicodeError,), max_retries=3, retry_backoff=True)
    def flaky(good_at: int, odd: bool = False) -> int:
        runs.append(1)
        if odd:
            raise UnicodeError
        if len(runs) < good_at:
            raise ValueError(len(runs))
        return len(runs)

    assert run(flaky.delay(3)).get(timeout=0) == 3
    runs.clear()
    with pytest.raises(ValueError, match="4"):
        run(flaky.delay(99)).get(timeout=0)
    runs.clear()
    with pytest.raises(UnicodeError):
        run(flaky.delay(1, odd=True)).get(timeout=0)
    assert len(runs) == 1


def test_progress_and_effects(run: Any, app: Duly) -> None:
    calls: list[int] = []

    def charge(amount: int) -> Point:
        calls.append(amount)
        return Point(amount)

    @app.task(bind=True)
    def order(self: Task[..., Any]) -> int:
        self.progress(1, 4, "charging")
        self.progress(2, 4)
        paid = self.effect("charge", charge, 7)
        assert isinstance(paid, Point)
        if self.request.retries == 0:
            self.retry(countdown=0)
        return paid.x

    result = run(order.delay())
    assert result.get(timeout=0) == 7
    assert calls == [7]
    assert result.progress == Progress(done=2, total=4)


def test_the_request(run: Any, app: Duly) -> None:
    seen: dict[str, Any] = {}

    @app.task(bind=True, time_limit=9)
    def look(self: Task[..., Any], x: int, y: int = 0) -> None:
        r = self.request
        seen.update(id=r.id, args=r.args, kwargs=r.kwargs, headers=r.headers, queue=r.queue, soft=r.soft_time_limit,
                    hard=r.time_limit, eta=r.eta, eager=r.is_eager, task=r.task)  # fmt: skip

    eta = datetime(2020, 1, 1, tzinfo=UTC)
    result = run(look.apply_async((1,), {"y": 2}, headers={"h": eta}, eta=eta, soft_time_limit=4))
    result.get(timeout=0)
    assert seen == {
        "id": result.id, "args": [1], "kwargs": {"y": 2}, "headers": {"h": eta}, "queue": "default", "soft": 4,
        "hard": 9, "eta": eta, "eager": app.conf.task_always_eager, "task": look.name,
    }  # fmt: skip
    assert current.get() is None
    with pytest.raises(RuntimeError, match="no job here"):
        _ = look.request


def test_stale_leases_are_told(app: Duly, worker: MakeWorker) -> None:
    mini = worker()

    @app.task(bind=True, name="stale")
    def stale(self: Task[..., Any]) -> str:
        app.store.rescue(99, dead=[mini.id])
        try:
            self.effect("e", int)
        except StaleLease:
            self.progress(1)
        return "never"

    stale.delay()
    lease = app.store.exchange(mini.id, 0, [], 1, ["default"]).leases[0]
    from duly.request import Request

    token = current.set(Request(stale, lease, app.store))
    try:
        with pytest.raises(StaleLease):
            stale()
    finally:
        current.reset(token)


def test_eager_propagation_and_arguments(app: Duly, tasks: Any) -> None:
    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    with pytest.raises(Teapot):
        tasks.fail.delay()
    with pytest.raises(TypeError):
        tasks.add.delay("a", 1)


async def test_eager_in_a_loop(app: Duly) -> None:
    app.conf.task_always_eager = True

    @app.task
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert double.delay(2).get() == 4
    assert await (await double.adelay(3)) == 6
    assert await double(4) == 8


def test_get_waits_for_the_worker(app: Duly, tasks: Any, worker: MakeWorker) -> None:
    worker().start()
    assert tasks.add.delay(1, 2).get(timeout=30) == 3
    with pytest.raises(Teapot):
        tasks.fail.delay().get(timeout=30)


def test_many_wait_at_once_with_one_listener(app: Duly, tasks: Any, worker: MakeWorker) -> None:
    results = [tasks.add.delay(i, i) for i in range(30)]
    values: list[int | None] = [None] * 30

    def wait(i: int) -> None:
        values[i] = results[i].get(timeout=30)

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(30)]
    for thread in threads:
        thread.start()
    listening = [t for t in threading.enumerate() if t.name == "duly-results"]
    worker().start()
    for thread in threads:
        thread.join(30)
    assert values == [2 * i for i in range(30)]
    assert len(listening) <= 1


async def test_await(app: Duly, tasks: Any, worker: MakeWorker) -> None:
    results = [await tasks.add.adelay(i, 1) for i in range(20)]
    waiting = asyncio.gather(*results)
    worker().start()
    assert await asyncio.wait_for(waiting, 30) == [i + 1 for i in range(20)]
    with pytest.raises(Teapot):
        await (await tasks.fail.adelay())
    with pytest.raises(TimeoutError, match="scheduled, due"):
        await (await tasks.add.aapply_async((1, 1), countdown=60)).aget(timeout=0.01)


def test_timeout_says_why(app: Duly, tasks: Any, worker: MakeWorker) -> None:
    result = tasks.add.apply_async((1, 1), queue="crawl")
    with pytest.raises(TimeoutError, match="it is queued, and no worker is running on sqlite"):
        result.get(timeout=0.01)
    mini = worker("other")
    with pytest.raises(TimeoutError, match="no worker serves queue 'crawl'"):
        result.get(timeout=0.01)
    with pytest.raises(TimeoutError, match="no worker serves queue 'othr'; did you mean 'other'"):
        tasks.add.apply_async((1, 1), queue="othr").get(timeout=0.01)
    mini.queues = ("crawl",)
    worker("crawl")
    app.send_task("nobody.has", queue="crawl")
    with pytest.raises(TimeoutError, match=r"registered the task nobody\.has"):
        app.AsyncResult(app.jobs().jobs[0].id).get(timeout=0.01)
    with pytest.raises(TimeoutError, match="is scheduled, due 20"):
        tasks.add.apply_async((1, 1), countdown=100).get(timeout=0)


def test_cancel_move_retry(app: Duly, tasks: Any, worker: MakeWorker) -> None:
    result = tasks.add.apply_async((1, 1), countdown=100)
    assert result.move(countdown=0) == "moved"
    assert result.state == "queued"
    with pytest.raises(ValueError, match="eta= or countdown="):
        result.move()
    assert result.cancel() == "prevented"
    assert result.cancel() == "too late"
    with pytest.raises(JobCancelled, match="was cancelled"):
        result.get(timeout=0)
    assert result.retry() == "retried"
    worker().run_due()
    assert result.get(timeout=0) == 2
    assert app.AsyncResult("nothing").cancel() == "unknown"
    assert app.AsyncResult("nothing").attempts == 0


def test_a_wait_ends_when_the_job_is_cancelled(app: Duly, tasks: Any) -> None:
    result = tasks.add.apply_async((1, 1), countdown=100)
    timer = threading.Timer(0.05, result.cancel)
    timer.start()
    with pytest.raises(JobCancelled):
        result.get(timeout=30)
    timer.join()


def test_identity_and_results_by_id(app: Duly, tasks: Any, worker: MakeWorker) -> None:
    result = tasks.point.delay(3)
    again = app.AsyncResult(result.id)
    assert result == again
    assert len({result, again}) == 1
    assert result != result.id
    worker().run_due()
    assert again.get(timeout=0) == Point(3)  # decoded as the task says, which the store knows


def test_waiting_in_a_forked_child(app: Duly, tasks: Any, worker: MakeWorker) -> None:
    mini = worker()
    result = tasks.add.delay(1, 2)
    with pytest.raises(TimeoutError):
        result.get(timeout=0.01)  # the parent's watcher thread runs now
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, b"x")
            code = 0 if result.get(timeout=30) == 3 else 2
        finally:
            os._exit(code)
    os.read(reading, 1)
    mini.run_due()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closing_the_app_ends_a_wait(app: Duly, tasks: Any) -> None:
    result = tasks.add.apply_async((1, 1), countdown=100)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            result.get(timeout=60)
        except StoreError as exc:
            errors.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    pause = threading.Event()
    while app.watcher._watch is None or not app.watcher._watch.waits:
        pause.wait(0.005)
    app.close()
    thread.join(30)
    assert "was closed" in str(errors[0])
    assert result.state == "scheduled"  # and it opens again
