"""Calling: options, times, keys, bulk, threads, coroutines, forks."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from duly import AsyncResult, Call, ConfigError, Duly, DuplicateKey, EncodeError, Filter, StoreError
from duly.clock import to_micros
from duly.ids import new_id
from duly.job import Flag, JobView


@pytest.fixture
def add(app: Duly) -> Any:
    @app.task(name="add")
    def add(x: int, y: int = 1) -> int:
        return x + y

    return add


def view(app: Duly, result: AsyncResult[Any]) -> JobView:
    return app.jobs(Filter(ids=(result.id,))).jobs[0]


def test_delay_stores_a_job(app: Duly, add: Any) -> None:
    before = app.now()
    job = view(app, add.delay(4, y=5))
    assert (job.task, job.args, job.queue, job.priority) == ("add", b'[[4],{"y":5}]', "default", 0)
    assert before <= job.due <= app.now()


def test_every_option_arrives(app: Duly, add: Any) -> None:
    app.conf.timezone = "Europe/Berlin"
    result = add.apply_async(
        (1,), {"y": 2}, eta=datetime(2030, 7, 1, 9), expires=datetime(2030, 7, 2, tzinfo=UTC), queue="crawl",
        priority=9, key="k", on_conflict="error", headers={"at": datetime(2026, 1, 1)}, task_id="mine",
        soft_time_limit=5, time_limit=6, max_retries=0, ignore_result=True,
    )  # fmt: skip
    job = view(app, result)
    assert job.id == "mine"
    assert job.due == to_micros(datetime(2030, 7, 1, 7, tzinfo=UTC), UTC)  # 9:00 in Berlin's summer
    assert job.expires == to_micros(datetime(2030, 7, 2), UTC)
    assert (job.queue, job.priority, job.key, job.flags) == ("crawl", 9, "k", Flag.IGNORE_RESULT)
    assert job.options == b'{"soft_time_limit":5.0,"time_limit":6.0,"max_retries":0}'
    assert job.headers is not None
    assert b"2026-01-01T00:00:00" in job.headers


def test_task_options_and_settings(app: Duly) -> None:
    app.conf.update(task_default_queue="slow", task_default_priority=2)

    @app.task(queue="mail", expires=60, at_most_once=True, ignore_result=True)
    def a() -> None: ...

    @app.task
    def b() -> None: ...

    job = view(app, a.delay())
    assert (job.queue, job.flags) == ("mail", Flag.AT_MOST_ONCE | Flag.IGNORE_RESULT)
    assert job.expires == job.due + 60_000_000
    assert (view(app, b.delay()).queue, view(app, b.delay()).priority) == ("slow", 2)
    app.conf.task_default_queue = "other"
    assert view(app, b.delay()).queue == "other"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"countdown": math.nan}, ValueError, "countdown=nan"),
        ({"countdown": -1}, ValueError, "countdown=-1"),
        ({"countdown": "5"}, TypeError, "countdown='5'"),
        ({"countdown": 1e12}, ValueError, "after the year 9999"),
        ({"countdown": 1, "eta": datetime(2030, 1, 1)}, ValueError, "contradict"),
        ({"eta": 5}, TypeError, "there is countdown"),
        ({"eta": datetime(1, 1, 1)}, ValueError, "before 1970"),
        ({"eta": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))}, ValueError, "9999"),
        ({"expires": 5, "countdown": 10}, ValueError, "not after the job is due"),
        ({"expires": datetime(2000, 1, 1)}, ValueError, "could never start"),
        ({"priority": 10}, ValueError, "0 to 9"),
        ({"priority": True}, TypeError, "priority"),
        ({"queue": ""}, ValueError, "queue=''"),
        ({"on_conflict": "skip"}, ValueError, "needs a key"),
        ({"on_conflict": "slip", "key": "k"}, ValueError, "skip, replace, error"),
        ({"headers": [1]}, TypeError, "headers"),
        ({"headers": {"a": object()}}, EncodeError, "headers['a']"),
        ({"time_limit": 0}, ValueError, "time_limit=0"),
        ({"max_retries": -1}, ValueError, "max_retries=-1"),
        ({"contdown": 1}, TypeError, "did you mean 'countdown'?"),
    ],
)
def test_wrong_options_are_refused(app: Duly, add: Any, options: Any, error: type[Exception], words: str) -> None:
    for call in (
        lambda: add.apply_async((1,), **options),
        lambda: add.enqueue_many([Call((1,), **options)]),
        lambda: app.send_task("elsewhere", (1,), **options),
    ):
        with pytest.raises(error) as caught:
            call()
        assert words in str(caught.value)
    assert app.jobs().jobs == []


def test_keys(app: Duly, add: Any) -> None:
    first = add.apply_async((1,), key="k")
    assert add.apply_async((2,), key="k") == first
    with pytest.raises(DuplicateKey):
        add.apply_async((2,), key="k", on_conflict="error")
    second = add.apply_async((2,), key="k", on_conflict="replace", countdown=60)
    assert second != first
    assert (first.state, second.state) == ("cancelled", "scheduled")


def test_send_task(app: Duly, add: Any) -> None:
    with pytest.raises(TypeError):
        app.send_task("add", ("no",))
    result = app.send_task("elsewhere.do", (datetime(2026, 1, 1),), {"a": 1}, queue="q")
    assert view(app, result).queue == "q"


def test_bulk(app: Duly, add: Any) -> None:
    results = add.enqueue_many(((i,) for i in range(2500)), queue="bulk")
    assert len({result.id for result in results}) == 2500
    mixed = add.enqueue_many([(1, 2), Call((3,), {"y": 4}, countdown=60)], priority=3)
    assert [view(app, r).args for r in mixed] == [b"[[1,2],{}]", b'[[3],{"y":4}]']
    assert [view(app, r).priority for r in mixed] == [3, 3]
    assert [r.state for r in mixed] == ["queued", "scheduled"]
    assert sum(count.ready for count in app.store.counts() if count.queue == "bulk") == 2500
    for wrong in ("ab", 5):
        with pytest.raises(TypeError, match="tuple of arguments"):
            add.enqueue_many([wrong])


class Counting:
    """The real store, with a count of its transactions and a gate before them."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.groups: list[int] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def enqueue(self, jobs: Any) -> Any:
        self.groups.append(len(jobs))
        self.entered.set()
        assert self.gate.wait(30)
        return self.store.enqueue(jobs)


def wait_until(condition: Any) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition did not come true within 30 s")


def in_threads(app: Duly, counting: Counting, calls: list[Any]) -> list[Any]:
    """Run the calls in threads while a first one is being written, so that they gather."""
    answers: list[Any] = [None] * len(calls)

    def run(i: int) -> None:
        try:
            answers[i] = calls[i]()
        except BaseException as exc:
            answers[i] = exc

    counting.gate.clear()
    counting.entered.clear()
    threads = [threading.Thread(target=run, args=(0,))]
    threads[0].start()
    assert counting.entered.wait(30)
    threads += [threading.Thread(target=run, args=(i,)) for i in range(1, len(calls))]
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(app.client._waiting) == len(calls) - 1)
    counting.gate.set()
    for thread in threads:
        thread.join(30)
    return answers


def test_threads_share_a_commit(app: Duly, add: Any) -> None:
    app._store = counting = Counting(app.store)  # type: ignore[assignment]
    answers = in_threads(app, counting, [lambda i=i: add.delay(i) for i in range(21)])
    assert counting.groups == [1, 20]
    assert [view(app, answers[i]).args for i in range(21)] == [b"[[%d],{}]" % i for i in range(21)]


def test_one_refused_job_does_not_fail_its_group(app: Duly, add: Any) -> None:
    holder = add.apply_async((0,), key="k")
    app._store = counting = Counting(app.store)  # type: ignore[assignment]
    calls = [lambda i=i: add.delay(i) for i in range(4)]
    calls.append(lambda: add.apply_async((9,), key="k", on_conflict="error"))
    answers = in_threads(app, counting, calls)
    assert isinstance(answers[4], DuplicateKey)
    assert answers[4].holder == holder.id
    assert all(isinstance(answer, AsyncResult) and answer.state == "queued" for answer in answers[:4])


def test_an_interrupted_leader_hands_over(app: Duly, add: Any) -> None:
    store = app.store

    class Interrupted(Counting):
        def enqueue(self, jobs: Any) -> Any:
            if len(self.groups) == 1:  # the first of the gathered
                self.groups.append(len(jobs))
                raise KeyboardInterrupt
            return super().enqueue(jobs)

    app._store = counting = Interrupted(store)  # type: ignore[assignment]
    answers = in_threads(app, counting, [lambda i=i: add.delay(i) for i in range(6)])
    assert sum(isinstance(answer, KeyboardInterrupt) for answer in answers) == 1
    assert sum(isinstance(answer, AsyncResult) for answer in answers) == 5
    assert counting.groups == [1, 5, 4]
    assert add.delay(7).state == "queued"  # nobody is left leading


def test_many_threads(app: Duly, add: Any) -> None:
    def run() -> None:
        for i in range(25):
            add.delay(i)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.store.counts()[0].ready == 400


async def test_coroutines_share_commits_and_get_their_own_errors(app: Duly, add: Any) -> None:
    app._store = counting = Counting(app.store)  # type: ignore[assignment]
    calls = [add.adelay(i) for i in range(100)]
    calls.append(add.aapply_async((0,), key="k"))
    calls.append(add.aapply_async((0,), key="k", on_conflict="error"))
    *answers, refused = await asyncio.gather(*calls, return_exceptions=True)
    assert len({answer.id for answer in answers}) == 101
    assert isinstance(refused, DuplicateKey)
    assert len(counting.groups) < 150
    with pytest.raises(TypeError):
        await add.adelay("no")
    assert len(await add.aenqueue_many([(1,), (2,)])) == 2


async def test_the_loop_is_not_blocked_by_a_slow_store(app: Duly, add: Any) -> None:
    app._store = counting = Counting(app.store)  # type: ignore[assignment]
    counting.gate.clear()
    waiting = asyncio.create_task(add.adelay(1))
    await asyncio.to_thread(counting.entered.wait, 30)
    assert not waiting.done()  # we run while it is being written
    counting.gate.set()
    assert (await waiting).id


def test_a_fork_shares_nothing(app: Duly, add: Any) -> None:
    add.delay(1)
    app.client._busy = True  # as if a thread of the parent were writing at the moment of the fork
    child = os.fork()
    if child == 0:
        code = 1
        try:
            add.delay(2)
            asyncio.run(add.adelay(3))
            code = 0
        finally:
            os._exit(code)
    app.client._busy = False
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    add.delay(4)
    assert sorted(job.args for job in app.jobs().jobs) == [b"[[%d],{}]" % i for i in (1, 2, 3, 4)]


def test_a_store_that_cannot_be_opened(tmp_path: Any) -> None:
    app = Duly("t", store=f"sqlite:///{tmp_path}")
    add = app.task(name="x")(lambda: None)
    with pytest.raises(StoreError):
        add.delay()


def test_closing_and_going_on(app: Duly, add: Any) -> None:
    asyncio.run(add.adelay(1))
    app.close()
    asyncio.run(add.adelay(2))
    assert len(app.jobs().jobs) == 2


def test_move_and_cancel_by_filter(app: Duly, add: Any) -> None:
    app.conf.timezone = "America/New_York"
    one, two = add.enqueue_many([(1,), (2,)], countdown=3600)
    moved = app.move(Filter(task="add"), eta=datetime(2030, 1, 1, 12), queue="later", priority=4)
    assert {answer.verdict for answer in moved} == {"moved"}
    assert view(app, one).due == to_micros(datetime(2030, 1, 1, 12), ZoneInfo("America/New_York"))
    assert (view(app, two).queue, view(app, two).priority) == ("later", 4)
    assert [answer.verdict for answer in app.cancel(one.id)] == ["prevented"]
    assert [answer.verdict for answer in app.cancel(new_id())] == ["unknown"]
    assert [answer.verdict for answer in app.retry(one.id)] == ["retried"]


def test_names(app: Duly) -> None:
    @app.task
    def f() -> None: ...

    assert f.name == f"{__name__}.f"
    assert app.tasks[f.name] is f
    app.task(f.fn)  # the same function again: a reload
    with pytest.raises(ConfigError, match="two tasks are named"):
        app.task(name=f.name)(lambda: None)
    with pytest.raises(ConfigError, match="did you mean"):
        app.find(f.name + "f")
    main: Any = lambda: None  # noqa: E731
    main.__module__, main.__name__ = "__main__", "go"
    assert app.task(main).name == "shop.go"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"priority": 12}, "priority=12"),
        ({"quue": "a"}, "did you mean 'queue'"),
        ({"autoretry_for": (1,)}, "exception"),
    ],
)
def test_wrong_task_options(app: Duly, options: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        app.task(**options)(lambda: None)
    assert words in str(caught.value)


def test_generators_are_refused(app: Duly) -> None:
    def gen() -> Any:
        yield 1

    with pytest.raises(ConfigError, match="generator"):
        app.task(gen)
