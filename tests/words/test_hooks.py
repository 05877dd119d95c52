"""Classes of tasks: hooks, options and attributes of a class, ``__call__`` around all runs, classes with a run."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from duly import AsyncTask, ConfigError, Duly, Ignore, Reject, Task
from duly.job import Filter
from duly.testing import World


class Noting(Task[..., Any]):
    """Writes down what happens to it."""

    max_retries = 1
    default_retry_delay = 5
    queue = "noted"
    house = "an attribute of no meaning to duly"

    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.notes.append(("before", task_id, args, kwargs))

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.notes.append(("success", retval, task_id, args, kwargs))

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        assert "ValueError" in str(einfo)
        assert einfo.exception is exc
        self.notes.append(("failure", exc.args, task_id, args, kwargs))

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.notes.append(("retry", exc.args, task_id, args, kwargs))

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.notes.append(("after", status, task_id, einfo is not None))


@pytest.fixture
def noted(world: World) -> World:
    world.worker(queues=("noted",))
    return world


def test_hooks_of_a_success(noted: World) -> None:
    @noted.app.task(base=Noting)
    def add(x: int, y: int) -> int:
        return x + y

    job = add.delay(1, y=2)
    noted.advance(1)
    assert job.get() == 3
    assert add.notes == [  # type: ignore[attr-defined]
        ("before", job.id, [1], {"y": 2}), ("success", 3, job.id, [1], {"y": 2}), ("after", "SUCCESS", job.id, False),
    ]  # fmt: skip


def test_hooks_of_a_retry_and_a_failure(noted: World) -> None:
    @noted.app.task(base=Noting, autoretry_for=(ValueError,))
    def fail() -> None:
        raise ValueError("no")

    job = fail.delay()
    noted.advance(1)
    begun = ("before", job.id, [], {})
    assert fail.notes == [begun, ("retry", ("no",), job.id, [], {})]  # type: ignore[attr-defined]
    noted.advance(10)
    assert job.failed()
    assert fail.notes[2:] == [  # type: ignore[attr-defined]
        begun, ("failure", ("no",), job.id, [], {}), ("after", "FAILURE", job.id, True),
    ]  # fmt: skip


def test_what_before_start_raises_is_the_tasks_failure(world: World) -> None:
    failures = []

    class Closed(Task[..., Any]):
        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            raise ValueError("closed today")

        def on_failure(self, exc: BaseException, *_: Any) -> None:
            failures.append(exc)

    @world.app.task(base=Closed)
    def never() -> None:
        raise AssertionError

    job = never.delay()
    world.advance(1)
    with pytest.raises(ValueError, match="closed today"):
        job.get()
    assert len(failures) == 1


def test_a_hook_that_raises_is_logged_and_changes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(Task[..., Any]):
        def on_success(self, *_: Any) -> None:
            raise OSError("disk")

    @world.app.task(base=Clumsy)
    def fine() -> int:
        return 7

    job = fine.delay()
    world.advance(1)
    assert job.get() == 7
    assert "on_success of task" in caplog.text
    assert "OSError: disk" in caplog.text


def test_a_result_that_cannot_be_stored_is_a_failure_for_the_hooks_too(noted: World) -> None:
    ends = []

    class Watching(Task[..., Any]):
        def after_return(self, status: str, *_: Any) -> None:
            ends.append(status)

    @noted.app.task(base=Watching)
    def wrong() -> Any:
        return object()

    wrong.delay()
    noted.advance(1)
    assert ends == ["FAILURE"]


def test_options_of_a_class_are_those_of_its_tasks() -> None:
    app = Duly("classes", store="sqlite:///:memory:")

    class Slower(Noting):
        queue = "slower"

    @app.task(base=Slower, priority=3)
    def one() -> None: ...

    @app.task(base=Slower, queue="own")
    def two() -> None: ...

    assert (one.queue, one.max_retries, one.priority, one.retry_policy.default_retry_delay) == ("slower", 1, 3, 5)
    assert two.queue == "own"
    assert one.house == "an attribute of no meaning to duly"  # type: ignore[attr-defined]
    app.conf.task_annotations = {"*": {"queue": "annotated"}}
    assert one.queue == "annotated"


def test_a_wrong_option_of_a_class_is_refused_where_it_is_used() -> None:
    class Wrong(Task[..., Any]):
        priority = 11

    app = Duly("classes", store="sqlite:///:memory:")
    with pytest.raises(ConfigError, match=r"priority=11; expected 0 to 9"):
        app.task(base=Wrong)(print)
    with pytest.raises(ConfigError, match=r"expected a subclass of duly\.Task"):
        app.task(base=dict)(lambda: None)  # type: ignore[call-overload]


def test_a_call_around_all_runs(world: World) -> None:
    depth = []

    class InContext(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            depth.append("in")
            try:
                return self.run(*args, **kwargs)
            finally:
                depth.append("out")

    @world.app.task(base=InContext)
    def work() -> None:
        depth.append("work")

    @world.app.task(base=InContext)
    async def awork() -> None:
        await asyncio.sleep(0)
        depth.append("work")

    work.delay()
    world.advance(1)
    assert depth == ["in", "work", "out"]
    assert isinstance(awork, AsyncTask)
    assert isinstance(awork, InContext)
    depth.clear()
    asyncio.run(awork())
    assert depth == ["in", "out", "work"]  # around the making of the coroutine, as in a worker
    work()
    assert depth[3:] == ["in", "work", "out"]


def test_the_class_for_all_tasks_of_an_app(world: World) -> None:
    class Mine(Task[..., Any]):
        pass

    world.app.task_class = Mine

    @world.app.task
    def plain() -> None: ...

    assert isinstance(plain, Mine)


def test_a_class_with_a_run(world: World) -> None:
    class Fetch(Task[..., str]):
        name = "shop.fetch"
        max_retries = 0

        def __init__(self) -> None:
            self.seen = 0

        def run(self, url: str, tries: int = 1) -> str:
            self.seen += 1
            return f"{url} {self.request.id} {tries}"

    with pytest.raises(RuntimeError, match=r"belongs to no app yet: fetch = app.register_task\(Fetch\(\)\)"):
        Fetch().delay("u")
    fetch = world.app.register_task(Fetch())
    assert world.app.tasks["shop.fetch"] is fetch
    assert fetch.max_retries == 0
    job = fetch.delay("u", tries=2)
    world.advance(1)
    assert job.get() == f"u {job.id} 2"
    assert fetch.seen == 1
    with pytest.raises(TypeError, match="missing a required argument: 'url'"):
        fetch.delay()
    again = world.app.register_task(Fetch)
    assert again.name == "shop.fetch"
    with pytest.raises(ConfigError, match=r"has no run\(self, ...\)"):
        world.app.register_task(Noting())


def test_ignore_ends_cancelled_and_reject_failed_or_again(world: World) -> None:
    @world.app.task(autoretry_for=(Exception,))
    def ignored() -> None:
        raise Ignore("nothing to do")

    @world.app.task(autoretry_for=(Exception,))
    def rejected() -> None:
        raise Reject("broken", requeue=False)

    runs = []

    @world.app.task(bind=True, max_retries=0)
    def put_back(self: Task[..., Any]) -> str:
        runs.append(world.clock.now())
        if len(runs) < 4:
            raise Reject("not here", requeue=True)
        return f"{self.request.attempt} {self.request.retries}"

    jobs = [task.delay() for task in (ignored, rejected, put_back)]
    world.advance(20)
    assert [job.state for job in jobs] == ["cancelled", "failed", "succeeded"]
    assert jobs[2].get() == "4 0"
    assert [round((b - a) / 1e6) for a, b in itertools.pairwise(runs)] == [1, 2, 4]
    with pytest.raises(Reject, match="broken"):
        jobs[1].get()
    [view] = world.app.jobs(Filter(ids=(jobs[0].id,))).jobs
    assert b"nothing to do" in (view.error or b"")


def test_retry_may_be_given_instead_of_raised(world: World) -> None:
    @world.app.task(bind=True)
    def twice(self: Task[..., Any]) -> int:
        if self.request.retries == 0:
            raise self.retry(countdown=1, throw=False)
        return self.request.attempt

    job = twice.delay()
    world.advance(3)
    assert job.get() == 2


def test_apply_runs_here_with_hooks_and_retries(world: World) -> None:
    @world.app.task(base=Noting, bind=True, autoretry_for=(ValueError,))
    def unsteady(self: Task[..., Any], x: int) -> int:
        if self.request.retries == 0:
            raise ValueError("first")
        return x

    done = unsteady.apply((3,))
    assert (done.get(), done.state) == (3, "succeeded")
    assert [note[0] for note in unsteady.notes] == ["before", "retry", "before", "success", "after"]  # type: ignore[attr-defined]

    @world.app.task
    def fail() -> None:
        raise KeyError("x")

    assert fail.apply().failed()
    with pytest.raises(KeyError):
        fail.apply(throw=True)
    assert world.app.jobs().jobs == []
