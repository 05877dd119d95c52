"""Limits in the code: task options, annotations, keys of calls; and limits set by hand above them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from duly import Call, Duly
from duly.clock import MICROS
from duly.errors import ConfigError
from duly.job import Limit
from duly.limits import declared

MINUTE = 60 * MICROS


@pytest.fixture
def app(store_url: str) -> Iterator[Duly]:
    app = Duly("lim", store=store_url)

    @app.task(name="plain")
    def plain() -> None: ...

    @app.task(name="slow", rate_limit="10/m")
    def slow() -> None: ...

    @app.task(name="order", max_concurrency=3, limit_key=lambda customer, n=0: customer)
    def order(customer: str | None, n: int = 0) -> None: ...

    yield app
    app.close()


def test_options_become_limits(app: Duly) -> None:
    assert declared(app.tasks.values()) == [
        Limit(scope="task", name="slow", rate=10, per=MINUTE, declared=True),
        Limit(scope="key", name="order", concurrency=3, declared=True),
    ]


def test_annotations_stand_above_the_code(app: Duly) -> None:
    app.conf.task_annotations = {"slow": {"rate_limit": "5/s"}, "*": {"rate_limit": "1/h", "priority": 4}}
    limits = {limit.name: (limit.rate, limit.per) for limit in declared(app.tasks.values())}
    assert limits == {"plain": (1, 60 * MINUTE), "slow": (5, MICROS), "order": (1, 60 * MINUTE)}
    assert app.find("plain").priority == 4
    del app.conf["task_annotations"]
    assert app.find("plain").priority == 0


def test_an_option_may_be_set_on_a_task_that_is_made(app: Duly) -> None:
    plain = app.tasks["plain"]
    plain.rate_limit = "5/m"
    plain.max_retries = 7
    plain.queue = "other"
    plain.default_retry_delay = 2
    assert next((limit.name, limit.rate) for limit in declared(app.tasks.values())) == ("plain", 5)
    assert (plain.max_retries, plain.queue, plain.retry_policy.default_retry_delay) == (7, "other", 2)
    assert plain.make_job((), {}, {}).queue == "other"
    plain.anything = 3
    assert plain.anything == 3
    with pytest.raises(ConfigError, match="rate_limit='5 a minute'"):
        plain.rate_limit = "5 a minute"
    with pytest.raises(ConfigError, match="name cannot be changed"):
        plain.name = "other"
    assert (plain.rate_limit, plain.name) == ("5/m", "plain")


def test_the_key_is_made_of_the_calls_arguments(app: Duly) -> None:
    order = app.find("order")
    order.delay("acme", n=2)
    order.apply_async((), {"customer": "zen"})
    order.delay(None)
    order.enqueue_many([("bulk",), Call(("call",), {"n": 3})])
    keys = [job.limit_key for job in app.jobs(order="due").jobs]
    assert keys == ["acme", "zen", None, "bulk", "call"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rate_limit": "10/x"}, '"10/m"'),
        ({"max_concurrency": 0}, "above 0"),
        ({"limit_key": "customer"}, "a function"),
        ({"rate_limits": 1}, "did you mean 'rate_limit'"),
    ],
)
def test_wrong_options_are_refused(app: Duly, options: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        app.task(name="x", **options)(lambda: None)  # type: ignore[call-overload]
    app.conf.task_annotations = {"plain": options}
    with pytest.raises(ConfigError, match=expected):
        _ = app.find("plain").priority


def test_annotations_are_checked_where_they_are_set(app: Duly) -> None:
    with pytest.raises(ConfigError, match="task_annotations"):
        app.conf.task_annotations = [{"rate_limit": 1}]  # type: ignore[assignment]
    app.conf.task_annotations = {"plain": {"name": "other"}}
    with pytest.raises(ConfigError, match="name cannot be changed"):
        _ = app.find("plain").queue


def test_a_limit_by_hand_keeps_the_other_half(app: Duly) -> None:
    store = app.store
    store.declare_limits(["t"], [Limit(scope="task", name="t", rate=10, per=MINUTE, concurrency=2, declared=True)])
    app.control.rate_limit("t", "100/h")
    assert store.limits() == [Limit(scope="task", name="t", rate=100, per=60 * MINUTE, concurrency=2)]
    app.control.rate_limit("t", 0)
    assert store.limits() == [Limit(scope="task", name="t", concurrency=2)]
    app.control.max_concurrency("t", None)
    assert store.limits() == [Limit(scope="task", name="t")]
    assert app.control.unset_limit("t")
    assert store.limits()[0].declared
    assert not app.control.unset_limit("t")
    with pytest.raises(ValueError, match="10/m"):
        app.control.rate_limit("t", "fast")
    with pytest.raises(ValueError, match="1 or more"):
        app.control.max_concurrency("t", 0)
