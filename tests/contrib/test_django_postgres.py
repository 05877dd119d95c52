"""A Django project on PostgreSQL whose jobs are in the same database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django_kit import Office
from tests.servers.postgres import PostgresServer, place
from tests.waiting import eventually


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with place() as folder, PostgresServer(folder / "postgres", settings={"fsync": "off"}) as server:
        yield server


@pytest.fixture
def office(postgres: PostgresServer, tmp_path: Path) -> Iterator[Office]:
    """The project in a database of its own, with connections that are kept."""
    name = tmp_path.name[:60].lower()
    postgres.create_database(name)
    parts = psycopg.conninfo.conninfo_to_dict(postgres.conninfo(name))
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": name, "CONN_MAX_AGE": None}
    database |= {"USER": parts["user"], "HOST": parts["host"], "PORT": str(parts["port"])}
    office = Office(tmp_path, DATABASES={"default": database}, DULY_STORE=postgres.url(name))
    office.run("migrate", "-v0")
    yield office
    office.close()


def test_connections_that_the_server_has_ended_fail_one_job_at_most(office: Office, postgres: PostgresServer) -> None:
    office.worker("-c", "1")
    code = "from probe.tasks import *; print(look.delay().get(20), look.delay().get(20))"
    assert office.run(code=code).stdout.strip() == "[False, True] [True, True]"
    name = json.loads(office.env["PROBE_SETTINGS"])["DATABASES"]["default"]["NAME"]
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    code = "from probe.tasks import *; print([count.delay().get(20, propagate=False) for _ in range(3)])"
    said = office.run(code=code).stdout.strip()
    assert said.endswith("0, 0]")  # the first may have found out


def test_a_server_that_is_not_there_is_a_warning_of_check(office: Office) -> None:
    settings = json.loads(office.env["PROBE_SETTINGS"]) | {"DULY_STORE": "postgresql://nobody@127.0.0.1:1/none"}
    office.env["PROBE_SETTINGS"] = json.dumps(settings)
    said = office.run("check").stderr
    assert "(duly.W002) Schedules were not looked over: " in said
    assert "127.0.0.1" in said


def test_a_reminder_is_sent_at_its_time(office: Office) -> None:
    office.worker("-c", "1")
    site = office.server()
    status, made = site.post("/reminders/", text="tea", minutes=0.005)
    assert status == 201
    reminder = eventually(lambda: (found := site.get(f"/reminders/{made['reminder']}/"))["sent"] and found)
    assert reminder["sent"] >= reminder["due"]


IN_THE_TRANSACTION = """
import os
from django.db import transaction
from django.utils import timezone
from reminders.models import Reminder
from reminders.tasks import send

def remind():
    reminder = Reminder.objects.create(text="tea", due=timezone.now())
    return send.using("default").delay(reminder.pk)

try:
    with transaction.atomic():
        gone = remind()
        raise KeyError
except KeyError:
    print(gone.state)
with transaction.atomic():
    kept = remind()
    print(kept.state)  # another connection looks: it is not there yet
print(kept.get(timeout=20), Reminder.objects.filter(sent=None).count(), Reminder.objects.count(), flush=True)
with transaction.atomic():
    remind()
    os._exit(9)  # between writing both and committing
"""


def test_a_job_is_stored_by_the_transaction_itself(office: Office) -> None:
    office.worker("-c", "1", "-Q", "default,mail")
    said = office.run(code=IN_THE_TRANSACTION, status=9).stdout.splitlines()
    assert said == ["unknown", "unknown", "True 0 1"]
    sent = "from reminders.models import Reminder; print(Reminder.objects.count())"
    assert office.run(code=sent).stdout.strip() == "1"
    jobs = [json.loads(line) for line in office.run("duly", "jobs", "--json").stdout.splitlines()]
    assert [job["task"] for job in jobs if job["task"].endswith("send")] == ["reminders.tasks.send"]
