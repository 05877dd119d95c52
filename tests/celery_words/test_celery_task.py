"""A Celery task: options, calls, ``self.request``, retries, states, results, pickle."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from duly import ConfigError, DecodeError
from duly.celery import Celery, Task, chain, chord, group, states
from duly.celery.app import options
from duly.celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry, TaskRevokedError
from duly.celery.result import AsyncResult, EagerResult, result_from_tuple
from duly.job import Filter
from duly.testing import World


@dataclass
class Point:
    x: int
    y: int


def test_a_job_that_is_fed_keeps_what_it_is_fed(world: World, app: Celery) -> None:
    @app.task
    def one() -> int:
        return 1

    @app.task(bind=True, default_retry_delay=1)
    def same(self: Task[..., Any], x: int, y: int = 0) -> list[int]:
        if not self.request.retries:
            self.retry(args=self.request.args, kwargs={**self.request.kwargs})
        return [x, y]

    @app.task(bind=True)
    def other(self: Task[..., Any], x: int, y: int = 0) -> None:
        self.retry(args=[x + 1])

    keeps, changes = chain(one.s(), same.s(y=2)).apply_async(), chain(one.s(), other.s()).apply_async()
    world.advance(5)
    assert keeps.get() == [1, 2]
    with pytest.raises(TypeError, match="results of jobs before it, which it gets anew"):
        changes.get()


def test_states_and_results(world: World, app: Celery) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(max_retries=0)
    def fail() -> None:
        raise ValueError("no")

    good, bad = add.delay(1, 2), fail.delay()
    assert isinstance(good, AsyncResult)
    assert (good.state, good.status, AsyncResult("nobody").state) == ("PENDING", "PENDING", "PENDING")
    world.advance(1)
    assert (good.state, good.result, good.info, good.get()) == ("SUCCESS", 3, 3, 3)
    assert (good.name, good.args, good.kwargs, good.queue) == (add.name, [1, 2], {}, "celery")
    assert good.date_done is not None
    assert good.worker is not None
    assert (bad.state, bad.failed()) == ("FAILURE", True)
    with pytest.raises(ValueError, match="no"):
        bad.get(interval=0.1, disable_sync_subtasks=False)
    assert isinstance(bad.get(propagate=False), ValueError)
    assert "ValueError: no" in (bad.traceback or "")
    heard = []
    good.get(callback=lambda id, value: heard.append((id, value)))
    assert heard == [(good.id, 3)]
    assert good.maybe_throw() == 3
    assert result_from_tuple(good.as_tuple()) == good
    assert good.forget()
    with pytest.raises(TypeError, match="told once"):
        good.get(on_message=print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="link="):
        good.then(print)


def test_options_set_on_a_task_that_is_made(app: Celery) -> None:
    @app.task
    def add() -> None: ...

    add.rate_limit = "5/m"
    add.acks_late = True
    assert (add.rate_limit, add.acks_late) == ("5/m", True)
    with pytest.raises(ConfigError, match="backend='redis' cannot be: results are kept in the store"):
        add.backend = "redis"


def test_revoked_and_timed_out(world: World, app: Celery) -> None:
    @app.task
    def add() -> None: ...

    job = add.apply_async(countdown=100)
    with pytest.raises(TimeoutError):
        job.get(timeout=0)
    job.revoke(terminate=True)
    assert job.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        job.get()


def test_a_state_of_its_own(world: World, app: Celery) -> None:
    seen = []

    @app.task(bind=True)
    def crawl(self: Task[..., Any]) -> str:
        self.update_state(state="CRAWLING", meta={"current": 3, "total": 10, "page": "a"})
        job = self.AsyncResult(self.request.id)
        seen.append((job.state, job.info, job.progress.done, job.progress.total))  # type: ignore[union-attr]
        self.update_state(task_id=self.request.id, state="DONE SOON")
        seen.append(job.state)
        with pytest.raises(ValueError, match="says its own state"):
            self.update_state(task_id="other", state="X")
        return "there"

    @app.task(bind=True)
    def own_failure(self: Task[..., Any]) -> None:
        self.update_state(state=states.FAILURE, meta="because")
        raise Ignore

    crawled, failed = crawl.delay(), own_failure.delay()
    world.advance(1)
    assert seen == [("CRAWLING", {"current": 3, "total": 10, "page": "a"}, 3.0, 10.0), "DONE SOON"]
    assert crawled.state == "SUCCESS"
    assert (failed.state, failed.info) == ("FAILURE", "because")


def test_the_request_of_a_job_and_outside_of_one(world: World, app: Celery) -> None:
    @app.task(bind=True)
    def who(self: Task[..., Any]) -> Any:
        r = self.request
        return [r.id, r.retries, r.called_directly, r.is_eager, r.get("tenant"), r.delivery_info and
                r.delivery_info["routing_key"], r.hostname is not None, r.shadow]  # fmt: skip

    assert who() == [None, 0, True, False, None, None, True, None]
    job = who.apply_async(headers={"tenant": "acme"}, shadow="nice name")
    eager = who.apply(task_id="e")
    world.advance(1)
    assert job.get() == [job.id, 0, False, False, "acme", "celery", True, "nice name"]
    assert isinstance(eager, EagerResult)
    assert eager.get()[:4] == ["e", 0, False, True]
    assert eager.state == "SUCCESS"


def test_retries(world: World, app: Celery) -> None:
    @app.task(bind=True, retry_kwargs={"max_retries": 2, "countdown": 1})
    def again(self: Task[..., Any]) -> str:
        try:
            raise ValueError("inner")
        except ValueError as exc:
            try:
                raise self.retry()
            except MaxRetriesExceededError:
                return f"gave up on {exc} after {self.request.retries}"

    @app.task(bind=True, max_retries=0)
    def with_exc(self: Task[..., Any]) -> None:
        self.retry(exc=KeyError("mine"))

    @app.task(bind=True, default_retry_delay=1)
    def other_args(self: Task[..., Any], x: int, y: int = 0) -> list[int]:
        if self.request.retries < 2:
            self.retry(args=[x + 1]) if self.request.retries else self.retry(kwargs={"y": 5})
        return [x, y, self.request.retries]

    @app.task(bind=True)
    def wrong_args(self: Task[..., Any], x: int) -> None:
        self.retry(kwargs={"z": 1})

    @app.task(bind=True)
    def same_args(self: Task[..., Any], x: int) -> int:
        if self.request.retries:
            return x
        raise self.retry(args=(x,), kwargs={}, countdown=1, throw=False)

    jobs = [again.delay(), with_exc.delay(), other_args.delay(1), same_args.delay(1), wrong_args.delay(1)]
    world.advance(10)
    assert jobs[0].get() == "gave up on inner after 2"
    with pytest.raises(KeyError, match="mine"):
        jobs[1].get()
    assert jobs[2].get() == other_args.apply((1,)).get() == [2, 5, 2]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        jobs[4].get()
    assert jobs[3].get() == 1
    with pytest.raises(RuntimeError, match="outside of a job"):
        again.retry()
    assert issubclass(Retry, Exception)


def test_options_of_tasks(app: Celery) -> None:
    @app.task(
        acks_late=True, reject_on_worker_lost=True, track_started=True, ignore_result=True, time_limit=10,
        soft_time_limit=5, rate_limit="10/m", priority=3, queue="mail", expires=60, throws=(KeyError,),
        autoretry_for=(OSError,), retry_backoff=True, serializer="json", default_retry_delay=1,
    )  # fmt: skip
    def full() -> None: ...

    assert (full.queue, full.time_limit, full.ignore_result, full.options["rate_limit"]) == ("mail", 10, True, "10/m")
    assert full.options["throws"] == (KeyError,)
    for name, value in (("backend", "redis://"), ("pydantic", True), ("Strategy", "x")):
        with pytest.raises(ConfigError, match=f"{name}=.* cannot be: {options.TASK_REFUSED[name][:10]}"):
            app.task(name=name, **{name: value})(print)  # type: ignore[call-overload]
    app.task(name="none", backend=None, pydantic=False)(lambda: None)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="did you mean 'rate_limit'"):
        app.task(rate_limt=3)(print)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="on_failure= is a method"):
        app.task(name="hooked", on_failure=print)(lambda: None)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="retry_kwargs="):
        app.task(name="kw", retry_kwargs={"jitter": 1})(lambda: None)  # type: ignore[call-overload]


def test_class_attributes_are_celerys_options(app: Celery) -> None:
    class Base(Task[..., Any]):
        acks_late = True
        serializer = "json"
        max_retries = 7
        db = None

    task = app.task(base=Base)(lambda: None)
    assert task.max_retries == 7
    assert task.db is None  # type: ignore[attr-defined]
    assert "acks_late" not in task.options


def test_options_of_calls(world: World, app: Celery) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    own = str(uuid.uuid4())
    job = add.apply_async(
        (1,), {"y": 2}, own, countdown=1, expires=60, queue="celery", priority=5, retry=True, serializer="json",
        add_to_parent=True, ignore_result=False, headers={"a": 1}, compression=None,
    )  # fmt: skip
    assert job.id == own
    world.advance(2)
    assert job.get() == 3
    by_name = app.send_task(add.name, [1, 2], retry=False, serializer="json")
    elsewhere = app.send_task("elsewhere.f", [1], countdown=5, retry=True)
    assert (by_name.state, elsewhere.state) == ("PENDING", "PENDING")
    for name in options.CALL_REFUSED:
        with pytest.raises(TypeError, match=f"{name}=.* cannot be: "):
            add.apply_async((1, 2), **{name: "x"})
    with pytest.raises(TypeError, match="did you mean 'countdown'"):
        add.apply_async((1, 2), countdwn=1)
    with pytest.raises(TypeError, match="did you mean 'countdown'"):
        app.send_task("elsewhere.f", countdwn=1)
    with pytest.raises(ConfigError, match="serializer='yaml'"):
        add.apply_async((1, 2), serializer="yaml")


def test_pickle_only_when_asked_for_by_name(world: World, app: Celery) -> None:
    app.task(name="unasked", serializer="pickle")(lambda x: x)
    with pytest.raises(ConfigError, match=r"needs app\.conf\.accept_content"):
        app.check()
    app._registry.clear()

    @app.task
    def json_one(x: Any) -> Any:
        return x

    with pytest.raises(ConfigError, match=r"needs app\.conf\.accept_content"):
        json_one.apply_async((Point(1, 2),), serializer="pickle")
    app.conf.accept_content = ["json", "pickle"]

    @app.task(serializer="pickle")
    def swap(point: Any) -> Any:
        return Point(point.y, point.x)

    job, by_call = swap.delay(Point(1, 2)), json_one.apply_async((Point(1, 2),), serializer="pickle")
    with pytest.raises(TypeError, match="missing a required argument"):
        swap.delay()
    world.advance(1)
    assert job.get() == Point(2, 1)
    [view] = app.jobs(Filter(ids=(job.id,))).jobs
    assert view.args.startswith(b'[[{"__type__":"pickle"')
    named = swap.apply_async((), {"point": Point(3, 4)})
    world.advance(1)
    assert named.get() == Point(4, 3)
    assert by_call.failed()  # it came as a pickle; its result has no JSON form, and nobody asked for another
    later = swap.delay(Point(1, 2))
    app.conf.accept_content = ["json"]
    world.advance(1)
    with pytest.raises((DecodeError, ConfigError), match="accept_content"):
        later.get()


def test_task_serializer_makes_pickle_the_rule(world: World, app: Celery) -> None:
    app.conf.update(task_serializer="pickle", accept_content=["pickle"])

    @app.task
    def same(x: Any) -> Any:
        return x

    @app.task
    def widened(points: Any, by: Any) -> Any:
        return [Point(each.x + by.x, each.y) for each in points]

    job = same.delay({1, 2})
    counted = chord([same.s(Point(1, 1)), same.s(Point(2, 2))])(widened.s(by=Point(10, 0)))
    chained = chain(same.s(Point(1, 2)), same.s()).apply_async()
    world.advance(2)
    assert job.get() == {1, 2}
    assert counted.get() == [Point(11, 1), Point(12, 2)]
    assert chained.get() == Point(1, 2)


def test_eager(app: Celery) -> None:
    @app.task(bind=True, serializer="json")
    def divide(self: Task[..., Any], x: int, y: int) -> float:
        assert self.request.is_eager
        return x / y

    app.conf.task_always_eager = True
    assert (divide.delay(4, 2).get(), divide.delay(4, 2).state) == (2.0, "SUCCESS")
    assert divide.delay(1, 0).state == "FAILURE"
    app.conf.task_eager_propagates = True
    with pytest.raises(ZeroDivisionError):
        divide.delay(1, 0)


def test_expected_failures_are_no_errors_in_the_log(
    world: World, app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    @app.task(throws=(KeyError,), max_retries=0)
    def expected() -> None:
        raise KeyError("gone")

    job = expected.delay()
    world.advance(1)
    assert job.failed()
    said = [record for record in caplog.records if job.id in record.getMessage()]
    assert [(record.levelname, record.exc_info) for record in said] == [("INFO", None)]


def test_reject(world: World, app: Celery) -> None:
    @app.task(acks_late=True)
    def reject() -> None:
        raise Reject("no", requeue=False)

    job = reject.delay()
    world.advance(1)
    assert job.state == "FAILURE"


def test_states_compare_by_how_far_they_are() -> None:
    assert states.state(states.PENDING) < states.state(states.SUCCESS)
    assert states.state("PROGRESS") > states.state(states.STARTED)
    assert states.state(states.SUCCESS) >= states.state(states.SUCCESS) <= states.state(states.SUCCESS)
    assert set(states._OF_DULY) == {"unknown", *__import__("duly.job", fromlist=["x"]).STATE_NAMES}


def test_canvas_with_celerys_options_and_results(world: World, app: Celery) -> None:
    @app.task(acks_late=True)
    def add(x: Any, y: Any) -> Any:
        return x + y

    @app.task
    def total(numbers: Any) -> Any:
        return sum(numbers)

    seen: list[Any] = []

    @app.task
    def note(value: Any) -> None:
        seen.append(value)

    chained = chain(add.s(1, 2), add.s(3).set(retry=True, serializer="json")).apply_async()
    counted = chord([add.s(i, i) for i in range(3)])(total.s())
    linked = add.apply_async((1, 1), link=note.s(), add_to_parent=True)
    many = group(add.s(i, 1) for i in range(3)).delay()
    world.advance(2)
    assert (chained.get(), chained.parent.get(), counted.get(), linked.get()) == (6, 3, 6, 2)
    assert (many.get(), many.successful(), seen) == ([1, 2, 3], True, [2])
    assert all(isinstance(each, AsyncResult) for each in (chained, chained.parent, counted, *many))
    assert chained.state == "SUCCESS"
    with pytest.raises(TypeError, match=r"connection=.* cannot be"):
        chain(add.s(1, 2).set(connection="x"), add.s(3)).apply_async()


def test_options_can_be_read_from_the_task(app: Celery) -> None:
    @app.task(default_retry_delay=30, rate_limit="10/m", acks_late=True, serializer="json")
    def told() -> None: ...

    @app.task
    def plain() -> None: ...

    assert (told.default_retry_delay, told.rate_limit, told.acks_late, told.serializer) == (30, "10/m", True, "json")
    assert (plain.default_retry_delay, plain.rate_limit, plain.expires, plain.throws) == (180, None, None, ())
    assert (plain.acks_late, plain.track_started, plain.serializer, plain.autoretry_for) == (True, True, "json", ())
    app.conf.task_annotations = {plain.name: {"rate_limit": "5/s"}}
    assert plain.rate_limit == "5/s"
    with pytest.raises(AttributeError, match="has no attribute 'rate_limits'"):
        plain.rate_limits  # noqa: B018


def test_results_as_text_and_as_tuples(world: World, app: Celery) -> None:
    @app.task
    def double(x: int) -> int:
        return 2 * x

    one, many = double.delay(1), group(double.s(1), double.s(2))()
    assert (str(one), f"{one}", repr(one)) == (one.id, one.id, f"<AsyncResult: {one.id}>")
    assert str(many) == many.id
    world.advance(1)
    assert result_from_tuple(many.as_tuple(), app).get() == [2, 4]
    assert result_from_tuple(many.as_tuple(), app) == many
