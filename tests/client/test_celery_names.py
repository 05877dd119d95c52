"""What somebody brings along from Celery is refused with the reason, and two limits that exclude each other are."""

from __future__ import annotations

import pytest

from duly import ConfigError, Duly


@pytest.mark.parametrize(("name", "why"), [("acks_late", "until it has ended"), ("serializer", "JSON")])
def test_an_option_of_celerys_tasks_is_refused_with_the_reason(app: Duly, name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as told:
        app.task(**{name: True})(print)  # type: ignore[call-overload]
    assert "did you mean" not in str(told.value)


def test_an_option_of_celerys_calls_is_refused_with_the_reason(app: Duly) -> None:
    @app.task
    def add(x: int) -> int:
        return x

    with pytest.raises(TypeError, match="no option 'serializer'; it is Celery's and not needed here: arguments"):
        add.apply_async((1,), serializer="yaml")  # type: ignore[call-arg]


# -- a soft limit that can never be reached ------------------------------------------------------


@pytest.mark.parametrize("soft", [5, 1])
def test_a_soft_limit_at_or_above_the_hard_one_is_refused(app: Duly, soft: float) -> None:
    with pytest.raises(ConfigError, match=f"soft_time_limit={soft} is never reached"):
        app.task(time_limit=1, soft_time_limit=soft)(print)

    @app.task(time_limit=2, soft_time_limit=1)
    def add() -> None: ...

    with pytest.raises(ValueError, match="is never reached"):
        add.apply_async(time_limit=1, soft_time_limit=soft)
    with pytest.raises(ValueError, match="is never reached"):
        app.control.time_limit(add.name, soft=soft, hard=1)
    app.control.time_limit(add.name, soft=soft, hard=0)  # 0 is no limit


def test_nor_by_annotations_or_settings(app: Duly) -> None:
    @app.task(time_limit=1)
    def add() -> None: ...

    app.conf.task_soft_time_limit = 5
    with pytest.raises(ConfigError, match=r"task .*add: soft_time_limit=5 is never reached"):
        app.check()
    app.conf.task_soft_time_limit = None
    app.check()
    app.conf.task_annotations = {"*": {"soft_time_limit": 3}}
    with pytest.raises(ConfigError, match="is never reached"):
        app.check()
