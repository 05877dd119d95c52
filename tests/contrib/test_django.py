"""duly in a Django project: settings, discovery, the management command, transactions, connections."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django_kit import PROJECT, Office
from tests.waiting import eventually

CALLS_ON_COMMIT = """
from django.db import transaction
from duly.contrib.django import app
from reminders.tasks import send, tick
seen = []
try:
    with transaction.atomic():
        send.delay_on_commit("no number")
except TypeError:
    seen.append("told at the call")
with transaction.atomic():
    kept = send.delay_on_commit(1)
    seen.append(kept.state)
seen.append(kept.state)
try:
    with transaction.atomic():
        gone = send.apply_async_on_commit((2,), countdown=60)
        raise KeyError
except KeyError:
    seen.append(gone.state)
seen.append(send.delay_on_commit(3).state)
seen.append([job.task for job in app.jobs().jobs])
print(seen)
"""


def test_a_reminder_is_sent_at_its_time_and_a_request_that_fails_leaves_none(office: Office) -> None:
    office.worker("-c", "1")
    site = office.server()
    status, made = site.post("/reminders/", text="tea", minutes=0.005)
    assert status == 201
    reminder = eventually(lambda: (found := site.get(f"/reminders/{made['reminder']}/"))["sent"] and found)
    assert reminder["sent"] >= reminder["due"]

    assert site.post("/reminders/", text="tea", minutes=5, fail=1) == (500, None)
    jobs = [json.loads(line) for line in office.run("duly", "jobs", "--json").stdout.splitlines()]
    assert [job["id"] for job in jobs if job["task"] == "reminders.tasks.send"] == [made["job"]]


def test_the_eta_test_of_the_example(office: Office) -> None:
    office.worker("-c", "1")
    said = office.run("task_eta_test", "0.2", "celery").stdout
    assert "it ran once" in said
    assert "in attempt 1" in said


def test_jobs_on_commit(office: Office) -> None:
    seen = office.run(code=CALLS_ON_COMMIT).stdout.strip()
    assert seen == (
        "['told at the call', 'unknown', 'queued', 'unknown', 'queued', "
        "['reminders.tasks.send', 'reminders.tasks.send']]"
    )


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_each_job_has_fresh_connections(office: Office, pool: str) -> None:
    office.worker("-c", "1", "-P", pool)
    asked = "[[task.delay().get(20) for _ in range(2)] for task in (look, alook)], nested.delay().get(20)"
    said = office.run(code=f"from probe.tasks import *; print({asked})").stdout.strip()
    assert said == "[[[False, True], [False, True]], [[False, True], [False, True]]] True"


def test_connections_are_kept_as_long_as_the_settings_say_but_no_open_transaction(office: Office) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(office.folder / "office.sqlite3")}
    office.env["PROBE_SETTINGS"] = json.dumps({"DATABASES": {"default": database | {"CONN_MAX_AGE": None}}})
    office.worker("-c", "1")
    asked = "look.delay().get(20), leave_open.delay().get(20, propagate=False), look.delay().get(20)"
    said = office.run(code=f"from probe.tasks import *; print({asked}, look.delay().get(20), count.delay().get(20))")
    looks = "[False, True] half done [False, True] [True, True] 0"
    assert said.stdout.strip() == looks


def test_an_app_that_the_project_makes(office: Office) -> None:
    """``DULY_APP``; and ``duly -A proj worker`` where DJANGO_SETTINGS_MODULE is set, as Celery projects have it."""
    office.env["PROBE_SETTINGS"] = json.dumps({"DULY_APP": "probe.own:app"})
    office.env["DULY_STORE"] = f"sqlite:///{office.folder}/own.db"
    first = office.worker("-c", "1")
    assert office.call("probe.own.count")["result"] == 0
    first.end()
    office.env["PYTHONPATH"] += f":{PROJECT}"
    office.start(ready="Ready.", command=["-m", "duly", "-A", "probe.own", "worker", "-c", "1"])
    assert office.call("probe.own.count")["result"] == 0


def test_a_project_as_celery_has_it(office: Office) -> None:
    """``app = ...; app.config_from_object("django.conf:settings", namespace="CELERY"); app.autodiscover_tasks()``"""
    office.env["PROBE_SETTINGS"] = json.dumps({"CELERY_TASK_DEFAULT_QUEUE": "celery", "DULY_APP": "probe.celery:app"})
    office.env["DULY_STORE"] = f"sqlite:///{office.folder}/own.db"
    office.env["PYTHONPATH"] += f":{PROJECT}"
    office.start(ready="Ready.", command=["-m", "duly", "-A", "probe", "worker", "-c", "1"])
    asked = "print([shared.delay().get(20) for _ in range(2)])"  # found only now, it has fresh connections too
    assert office.run(code=f"from probe.tasks import *; {asked}").stdout.strip() == "[[False, True], [False, True]]"
    office.started[0].end()
    settings = office.env.pop("DJANGO_SETTINGS_MODULE")  # the module of the app sets it, as a rule
    office.env["PROBE_CELERY_SETTINGS"] = settings
    office.start(ready="Ready.", command=["-m", "duly", "-A", "probe.celery", "worker", "-c", "1"])
    office.env["DJANGO_SETTINGS_MODULE"] = settings
    assert office.call("probe.tasks.shared")["result"] == [False, True]
    assert json.loads(office.run("duly", "jobs", "--json", "--limit", "1").stdout)["queue"] == "celery"


def test_a_celery_project_that_is_not_changed_at_all(office: Office) -> None:
    """Its worker and its web process say ``from celery import ...``, and get duly."""
    settings = {"CELERY_BROKER_URL": "redis://localhost/0", "PROBE_APPS": ["celery_site"]}
    office.env |= {
        "PROBE_SETTINGS": json.dumps(settings),
        "DULY_AS_CELERY": "1",
        "DULY_STORE": f"sqlite:///{office.folder}/own.db",
        "PYTHONPATH": f"{office.env['PYTHONPATH']}:{PROJECT}",
    }
    worker = ["-m", "duly", "-A", "celery_site", "worker", "-c", "1", "-Q", "celery,default"]
    office.start(ready="Ready.", command=worker)
    code = """
from django.db import transaction
from celery_site.tasks import count
with transaction.atomic():
    result = count.delay_on_commit()
    print(result.state)
print(result.get(timeout=20), result.state, count.delay().get(timeout=20))
"""
    said = office.run(code=code, launcher=["-m", "duly.celery"]).stdout
    assert said.splitlines() == ["PENDING", "[False, 0, 0] SUCCESS [False, 0, 0]"]
    assert (
        "The project makes an app itself (celery_site)" in office.run("check", launcher=["-m", "duly.celery"]).stderr
    )


def test_settings_of_celery_count_where_duly_says_nothing(office: Office) -> None:
    office.env["PROBE_SETTINGS"] = json.dumps(
        {
            "CELERY_TASK_TIME_LIMIT": 7,
            "DULY_TASK_TIME_LIMIT": 8,
            "CELERY_TASK_MAX_RETRIES": 5,
            "TIME_ZONE": "Asia/Tokyo",
        }
    )
    said = office.run(code="from duly.contrib.django import app; c = app.conf; print(c.task_time_limit, "
                      "c.task_max_retries, c.timezone)")  # fmt: skip
    assert said.stdout.strip() == "8.0 5 Asia/Tokyo"


# -- slips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"DULY_TASK_TIME_LIMTS": 3}, "did you mean 'task_time_limit'?"),
        ({"DULY_TASK_TIME_LIMIT": "soon"}, "Django setting DULY_TASK_TIME_LIMIT: setting task_time_limit = 'soon'"),
        ({"DULY_TASK_TIME_LIMIT": 1, "DULY_TASK_SOFT_TIME_LIMIT": 2}, "soft_time_limit=2 is never reached"),
    ],
)
def test_a_wrong_setting_is_found_by_check_and_by_workers(
    tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    office = Office(tmp_path, **settings)
    for words, status in ((["check"], 1), (["duly", "worker"], 1)):
        done = office.run(*words, status=status)
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_raised_by_the_first_call(tmp_path: Path) -> None:
    office = Office(tmp_path, DULY_STROE="sqlite:////tmp/x.db")
    done = office.run(code="from reminders.tasks import send; send.delay(1)", status=1)
    assert "ConfigError: Django setting DULY_STROE: no setting 'stroe'; did you mean 'store'?" in done.stderr


def test_a_wrong_app(tmp_path: Path) -> None:
    for path, said in (("probe.own:ap", '"ap" attribute'), ("probe.own:count", "is no Duly app but Task")):
        done = Office(tmp_path, DULY_APP=path).run("check", status=1)
        assert f"ImproperlyConfigured: DULY_APP = {path!r}" in done.stderr
        assert said in done.stderr


def test_djangos_own_options_and_call_command(office: Office) -> None:
    del office.env["DJANGO_SETTINGS_MODULE"]
    assert "probe.tasks.look" in office.run("duly", "tasks", "--settings=probe_settings").stdout
    assert "probe.tasks.look" not in office.run("duly", "tasks", "--settings", "office.settings").stdout
    done = office.run(
        code="from django.core.management import call_command as c; c('duly', 'tasks'); c('duly', 'nonsense')",
        status=2,
    )
    assert "duly nonsense ended with status 2" in done.stderr


def test_a_broken_settings_module_is_shown_without_dulys_frames(tmp_path: Path) -> None:
    office = Office(tmp_path)
    (tmp_path / "broken_settings.py").write_text("import nowhere_to_be_found\n")
    env = office.env | {
        "DJANGO_SETTINGS_MODULE": "broken_settings",
        "PYTHONPATH": f"{tmp_path}:{office.env['PYTHONPATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "duly", "-A", "probe.own", "tasks"],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Django cannot be set up with the settings 'broken_settings':")
    assert "duly/" not in done.stderr


def test_nothing_is_asked_of_the_project_s_database(office: Office) -> None:
    assert "No changes" in office.run("makemigrations", "--check").stdout
    assert office.run("dumpdata").stdout
