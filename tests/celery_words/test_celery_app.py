"""``Celery``: the constructor, the defaults, what is there under Celery's names and what is refused."""

from __future__ import annotations

import logging
from typing import Any
from unittest.mock import patch

import pytest

import duly
from duly import ConfigError
from duly.celery import Celery, Task, app_or_default, shared_task
from duly.celery.app import default_app
from duly.celery.app.control import Inspect
from duly.celery.exceptions import NotRegistered, Retry
from duly.celery.kombu import Exchange, Queue
from duly.job import Filter, WorkerInfo
from duly.testing import World


def test_it_is_a_duly_app_with_celerys_defaults(app: Celery) -> None:
    assert isinstance(app, duly.Duly)
    assert app.main == "proj"
    assert app.conf.task_default_queue == "celery"
    app.conf.task_default_queue = "mine"
    assert app.conf.task_default_queue == "mine"
    assert app_or_default() is app
    assert app_or_default(app) is app
    assert default_app() is default_app()


def test_without_a_name_it_has_that_of_its_module() -> None:
    assert Celery(store="sqlite:///:memory:").main == __name__


def test_a_broker_is_kept_and_said_to_be_of_no_use(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = Celery("shop", broker="redis://:secret@localhost/1", backend="rpc://", include=["json"])
    app._file = str(tmp_path / "shop.py")
    (tmp_path / "shop.py").touch()
    assert app.conf.broker_url == "redis://:secret@localhost/1"
    assert app.conf.result_backend == "rpc://"
    assert app.task_modules() == ["json"]
    app.send_task("shop.f")
    app.close()
    app.send_task("shop.f")
    said = [record.getMessage() for record in caplog.records if "not in its broker" in record.getMessage()]
    assert len(said) == 1
    assert f"in sqlite:///{tmp_path}/shop.duly.db, which only processes of this host share" in said[0]
    assert "secret" not in said[0]
    app.close()


def test_with_a_store_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with Celery("shop", broker="amqp://", store="sqlite:///:memory:") as app:
        app.send_task("shop.f")
    assert "broker" not in caplog.text


@pytest.mark.parametrize("part", ["loader", "amqp", "events", "log", "control", "backend_cls"])
def test_parts_of_celery_are_refused(part: str) -> None:
    with pytest.raises(ConfigError, match=f"{part}=...\\) names a part that duly does not have"):
        Celery("x", **{part: "some.Class"})


def test_wrong_settings_are_refused_where_they_are() -> None:
    with pytest.raises(ConfigError, match="did you mean 'worker_concurrency'"):
        Celery("x", worker_concurency=3)
    with pytest.raises(ConfigError, match="strict_typing"):
        Celery("x", strict_typing=False)
    assert Celery("x", changes={"timezone": "Europe/Paris"}, task_always_eager=True).conf.timezone == "Europe/Paris"


@pytest.mark.parametrize("name", ["backend", "amqp", "pool", "connection", "steps", "events", "WorkController"])
def test_attributes_without_a_counterpart_say_what_to_use(app: Celery, name: str) -> None:
    assert not hasattr(app, name)
    with pytest.raises(AttributeError, match=f"a duly app has no {name}: ."):
        getattr(app, name)


def test_a_class_for_all_tasks(world: World) -> None:
    notes = []

    class InContext(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            notes.append(self.name)
            return self.run(*args, **kwargs)

    app = Celery("flask_like", task_cls=InContext, store="sqlite:///:memory:")

    @app.task
    def one() -> None: ...

    assert isinstance(one, InContext)
    one()
    assert notes == [one.name]
    other = Celery("flask_like", store="sqlite:///:memory:")
    other.Task = InContext
    assert isinstance(other.task(lambda: None), InContext)
    assert Celery("named", task_cls="duly.celery:Task").Task is Task
    with pytest.raises(ConfigError, match=r"expected a subclass of celery\.Task"):
        Celery("wrong", task_cls=dict)  # type: ignore[arg-type]


def test_what_happens_when_the_app_is_complete(app: Celery) -> None:
    order = []

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(sensitive=("word",))
    def hush(word: str) -> None: ...

    @app.on_after_finalize.connect
    def later(sender: Any, **_: Any) -> None:
        order.append("finalize")

    @app.on_after_configure.connect
    def setup(sender: Celery, **_: Any) -> None:
        order.append("configure")
        sender.add_periodic_task(10.0, add, args=(1, 2), name="each 10")
        sender.add_periodic_task(60, add, (3, 4), queue="slow")
        sender.add_periodic_task(60, add.s(1, 2), expires=10)  # two without names, as Celery's first steps have them
        sender.add_periodic_task(60, add.s(1, y=3))
        sender.add_periodic_task(60, hush.s("secret"))

    app.check()
    app.finalize()
    assert order == ["configure", "finalize"]
    found = {one.name: one for one in app.declared_schedules()}
    assert set(found) == {"each 10", add.name, f"{add.name}(1, 2)", f"{add.name}(1, y=3)", hush.name}
    assert found[add.name].queue == "slow"
    assert found["each 10"].args == b"[[1,2],{}]"


def test_a_receiver_that_finds_the_app_wrong(app: Celery) -> None:
    @app.on_after_configure.connect
    def setup(sender: Celery, **_: Any) -> None:
        raise ConfigError("no region set")

    with pytest.raises(ConfigError, match="no region set"):
        app.check()


def test_control_has_celerys_parameters(world: World, app: Celery) -> None:
    @app.task
    def add() -> None: ...

    job = add.apply_async(countdown=60)
    app.control.revoke(job.id, terminate=True, signal="SIGKILL")
    assert job.state == "REVOKED"
    assert app.control.rate_limit(add.name, "10/m") is None
    [limit] = app.store.limits()
    assert (limit.name, limit.rate) == (add.name, 10)
    again = add.delay()
    assert app.control.purge() == 1
    assert app.control.ping(timeout=0.01) == []
    assert app.control.broadcast("shutdown", destination=["nobody"]) is None
    with pytest.raises(ValueError, match=r"broadcast\('rate_limit'\): expected one of"):
        app.control.broadcast("rate_limit", {"task_name": add.name})
    assert app.control.inspect().revoked() == {"store": [again.id, job.id]}
    with pytest.raises(TypeError, match=r"inspect\(connection="):
        app.control.inspect(connection=object())


def test_control_of_workers_takes_reply_and_timeout(app: Celery) -> None:
    assert app.control.add_consumer("more", destination=["nobody"], reply=True, timeout=20) == []
    assert app.control.pool_shrink(1, reply=True) == []
    with pytest.raises(TypeError, match="task_queues binds queues"):
        app.control.add_consumer("more", exchange="media")
    with pytest.raises(TypeError, match=r"shutdown\(limit=3\)"):
        app.control.shutdown(limit=3)
    with pytest.raises(AttributeError, match="has no 'enable_events'; it is Celery's and not here: the store knows"):
        app.control.enable_events()
    with pytest.raises(AttributeError, match=r"inspect\(\) has no 'memdump'; .*duly inspect stats"):
        app.control.inspect().memdump()


def test_the_command_line_of_an_app(app: Celery, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="is in no module"):
        app.start(["tasks"])
    with pytest.raises(ValueError, match="expected the word worker"):
        app.worker_main(["-l", "INFO"])


def test_shared_tasks_are_of_the_current_app(app: Celery) -> None:
    @shared_task(bind=True, acks_late=True, name="shared.who")
    def who(self: Task[..., Any]) -> str:
        return self.app.name

    assert who() == "proj"
    assert isinstance(who, Task)
    assert app.tasks["shared.who"] == who
    native = duly.Duly("native", store="sqlite:///:memory:")  # in one program with a reusable app for Celery
    assert isinstance(native.tasks["shared.who"], Task)
    assert who() == "native"


def test_options_that_change_nothing_are_said_once(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    from duly.celery.app import options

    options._said.clear()
    caplog.set_level(logging.INFO)
    for name in ("a", "b"):
        app.task(name=name, acks_late=False, track_started=True)(lambda: None)
    assert caplog.text.count("acks_late=False has no effect") == 1
    assert "track_started" not in caplog.text


def test_the_task_that_an_app_does_not_have(app: Celery) -> None:
    @app.task(name="shop.fetch")
    def fetch() -> None: ...

    with pytest.raises(NotRegistered, match=r"no task 'shop.fetsh' in app proj; did you mean 'shop\.fetch'"):
        app.tasks["shop.fetsh"]
    with pytest.raises(KeyError):
        app.tasks["nothing"]
    assert app.tasks.get("nothing") is None
    assert "nothing" not in app.tasks


def test_a_retry_is_mocked_as_the_chapter_on_testing_does(app: Celery) -> None:
    @app.task(bind=True)
    def send(self: Any) -> None:
        try:
            raise OSError("away")
        except OSError as exc:
            raise self.retry(exc=exc) from None

    with patch.object(send, "retry", side_effect=Retry()) as retry, pytest.raises(Retry):
        send()
    assert isinstance(retry.call_args.kwargs["exc"], OSError)
    with pytest.raises(TypeError, match=r"expected the instant it is due; self\.retry"):
        Retry("later")  # type: ignore[arg-type]


def test_a_task_that_raises_retry_itself_is_run_again_at_once(world: World, app: Celery) -> None:
    @app.task(bind=True)
    def again(self: Any) -> int:
        if self.request.retries == 0:
            raise Retry()
        return int(self.request.retries)

    job = again.delay()
    world.advance(5)
    assert job.get() == 1


def test_results_of_several_are_made_by_the_app(world: World, app: Celery) -> None:
    @app.task
    def double(x: int) -> int:
        return 2 * x

    jobs = [double.delay(1), double.delay(2)]
    world.advance(5)
    assert app.ResultSet(jobs).join() == [2, 4]
    made = app.GroupResult("mine", jobs)
    assert made is not None
    assert (made.id, made.get()) == ("mine", [2, 4])
    assert app.GroupResult("nobody") is None
    assert str(app.timezone) == app.conf.timezone


def test_a_result_is_shown_under_its_own_name(app: Celery) -> None:
    @app.task
    def f() -> None: ...

    assert repr(f.apply()).startswith("<EagerResult: ")
    assert repr(f.delay()).startswith("<AsyncResult: ")


def test_a_map_is_called_as_a_function(app: Celery) -> None:
    @app.task
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    assert total.map([[1, 2], [3, 4]])() == [3, 7]
    assert add.starmap([(1, 2), (3, 4)])() == [3, 7]
    assert total.map([[1, 2]]).apply().get() == [3]
    assert repr(add.starmap([(1, 2)])).startswith("xstarmap(")


def test_a_router_may_name_the_type_of_its_exchange(app: Celery) -> None:
    """The router of the routing chapter."""
    app.conf.task_queues = [Queue("video", Exchange("media", type="topic"), routing_key="video.#")]

    def route_task(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **more: Any) -> Any:
        return {"exchange": "media", "exchange_type": kind, "routing_key": "video.compress"}

    app.conf.task_routes = (route_task,)

    @app.task
    def compress() -> None: ...

    kind = "topic"
    job = compress.delay()
    [stored] = app.jobs(Filter(queues=("video",))).jobs
    assert stored.id == job.id
    kind = "topik"
    with pytest.raises(ValueError, match="exchange_type is one of direct, topic, fanout"):
        compress.delay()


def test_inspect_says_none_where_nobody_answers(app: Celery) -> None:
    nobody = app.control.inspect(timeout=0.01)
    assert (nobody.ping(), nobody.active(), nobody.registered(), nobody.scheduled()) == (None, None, None, None)
    app.store.register(WorkerInfo(name="w1", host="here", pid=1, queues=("celery",), slots=1), 60_000_000)
    somebody = app.control.inspect()
    assert somebody.active() == somebody.scheduled() == somebody.revoked() == {"w1@here": []}


def test_every_node_has_an_answer(app: Celery) -> None:
    """Scripts go through the nodes of one answer and look each up in another."""
    store = app.store
    for name, queues in (("w1", ("celery",)), ("w2", ("celery", "mail"))):
        store.register(WorkerInfo(name=name, host="here", pid=1, queues=queues, tasks=("proj.add",)), 60_000_000)
    ids = {queue: app.send_task("proj.add", queue=queue, countdown=60).id for queue in ("celery", "mail", "nobodys")}
    inspect = app.control.inspect()
    at = {node: [job["request"]["id"] for job in jobs] for node, jobs in inspect.scheduled().items()}
    assert at == {"w1@here": [ids["celery"]], "w2@here": [ids["mail"]], "store": [ids["nobodys"]]}
    queried = inspect.query_task(*ids.values())
    found = {node: {id: state for id, (state, _) in jobs.items()} for node, jobs in queried.items()}
    assert found == {"w1@here": {}, "w2@here": {}, "store": dict.fromkeys(ids.values(), "scheduled")}
    assert inspect.registered_tasks() == {"w1@here": ["proj.add"], "w2@here": ["proj.add"]}
    app.control.revoke(ids["mail"])
    assert inspect.revoked() == {"w1@here": [ids["mail"]], "w2@here": [ids["mail"]]}


def test_one_node_that_is_named_whole_answers_alone(app: Celery) -> None:
    app.store.register(WorkerInfo(name="w1", host="here", pid=1, queues=("mail",), tasks=("t",)), 60_000_000)
    id = app.send_task("t", queue="mail", countdown=60).id
    app.send_task("t", queue="other", countdown=60)
    assert app.control.inspect("w1@here").registered() == ["t"]
    assert [one["request"]["id"] for one in app.control.inspect("w1@here").scheduled()] == [id]
    assert (
        app.control.inspect(["w1@here"]).registered() == app.control.inspect("w1").registered() == {"w1@here": ["t"]}
    )
    assert app.control.inspect("w2@here").registered() is None
    assert Inspect(app=app).active() == {"w1@here": []}
    with pytest.raises(TypeError, match="limit=1"):
        app.control.inspect(limit=1)
    with pytest.raises(AttributeError, match="memdump"):
        _ = app.control.inspect().memdump


def test_what_is_kept_in_the_store_is_answered_if_wanted(app: Celery) -> None:
    app.store.register(WorkerInfo(name="w1", host="here", pid=1, tasks=("t",)), 60_000_000)
    id = app.send_task("t", countdown=60).id
    assert app.control.revoke(id) is None
    said = [{"w1@here": {"ok": f"tasks {id}, other flagged as revoked"}}]
    assert app.control.revoke([id, "other"], reply=True, timeout=5) == said
    assert app.control.terminate([id, "other"], ["w1@here"], "SIGKILL", reply=True) == said
    with pytest.raises(TypeError, match="callback"):
        app.control.revoke(id, callback=print)
