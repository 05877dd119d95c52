"""Where calls go: queues, bindings, routers, and what stands above what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from duly import Appointment, Call, ConfigError, Duly, Exchange, Queue
from duly.bindings import binding, topic_fits
from duly.job import Filter


def queue_of(app: Duly, result: Any) -> str:
    return app.jobs(Filter(ids=(result.id,))).jobs[0].queue


@pytest.fixture
def shop(app: Duly) -> Duly:
    """An app with tasks of a few names."""

    @app.task(name="feed.read")
    def read(url: str = "") -> None: ...

    @app.task(name="feed.write", queue="own")
    def write(url: str = "") -> None: ...

    @app.task(name="video.cut", priority=3)
    def cut(url: str = "") -> None: ...

    return app


def goes(app: Duly, name: str, *args: Any, **options: Any) -> str:
    return queue_of(app, app.send_task(name, args, **options))


# -- topics --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "fits", "not_"),
    [
        ("crawl.#", ["crawl", "crawl.a", "crawl.a.b"], ["", "crawler", "a.crawl", "crawl2.a"]),
        ("*.crawl", ["a.crawl"], ["crawl", "a.b.crawl", "a.crawl.b"]),
        ("#", ["", "a", "a.b.c"], []),
        ("a.#.z", ["a.z", "a.b.z", "a.b.c.z"], ["a", "z", "a.b"]),
        ("#.b.#", ["b", "a.b", "b.c", "a.b.c", "b.b"], ["a", "a.c"]),
        ("a.*.#", ["a.b", "a.b.c"], ["a"]),
        ("a.b", ["a.b"], ["a", "a.b.c", "a.*"]),
        ("a..b", ["a..b"], ["a.b"]),
    ],
)
def test_topic_patterns(pattern: str, fits: list[str], not_: list[str]) -> None:
    assert [key for key in fits if not topic_fits(pattern, key)] == []
    assert [key for key in not_ if topic_fits(pattern, key)] == []


def test_a_pattern_of_many_hashes_takes_no_time() -> None:
    assert not topic_fits("#." * 200 + "z", "a." * 500 + "y")


# -- task_routes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "routes",
    [
        {"feed.*": {"queue": "feeds"}},
        {"feed.*": "feeds"},
        {"feed.*": Queue("feeds")},
        [("feed.*", {"queue": "feeds"})],
        ([("feed.*", {"queue": "feeds"}), (re.compile(r"(video|image)\..*"), {"queue": "media"})],),
        [{"nothing": "x"}, {"feed.read": "feeds"}],
        {"feed.read": "feeds", "feed.*": "later"},
        {"feed.*": "later", "feed.read": "feeds"},
        {"feed.rea?": "feeds"},
        [(re.compile("feed"), "feeds"), ("feed.*", "later")],
        ("feed.*", "feeds"),
        lambda name, args, kwargs, options, task=None, **kw: {"queue": "feeds"} if name == "feed.read" else None,
        [lambda name, args, kwargs, options, task=None, **kw: None, {"feed.*": "feeds"}],
    ],
)
def test_forms_of_routes(shop: Duly, routes: Any) -> None:
    shop.conf.task_routes = routes
    assert goes(shop, "feed.read") == "feeds"
    assert queue_of(shop, shop.find("feed.read").delay()) == "feeds"
    assert goes(shop, "video.other") in ("default", "media")


def test_call_then_task_then_route_then_default(shop: Duly) -> None:
    shop.conf.task_routes = {"*": {"queue": "routed", "priority": 7}}
    assert goes(shop, "feed.read") == "routed"
    assert goes(shop, "feed.write") == "own"
    assert goes(shop, "feed.read", queue="called") == "called"
    assert goes(shop, "feed.write", queue=Queue("called")) == "called"
    assert goes(shop, "unknown.task") == "routed"
    read, cut = shop.find("feed.read"), shop.find("video.cut")
    assert (read.queue, read.priority, cut.queue, cut.priority) == ("routed", 7, "routed", 3)
    assert shop.jobs(Filter(ids=(read.apply_async(priority=1).id,))).jobs[0].priority == 1
    shop.conf.task_annotations = {"feed.read": {"queue": "annotated"}}
    assert goes(shop, "feed.read") == "annotated"
    shop.conf.task_routes, shop.conf.task_annotations = None, {}
    assert goes(shop, "feed.read") == "default"


def test_what_else_a_route_says(shop: Duly) -> None:
    shop.conf.task_routes = {"feed.read": {"queue": "feeds", "expires": 60, "headers": {"a": 1}}}
    view = shop.jobs(Filter(ids=(shop.find("feed.read").delay().id,))).jobs[0]
    assert view.expires is not None
    assert (view.queue, view.headers) == ("feeds", b'{"a":1}')
    [many] = shop.find("feed.read").enqueue_many([("x",)], expires=None)
    assert shop.jobs(Filter(ids=(many.id,))).jobs[0].headers == b'{"a":1}'


class ByUrl:
    """A router of calls."""

    def route_for_task(self, name: str, args: Any = None, kwargs: Any = None) -> Mapping[str, Any] | None:
        if name.startswith("feed.") and args and "slow" in args[0]:
            return {"queue": "slow"}
        return None


@pytest.mark.parametrize("router", [ByUrl, ByUrl(), f"{__name__}.ByUrl", f"{__name__}:ByUrl"])
def test_a_router_sees_the_arguments_of_each_call(shop: Duly, router: Any) -> None:
    shop.conf.task_routes = [router, {"feed.*": "feeds"}]
    read = shop.find("feed.read")
    assert queue_of(shop, read.delay("slow.example")) == "slow"
    assert queue_of(shop, read.delay("quick.example")) == "feeds"
    assert goes(shop, "feed.other", "slow") == "slow"
    many = read.enqueue_many([("slow",), ("quick",), Call(("slow",), queue="mine")])
    assert [queue_of(shop, each) for each in many] == ["slow", "feeds", "mine"]
    report = shop.sync("x", {"k": Appointment(shop.find("feed.read"), ("slow",), eta=shop_eta())})
    assert [job.queue for job in shop.jobs(Filter(queues=("slow",), states=("scheduled",))).jobs] == ["slow"]
    assert report


def shop_eta() -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) + timedelta(hours=1)


def test_a_schedule_is_routed_too(shop: Duly) -> None:
    shop.conf.task_routes = {"feed.*": "feeds"}
    shop.conf.beat_schedule = {"hourly": {"task": "feed.read", "schedule": 3600.0}}
    assert [schedule.queue for schedule in shop.declared_schedules()] == ["feeds"]


@pytest.mark.parametrize(
    ("routes", "wanted"),
    [
        ({"a": {"quue": "x"}}, "did you mean 'queue'"),
        ({"a": 3}, "3 is no route"),
        ({3: "x"}, "3 is no pattern"),
        (["nonesuch.Router"], "'nonesuch.Router' names no router"),
        ([3], "3 is no router"),
        ([[("a", "b"), 4]], "no list of pairs"),
        (7, "7 is no router"),
    ],
)
def test_routes_that_are_none(routes: Any, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        Duly("x", task_routes=routes)


def test_a_router_that_talks_nonsense(shop: Duly) -> None:
    def odd(name: str, *_: Any, **__: Any) -> Any:
        return {"quue": "x"}

    shop.conf.task_routes = odd
    with pytest.raises(ValueError, match=r"task_routes: .*odd gave \{'quue': 'x'\}: .*did you mean 'queue'"):
        shop.find("feed.read").delay()


# -- exchanges and keys --------------------------------------------------------------------------


@pytest.fixture
def topical(shop: Duly) -> Duly:
    """As Celery's guide has it."""
    shop.conf.update(
        task_default_queue="default",
        task_queues=(
            Queue("default", routing_key="task.#"),
            Queue("feed_tasks", routing_key="feed.#"),
            Queue("crawl_tasks", routing_key="crawl.#", durable=True, queue_arguments={"x-max-priority": 10}),
            Queue("photos", Exchange("media"), routing_key="media.photo"),
            Queue("films", "media", bindings=[binding(Exchange("media"), "media.film"), binding("media", "gif")]),
        ),
        task_default_exchange="tasks",
        task_default_exchange_type="topic",
        task_default_routing_key="task.default",
    )
    return shop


def test_routing_keys_lead_to_queues(topical: Duly) -> None:
    for key, queue in {"feed.import": "feed_tasks", "crawl": "crawl_tasks", "task.x.y": "default"}.items():
        assert goes(topical, "any.task", routing_key=key) == queue
    assert goes(topical, "any.task", exchange="media", routing_key="gif") == "films"
    assert goes(topical, "any.task", exchange=Exchange("media"), routing_key="media.photo") == "photos"
    assert goes(topical, "any.task", exchange="tasks") == "default"
    assert goes(topical, "any.task", exchange="", routing_key="named") == "named"
    assert goes(topical, "any.task") == "default"
    topical.conf.task_routes = {"feed.*": {"queue": "feed_tasks", "routing_key": "feed.import"},
                                "video.*": {"exchange": "media", "routing_key": "media.film"}}  # fmt: skip
    assert goes(topical, "feed.read") == "feed_tasks"
    assert goes(topical, "video.cut") == "films"
    assert goes(topical, "video.cut", routing_key="crawl.x") == "crawl_tasks"


def test_a_task_may_have_a_key(topical: Duly) -> None:
    @topical.task(name="k", routing_key="crawl.page")
    def keyed() -> None: ...

    assert (keyed.queue, queue_of(topical, keyed.delay())) == ("crawl_tasks", "crawl_tasks")
    assert queue_of(topical, keyed.apply_async(queue="x")) == "x"
    keyed.check()

    @topical.task(name="l", routing_key="lost")
    def lost() -> None: ...

    with pytest.raises(ConfigError, match="task l: routing_key='lost' fits no queue"):
        lost.check()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"routing_key": "lost"}, "fits no queue bound to exchange 'tasks'.*feed_tasks by 'feed.#'"),
        ({"exchange": "medai", "routing_key": "x"}, "no queue is bound to exchange 'medai'; did you mean 'media'"),
        ({"queue": ""}, "queue='' is empty"),
    ],
)
def test_keys_that_lead_nowhere(topical: Duly, options: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        topical.send_task("any.task", **options)
    with pytest.raises(TypeError, match="routing_key=3: expected a text"):
        topical.send_task("any.task", routing_key=3)  # type: ignore[arg-type]


def test_a_job_is_stored_once_so_a_key_that_fits_two_queues_is_refused(app: Duly) -> None:
    app.conf.task_queues = [
        Queue("a", Exchange("x", "topic"), routing_key="k.#"), Queue("b", Exchange("x", "topic"), routing_key="#.z"),
        Queue("c", Exchange("f", type="fanout")), Queue("d", Exchange("f", type="fanout")),
    ]  # fmt: skip
    assert goes(app, "t", exchange="x", routing_key="k.y") == "a"
    for exchange, key, both in (("x", "k.z", "a, b"), ("f", "any", "c, d")):
        with pytest.raises(ValueError, match=f"fits 2 queues, {both}, and a job goes to one"):
            app.send_task("t", exchange=exchange, routing_key=key)
    assert app.jobs(Filter(queues=("b", "c", "d"))).jobs == []


def test_direct_queues_without_keys_go_by_their_names(app: Duly) -> None:
    app.conf.task_queues = ["a", Queue("b"), Queue("c", "x")]
    assert [goes(app, "t", routing_key=key) for key in ("a", "b")] == ["a", "b"]
    assert goes(app, "t", exchange="x", routing_key="c") == "c"
    app.conf.task_queues = {"m": {"exchange": "y", "exchange_type": "topic", "binding_key": "m.#"}, "n": None}
    assert (goes(app, "t", exchange="y", routing_key="m.1"), goes(app, "t", routing_key="n")) == ("m", "n")


def test_only_declared_queues(shop: Duly) -> None:
    shop.conf.update(task_queues=[Queue("feeds"), "own"], task_create_missing_queues=False)
    assert goes(shop, "feed.read", queue="feeds") == "feeds"
    assert goes(shop, "feed.read") == "default"
    with pytest.raises(ValueError, match=r"queue 'feds' is not in task_queues.*did you mean 'feeds'"):
        shop.send_task("feed.read", queue="feds")
    shop.check()
    shop.conf.task_routes = {"video.*": "films"}
    with pytest.raises(ConfigError, match="queue 'films' is not in task_queues"):
        shop.check()


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: Queue(""), "needs a name"),
        (lambda: Queue("a", routing_kee="x"), "no option 'routing_kee'; did you mean 'routing_key'"),
        (lambda: Queue("a", routing_key=3), "expected a text"),  # type: ignore[arg-type]
        (lambda: Exchange("a", "headers"), "expected one of direct, topic, fanout"),
        (lambda: Exchange(3), "expected a name"),  # type: ignore[arg-type]
        (lambda: Duly("x", task_queues=[Queue("a"), Queue("a")]), "queue 'a' is there twice"),
        (lambda: Duly("x", task_queues="a"), "expected a list"),
        (lambda: Duly("x", task_default_exchange_type="topik"), "expected one of direct"),
    ],
)
def test_queues_that_are_none(make: Any, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        make()


def test_queues_are_values() -> None:
    assert Queue("a", Exchange("x", "topic"), routing_key="k") == Queue("a", Exchange("x", "topic"), routing_key="k")
    assert Queue("a") != Queue("a", routing_key="k")
    assert len({Queue("a"), Queue("a"), Queue("b")}) == 2
    assert repr(Queue("a", Exchange("x", "topic"), routing_key="k")) == (
        "Queue('a', Exchange('x', 'topic'), routing_key='k')"
    )


def test_what_a_worker_serves(topical: Duly) -> None:
    assert topical.routing.served == ("default", "feed_tasks", "crawl_tasks", "photos", "films")
    assert Duly("x", task_queues=["a"]).routing.served == ("a", "default")
    assert Duly("x").routing.served == ("default",)


def test_routes_that_look_at_names_cost_a_call_nothing(shop: Duly, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.conf.task_routes = {"feed.*": "feeds"}
    read = shop.find("feed.read")
    read.delay()
    monkeypatch.setattr("duly.routing.Routing.route", lambda *_: pytest.fail("asked again"))
    monkeypatch.setattr("duly.routing.Routing.destination", lambda *_: pytest.fail("looked up again"))
    assert queue_of(shop, read.delay()) == "feeds"


def test_a_configuration_written_for_celery(tmp_path: Path) -> None:
    """Queues of kombu's names, a list of routers, names of old: as its guide to routing has them."""
    from duly.celery import Celery
    from duly.celery.kombu import Exchange as KombuExchange
    from duly.celery.kombu import Queue as KombuQueue

    app = Celery("proj", broker="redis://localhost", store=f"sqlite:///{tmp_path}/jobs.db")
    app.config_from_object(
        {
            "CELERY_DEFAULT_QUEUE": "default",
            "CELERY_QUEUES": (
                KombuQueue("default", routing_key="task.#"),
                KombuQueue("crawl_tasks", routing_key="crawl.#"),
                KombuQueue("notify_tasks", KombuExchange("notify", type="direct"), routing_key="now"),
            ),
            "task_default_exchange": "tasks",
            "task_default_exchange_type": "topic",
            "task_default_routing_key": "task.default",
            "CELERY_ROUTES": (
                [
                    ("proj.crawl", {"queue": "crawl_tasks", "routing_key": "crawl.page"}),
                    (re.compile(r"proj\.(notify|push)"), {"exchange": "notify", "routing_key": "now", "priority": 5}),
                ],
            ),
            "worker_prefetch_multiplier": 1,
        }
    )

    @app.task(name="proj.push")
    def push() -> None: ...

    assert [goes(app, name) for name in ("proj.crawl", "proj.push", "proj.other")] == [
        "crawl_tasks",
        "notify_tasks",
        "default",
    ]
    assert queue_of(app, push.apply_async(routing_key="crawl.x")) == "crawl_tasks"
    assert app.routing.served == ("default", "crawl_tasks", "notify_tasks")
    app.close()
