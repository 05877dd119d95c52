"""Settings out of modules, objects, dicts, the environment and the command line; Celery's names, old and new."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from duly import ConfigError, Duly
from duly.celery_settings import CELERY_NAMES, modern, reason
from duly.config import NAMES, Settings
from duly.loading import load_app
from duly.overrides import Overrides


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


OLD_AND_NEW = {
    "BROKER_URL": "broker_url", "CELERY_RESULT_BACKEND": "result_backend", "CELERY_TIMEZONE": "timezone",
    "CELERY_ENABLE_UTC": "enable_utc", "ENABLE_UTC": "enable_utc", "CELERY_IMPORTS": "imports",
    "CELERY_TASK_SERIALIZER": "task_serializer", "CELERY_ACCEPT_CONTENT": "accept_content",
    "CELERY_ALWAYS_EAGER": "task_always_eager", "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERY_IGNORE_RESULT": "task_ignore_result", "CELERY_DEFAULT_QUEUE": "task_default_queue",
    "CELERY_ANNOTATIONS": "task_annotations", "CELERY_ACKS_LATE": "task_acks_late",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires", "CELERYD_CONCURRENCY": "worker_concurrency",
    "CELERYD_PREFETCH_MULTIPLIER": "worker_prefetch_multiplier", "CELERYD_TASK_TIME_LIMIT": "task_time_limit",
    "CELERYD_TASK_SOFT_TIME_LIMIT": "task_soft_time_limit", "CELERYD_POOL": "worker_pool",
    "CELERYD_MAX_TASKS_PER_CHILD": "worker_max_tasks_per_child", "CELERYBEAT_SCHEDULE": "beat_schedule",
    "CELERYBEAT_SCHEDULER": "beat_scheduler", "CELERY_SEND_EVENTS": "worker_send_task_events",
    "CELERY_DISABLE_RATE_LIMITS": "worker_disable_rate_limits", "CELERY_TRACK_STARTED": "task_track_started",
    "CELERY_TASK_TRACK_STARTED": "task_track_started", "CELERY_WORKER_CONCURRENCY": "worker_concurrency",
    "CELERY_BEAT_SCHEDULE": "beat_schedule", "CELERY_BROKER_URL": "broker_url",
    "CELERYD_WORKER_LOST_WAIT": "worker_lost_wait", "CELERY_RESULT_DBURI": "database_url",
    "NOT_A_SETTING": "NOT_A_SETTING", "task_always_eager": "task_always_eager",
}  # fmt: skip


@pytest.mark.parametrize(("written", "setting"), OLD_AND_NEW.items())
def test_the_names_of_old(written: str, setting: str) -> None:
    assert modern(written, NAMES) == setting


def test_no_setting_of_dulys_is_said_to_have_no_effect() -> None:
    assert set(NAMES) & set(CELERY_NAMES) == set()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("broker_host", "not in a broker"), ("database_url", "kept in the store"), ("task_acks_late", "has ended"),
        ("CELERYD_PREFETCH_MULTIPLIER", "no number to choose"), ("visibility_timeout", "worker_lease"),
        ("broker_use_ssl", "not in a broker"), ("beat_scheduler", "schedules are in the store"),
    ],
)  # fmt: skip
def test_a_setting_without_meaning_here_is_kept_and_the_reason_is_told(
    name: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "duly"):
        app = Duly("x", **{name: "y"})
    assert why in caplog.text
    assert (getattr(app.conf, name), app.conf[name], modern(name, NAMES) in app.conf) == ("y", "y", True)
    assert app.conf.changed == {}
    del app.conf[name]
    assert app.conf.noted == {}
    assert app.conf.get(name, "nothing") == "nothing"
    with pytest.raises(ConfigError, match="it is Celery's and has no effect here"):
        getattr(app.conf, name)


def test_asking_for_what_may_not_be_there() -> None:
    conf = Settings()
    assert getattr(conf, "task_acks_late", None) is None
    assert not hasattr(conf, "my_own")


def test_values_of_celery() -> None:
    conf = Settings(worker_pool="prefork", CELERY_TIMEZONE="Asia/Tokyo", result_expires=0, imports="a, b")
    assert (conf.worker_pool, conf.timezone, conf.result_expires) == ("process", "Asia/Tokyo", None)
    assert conf.imports == ("a", "b")
    conf.update(timezone=None, result_expires=timedelta(hours=1), include=["x"], task_default_rate_limit="5/m")
    assert (conf.timezone, conf.result_expires, conf.include) == ("UTC", 3600, ("x",))
    for wrong in ({"include": [1]}, {"include": 3}, {"task_default_rate_limit": "5/x"}):
        with pytest.raises(ConfigError):
            conf.update(wrong)


def test_the_rate_of_all_tasks(app: Duly) -> None:
    from duly.limits import declared

    @app.task
    def plain() -> None: ...

    @app.task(rate_limit=None)
    def free() -> None: ...

    app.conf.task_default_rate_limit = "5/m"
    assert [(limit.name, limit.rate) for limit in declared(app.tasks.values())] == [(plain.name, 5)]


MODULE = """
import os
from datetime import timedelta
from pathlib import Path

broker_url = "redis://:secret@localhost:6379/0"
result_backend = "redis://localhost"
task_acks_late = True
timezone = "Europe/Oslo"
result_expires = timedelta(hours=2)
worker_concurrency = 3
here = Path("/srv")
HELPER = 3

def function():
    pass

class Production:
    task_time_limit = 30
    worker_concurrency = 8
"""


@pytest.mark.parametrize("way", ["text", "module", "cut", "file", "environment", "class", "object", "dict"])
def test_ways_in(place: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "myconfig.py").write_text(MODULE)
    app = Duly("x")
    expected: Any = ("Europe/Oslo", 7200, 3, True)
    if way == "text":
        app.config_from_object("myconfig")
    elif way == "file":
        app.config_from_object("myconfig.py")
    elif way == "module":
        import importlib

        app.config_from_object(importlib.import_module("myconfig"))
    elif way == "environment":
        monkeypatch.setenv("MY_CONFIG", "myconfig")
        assert app.config_from_envvar("MY_CONFIG")
    elif way == "dict":
        app.config_from_object({"timezone": "Europe/Oslo", "result_expires": 7200, "worker_concurrency": 3,
                                "CELERY_ACKS_LATE": True})  # fmt: skip
    else:
        app.config_from_object({"class": "myconfig:Production", "cut": "myconfig.Production"}.get(way) or
                               SimpleNamespace(task_time_limit=30, worker_concurrency=8))  # fmt: skip
        assert (app.conf.task_time_limit, app.conf.worker_concurrency) == (30, 8)
        return
    conf = app.conf
    assert (conf.timezone, conf.result_expires, conf.worker_concurrency, conf.task_acks_late) == expected


DJANGO = """
CELERY_BROKER_URL = "amqp://localhost"
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_TIME_LIMIT = 30 * 60
CELERY_RESULT_BACKEND = "django-db"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
CELERYD_CONCURRENCY = 99
TIME_ZONE = "UTC"
DEBUG = True
DATABASES = {}
"""


def test_a_namespace(place: Path) -> None:
    (place / "settings.py").write_text(DJANGO)
    app = Duly("x")
    app.config_from_object("settings", namespace="CELERY")
    conf = app.conf
    assert (conf.task_always_eager, conf.task_time_limit, conf.worker_concurrency) == (True, 1800, None)
    assert conf.noted.keys() == {"beat_scheduler"}
    assert conf.sources["task_time_limit"].startswith("settings (")


def test_flask_hands_over_all_it_has() -> None:
    conf = Settings()
    conf.update({"DEBUG": True, "SECRET_KEY": "x", "CELERY_TIMEZONE": "Asia/Tokyo", "SQLALCHEMY_DATABASE_URI": "y"})
    assert conf.changed == {"timezone": "Asia/Tokyo"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("task_alwayz_eager = True", "wrongconfig.*no setting 'task_alwayz_eager'; did you mean 'task_always_eager'"),
        ("CELERYD_CONCURENCY = 3", "did you mean 'worker_concurrency'"),
        ("worker_prefetch_multiplyer = 3", "did you mean 'worker_prefetch_multiplier'"),
        ("worker_concurrency = 'four'", r"wrongconfig \(.*: setting worker_concurrency = 'four': expected a whole"),
    ],
)
def test_what_is_wrong_in_a_module(place: Path, text: str, wanted: str) -> None:
    (place / "wrongconfig.py").write_text(text)
    with pytest.raises(ConfigError, match=wanted):
        Duly("x").config_from_object("wrongconfig")


def test_what_is_not_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "myconfig.py").write_text(MODULE)
    app = Duly("x")
    for spec, wanted in (
        ("nonesuch", "there is no module 'nonesuch'"),
        ("myconfig:Productoin", "did you mean 'Production'"),
        ("myconfig.Productoin", "did you mean 'Production'"),
    ):
        with pytest.raises(ConfigError, match=wanted):
            app.config_from_object(spec)
        assert not app.config_from_object(spec, silent=True)
    with pytest.raises(ConfigError, match="expected a module"):
        app.config_from_object(3)
    with pytest.raises(ConfigError, match="no setting 'conkurrency'"):
        app.config_from_object({"conkurrency": 3})
    monkeypatch.delenv("MY_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="export MY_CONFIG="):
        app.config_from_envvar("MY_CONFIG")
    assert not app.config_from_envvar("MY_CONFIG", silent=True)
    (place / "broken.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        app.config_from_object("broken", silent=True)


def test_the_command_line() -> None:
    app = Duly("x")
    app.config_from_cmdline(
        ["worker.concurrency=4", "celery.timezone=Asia/Tokyo", "task_default_queue=5", "result_expires=none",
         "task_always_eager=yes", "worker_queues=a=2,b", "broker.pool_limit=10"]
    )  # fmt: skip
    conf = app.conf
    assert (conf.worker_concurrency, conf.timezone, conf.task_default_queue) == (4, "Asia/Tokyo", "5")
    assert (conf.result_expires, conf.task_always_eager, conf.broker_pool_limit) == (None, True, 10)
    assert conf.worker_queues == {"a": 2, "b": 1}
    for word, wanted in (
        ("worker.concurrency", "expected NAME=VALUE"), ("worker.conc=4", "did you mean"),
        ("worker.concurrency=many", "'many': expected a whole number"), ("worker.concurrency=0", "= 0: expected"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=wanted):
            app.config_from_cmdline([word])


def test_defaults_count_least(app: Duly) -> None:
    app.conf.worker_concurrency = 3
    seen = app.conf.changed
    app.add_defaults({"worker_concurrency": 9, "task_time_limit": 30})
    app.add_defaults(lambda: {"CELERY_TIMEZONE": "Asia/Tokyo"})
    assert app.conf.changed is not seen
    assert (app.conf.worker_concurrency, app.conf.task_time_limit, app.conf.timezone) == (3, 30, "Asia/Tokyo")
    app.conf.task_time_limit = 60
    assert app.conf.task_time_limit == 60
    del app.conf["worker_concurrency"]
    assert app.conf.worker_concurrency == 9


def test_for_people_without_passwords() -> None:
    conf = Settings(
        broker_url="amqp://me:hunter2@host//", redis_password="hunter2", store="postgresql://u:hunter2@h/db",
        broker_transport_options={"sentinel_kwargs": {"password": "hunter2"}}, s3_secret_access_key="hunter2",
        broker_read_url=["amqp://a:hunter2@x"],
    )  # fmt: skip
    assert "hunter2" not in conf.humanize(with_defaults=True)
    assert "me:********@host" in conf.humanize()
    assert "hunter2" in conf.humanize(censored=False)
    assert "worker_lease" in conf.humanize(with_defaults=True)
    assert "worker_lease" not in conf.humanize()
    assert conf.table()["redis_password"] == "********"


# -- modules of tasks ----------------------------------------------------------------------------

PROJECT = {
    "proj/__init__.py": "from duly import Duly\napp = Duly('proj', include=['proj.extra'])\n"
    "app.autodiscover_tasks(lambda: ['proj.shop', 'proj.plain'])\n",
    "proj/extra.py": "from proj import app\n@app.task\ndef extra(): ...\n",
    "proj/shop/__init__.py": "",
    "proj/shop/tasks.py": "from proj import app\n@app.task\ndef buy(): ...\n",
    "proj/plain/__init__.py": "",
    "more.py": "from proj import app\n@app.task\ndef more(): ...\n",
    "special.py": "task_time_limit = 7\nworker_concurrency = 2\n",
}


def test_the_app_is_loaded_with_all_its_tasks(place: Path) -> None:
    for name, text in PROJECT.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    app = load_app(
        "proj",
        overrides=Overrides(config="special", settings=("worker.concurrency=5",), include=("more",)),
    )
    assert sorted(app.tasks) == ["more.more", "proj.extra.extra", "proj.shop.tasks.buy"]
    assert (app.conf.task_time_limit, app.conf.worker_concurrency) == (7, 5)
    assert "proj.plain.tasks" not in app.task_modules()
    with pytest.raises(ConfigError, match=r"no module 'mroe'.*did you mean 'more'"):
        load_app("proj", overrides=Overrides(include=("mroe",)))


def test_discovery_at_once_and_what_cannot_be_discovered(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "pack").mkdir()
    (place / "pack" / "__init__.py").touch()
    (place / "pack" / "jobs.py").write_text("found = True")
    app = Duly("x")
    app.autodiscover_tasks(["pack"], related_name="jobs", force=True)
    assert "pack.jobs" in sys.modules
    app.autodiscover_tasks(["pack"], related_name=None)
    assert app.task_modules() == ["pack"]
    with pytest.raises(ConfigError, match=r"\['pack'\]"):
        app.autodiscover_tasks("pack")
    with pytest.raises(ConfigError, match="there is no package 'nonesuch'"):
        app.autodiscover_tasks(["nonesuch"], force=True)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    with pytest.raises(ConfigError, match="DJANGO_SETTINGS_MODULE is not set"):
        app.autodiscover_tasks(force=True)


def test_every_reason_is_one_clause() -> None:
    for name in CELERY_NAMES:
        why = reason(name)
        assert why
        assert not why.endswith(".")
        assert "\n" not in why
