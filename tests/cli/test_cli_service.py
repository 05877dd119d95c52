"""systemd units, judged by systemd's own tool and run; the shell, reports, files of settings brought up to date, and
what is answered in Celery's words."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Duly, a_job, a_worker
from duly.job import Filter
from duly.store.contract import Store

SHOP = """
from duly import Duly
app = Duly("shop", broker_url="amqp://me:hunter2@host//", worker_concurrency=3)
@app.task
def add(x: int, y: int) -> int: return x + y
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "shop.py").write_text(SHOP)
    yield
    for name in ("shop", "conf", "wrong", "dj"):
        sys.modules.pop(name, None)


def unit(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if "=" in line]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize("kind", ["worker", "beat", "dashboard"])
def test_systemd_accepts_the_unit(duly: Duly, tmp_path: Path, kind: str) -> None:
    words = ("-Q", "a b,c%", "-c", "2") if kind == "worker" else ()
    ran = duly("-A", "shop", "systemd", kind, "--user", "root", "--group", "daemon", "-o", ".", "--", *words)
    assert ran.status == 0, ran.err
    assert "systemctl enable --now shop-" + kind in ran.err
    file = tmp_path / f"shop-{kind}.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if file.name in line]) == (0, [])
    said = unit(file)
    assert (said["User"], said["Group"], said["WorkingDirectory"]) == ("root", "daemon", str(tmp_path))
    assert said["Restart"] == "on-failure"
    if kind == "worker":
        assert '-n shop -Q "a b,c%%" -c 2' in said["ExecStart"]
        assert (said["Type"], said["KillMode"], said["TimeoutStopSec"]) == ("notify", "mixed", "15min")


def test_where_the_store_is_and_what_is_kept_out_of_the_unit(within: Duly, tmp_path: Path) -> None:
    ran = within(
        "-A", "shop", "--store", "sqlite:////var/lib/shop/deep/jobs.db", "systemd", "worker", "--name", "my shop"
    )
    assert "\nEnvironment=DULY_STORE=sqlite:////var/lib/shop/deep/jobs.db\n" in ran.out
    assert "\nStateDirectory=shop\n" in ran.out
    assert "# /etc/systemd/system/my-shop-worker.service" in ran.out
    ran = within("-A", "shop", "--store", "postgresql://u:hunter2@h/db", "systemd", "beat")
    assert "hunter2" not in ran.out + ran.err
    assert "\nEnvironmentFile=/etc/duly/shop.env\n" in ran.out
    assert "write DULY_STORE=URL into /etc/duly/shop.env" in ran.err
    for words, wanted in (
        (["worker", "--stop-timeout", "a b"], "expected 90s, 15min or infinity"),
        (["wroker"], "worker"),
        (["worker", "-o", "nonesuch"], "No such file or directory"),
    ):
        ran = within("-A", "shop", "systemd", *words)
        assert ran.status in (1, 2)
        assert wanted in ran.err
    assert "no app given" in within("systemd", "worker").err


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_what_the_unit_runs_tells_systemd_that_it_is_ready_and_lives(
    duly: Duly, tmp_path: Path, environment: dict[str, str], kind: str
) -> None:
    assert duly("-A", "shop", "systemd", kind, "-o", ".").status == 0
    said = unit(tmp_path / f"shop-{kind}.service")
    address = str(tmp_path / "notify")
    env = {**environment, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        words = shlex.split(said["ExecStart"].replace("%%", "%").replace("$$", "$"))
        with subprocess.Popen(words, env=env, cwd=said["WorkingDirectory"], stdout=subprocess.DEVNULL) as process:
            heard = {manager.recv(100).decode(), manager.recv(100).decode()}
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert heard == {"READY=1", "WATCHDOG=1"}


def test_a_prompt_with_the_app(duly: Duly, store: Store) -> None:
    ran = duly("-A", "shop", "shell", "-P", stdin="print(add.delay(4, 4).id)\nprint(len(app.jobs(Filter()).jobs))\n")
    assert ran.status == 0, ran.err
    assert f"{store.jobs(Filter()).jobs[0].id}\n" in ran.out
    assert "AsyncResult, Filter, add, app" in ran.err
    ran = duly("-A", "shop", "shell", "--without-tasks", stdin="print(add)\n")
    assert "name 'add' is not defined" in ran.err
    assert "bpython is not installed: pip install bpython" in duly("-A", "shop", "shell", "-B").err


def test_a_report_has_no_passwords(duly: Duly) -> None:
    ran = duly("-A", "shop", "report")
    assert ran.status == 0
    for fact in ("duly ", "python ", "store ", "worker_concurrency: 3", "broker_url: 'amqp://me:********@host//'"):
        assert fact in ran.out
    assert "hunter2" not in ran.out
    assert "With -A also the app" in duly("report").err


OLD = '''"""Mine."""
CELERYD_CONCURRENCY = 4  # é
BROKER_URL = "é"; CELERY_IMPORTS = ("a",)
if BROKER_URL:
    CELERY_TIMEZONE = "UTC"
class Production:
    CELERYBEAT_SCHEDULE = {}
OWN_NAME = CELERYD_CONCURRENCY + 1
worker_lease = 3
'''


def test_a_file_of_settings_is_brought_up_to_date(within: Duly, tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text(OLD)
    assert "5 names would change" in within("upgrade", "settings", "old.py", "--dry-run").err
    assert file.read_text() == OLD
    ran = within("upgrade", "settings", "old.py")
    assert "CELERYD_CONCURRENCY -> worker_concurrency" in ran.out
    assert (tmp_path / "old.py.orig").read_text() == OLD
    new = file.read_text()
    assert new == (
        OLD.replace("CELERYD_CONCURRENCY", "worker_concurrency").replace("BROKER_URL", "broker_url")
        .replace("CELERY_IMPORTS", "imports").replace("CELERY_TIMEZONE", "timezone")
        .replace("CELERYBEAT_SCHEDULE", "beat_schedule")
    )  # fmt: skip
    assert "0 names changed" in within("upgrade", "settings", "old.py", "--no-backup").err
    file.write_text("CELERYD_CONCURRENCY = 4\nCELERY_TIMEZONE = 'UTC'\nDEBUG = True\n")
    assert within("upgrade", "settings", "old.py", "--django", "--no-backup").status == 0
    assert file.read_text() == "CELERY_WORKER_CONCURRENCY = 4\nCELERY_TIMEZONE = 'UTC'\nDEBUG = True\n"
    file.write_text("x = (\n")
    ran = within("upgrade", "settings", "old.py")
    assert (ran.status, "old.py:1: " in ran.err) == (1, True)
    assert "No such file" in within("upgrade", "settings", "nonesuch.py").err


def test_config_shows_and_checks(within: Duly, tmp_path: Path) -> None:
    shown = {row["name"]: row for row in within("-A", "shop", "config", "show", "--set", "--json").json}
    assert shown["worker_concurrency"] == {"name": "worker_concurrency", "value": 3, "source": "app"}
    assert shown["broker_url"]["source"] == "app"
    (tmp_path / "conf.py").write_text("CELERYD_CONCURRENCY = 7\ntask_acks_late = True\nHELPER = 3\n")
    shown = {row["name"]: row for row in within("-A", "shop", "--config", "conf", "config", "--json").json}
    assert (shown["worker_concurrency"]["value"], shown["worker_concurrency"]["source"].startswith("conf (")) == (
        7,
        True,
    )
    checked = within("config", "check", "conf", "--json")
    assert checked.status == 0
    assert [(row["written"], row["setting"], row["kind"]) for row in checked.json] == [
        ("CELERYD_CONCURRENCY", "worker_concurrency", "set"),
        ("HELPER", "HELPER", "not a setting"),
        ("task_acks_late", "task_acks_late", "no effect"),
    ]
    (tmp_path / "wrong.py").write_text("timezone = 'Mars/Base'\ntask_time_limt = 3\n")
    checked = within("config", "check", "wrong")
    assert checked.status == 1
    assert "did you mean 'task_time_limit'" in checked.out
    assert "0 settings taken, 0 without effect here, 2 wrong." in checked.err
    (tmp_path / "dj.py").write_text("CELERY_TASK_TIME_LIMIT = 3\nDEBUG = True\n")
    [row] = within("config", "check", "dj", "--namespace", "CELERY", "--json").json
    assert (row["setting"], row["kind"]) == ("task_time_limit", "set")
    assert "ok             broker_url" in within("-A", "shop", "config", "check").out


@pytest.mark.parametrize(
    ("words", "status", "wanted"),
    [
        (["control", "enable_events"], 2, "is Celery's and not here: the store knows"),
        (["control", "pool-restart"], 2, "start it with --reload"),
        (["inspect", "memdump"], 2, "duly inspect stats"),
        (["call", "x", "--serializer", "pickle"], 2, "arguments are JSON"),
        (["result", "x", "-t", "tasks.add"], 2, "a result is found by its id alone"),
        (["status", "-t", "3"], 69, "-t is not needed: the store answers at once"),
        (["-A", "shop", "-b", "sqs://x", "gateway"], 2, "there is no door to sqs; known are amqp"),
        (["-A", "shop", "-b", "http://x", "worker"], 2, "broker 'http://x': there is no door to http; known are"),
        (["-A", "shop", "worker", "-b", "amq://u:p@x"], 2, "there is no door to amq; known are amqp, amqps, pyamqp"),
        (["-A", "shop", "-b", "redis://x:port/0", "worker"], 2, "broker 'redis://x:port/0': Port could not be cast"),
        (["--loader", "x", "tasks"], 2, "there are no loaders here"),
        (["-A", "shop", "--config", "nonesuch", "tasks"], 2, "there is no module 'nonesuch'"),
        (["purge", "-X", "default"], 2, "leaves no queue that has jobs"),
    ],
)
def test_words_of_celery(within: Duly, store: Store, words: list[str], status: int, wanted: str) -> None:
    a_job(store)
    ran = within(*words)
    assert (ran.status, wanted in ran.err) == (status, True), ran


def test_the_rest_of_the_words(within: Duly, store: Store) -> None:
    assert within("inspect", "--list").out.split()[:2] == ["active", "active_queues"]
    a_worker(store, name="w1")
    a_worker(store, name="w2")
    [seen] = within("status", "-d", "w1@*", "-j").json
    assert [worker["name"] for worker in seen["workers"]] == ["w1"]
    assert within("status", "-d", "nobody").status == 69
    a_job(store, queue="a")
    a_job(store, queue="b")
    assert "Cancelled 1 waiting job of queue b." in within("purge", "-f", "-X", "a,default").out
