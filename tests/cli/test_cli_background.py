"""Workers without a service manager: -D, pid files, other users, log files; real processes throughout."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from test_cli_app import until_ready

from conftest import Duly, Ran, a_job
from duly.cli.pidfile import PidFile, holder
from duly.job import Filter
from duly.store.contract import Store

TASKS = """
import logging, os, threading
from duly import Duly, Queue
app = Duly("shop", task_queues=["a", "b"], task_acks_late=True)

@app.task
def where(): logging.getLogger("shop").warning("here"); return [os.getuid(), os.getgid(), os.getgroups()]

@app.task(queue="a")
def nap(seconds): threading.Event().wait(seconds)
"""
FILES = ("--pidfile", "run/%n.pid", "--logfile", "log/%n%I.log")


@pytest.fixture
def shop(duly: Duly, tmp_path: Path) -> Iterator[Duly]:
    """The command, with an app; what it left in the background is ended."""
    (tmp_path / "shop.py").write_text(TASKS)
    yield duly
    for pidfile in (tmp_path / "run").glob("*.pid"):
        if (pid := holder(str(pidfile))) is not None:
            end(pid)


def end(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.send_signal(number)
        process.wait(30)


def a_worker(shop: Duly, *words: str) -> Ran:
    return shop("-A", "shop", "worker", "-c", "1", "-D", *FILES, *words)


def test_a_worker_in_the_background(shop: Duly, store: Store, tmp_path: Path) -> None:
    ran = a_worker(shop, "-n", "w1@%h", "-l", "INFO", "--umask", "027", "-E", "--without-gossip", "-Ofair")
    assert ran.status == 0, ran.err
    pid = int((tmp_path / "run" / "w1.pid").read_text())
    assert f"Process {pid} runs in the background" in ran.err
    assert "-E is not needed: the store knows" in ran.err
    assert psutil.Process(pid).terminal() is None
    assert os.getsid(pid) == pid
    [info] = [worker for worker in store.workers() if worker.expires > store.now()]
    assert (info.name, info.pid, set(info.queues)) == ("w1", pid, {"a", "b", "default"})
    assert shop("-A", "shop", "call", "shop.where").status == 0
    assert shop("result", store.jobs(Filter()).jobs[0].id, "--timeout", "30").status == 0
    log = (tmp_path / "log" / "w1.log").read_text()
    assert "Ready." in log
    assert "settings without effect here: task_acks_late; duly config check" in log
    assert "here" in (tmp_path / "log" / "w1-1.log").read_text()
    assert stat.S_IMODE((tmp_path / "log" / "w1-1.log").stat().st_mode) == 0o640
    end(pid, signal.SIGTERM)
    assert not (tmp_path / "run" / "w1.pid").exists()


def test_the_file_is_of_one_living_process(shop: Duly, tmp_path: Path) -> None:
    assert a_worker(shop, "-n", "w1").status == 0
    pid = holder(str(tmp_path / "run" / "w1.pid"))
    second = a_worker(shop, "-n", "w1")
    assert second.status == 1
    assert f"process {pid} has it and is alive" in second.err
    assert holder(str(tmp_path / "run" / "w1.pid")) == pid
    end(pid or 0)
    assert (tmp_path / "run" / "w1.pid").exists()  # killed, it left its file, and that is seen
    assert holder(str(tmp_path / "run" / "w1.pid")) is None
    assert a_worker(shop, "-n", "w1").status == 0
    assert holder(str(tmp_path / "run" / "w1.pid")) not in (None, pid)


def test_a_pid_that_is_somebody_elses_by_now_is_known_as_stale(tmp_path: Path) -> None:
    file = tmp_path / "x.pid"
    file.write_text(f"{os.getpid()}\n")  # alive, but not the one that wrote it
    assert holder(str(file)) is None
    assert holder(str(tmp_path / "none.pid")) is None
    with PidFile(str(file)):
        code = f"from duly.cli.pidfile import holder; print(holder({str(file)!r}))"
        seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert seen.stdout.strip() == str(os.getpid())
    assert not file.exists()


def test_a_file_that_is_removed_while_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder leaves between our opening it and our locking it: the lock would be on a file without a name."""
    path, lockf = str(tmp_path / "x.pid"), fcntl.lockf
    removals = iter([os.unlink])

    def locked(*given: int) -> None:
        lockf(*given)
        for unlink in removals:
            unlink(path)

    monkeypatch.setattr(fcntl, "lockf", locked)
    with PidFile(path):
        assert (tmp_path / "x.pid").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["-A", "nonesuch"], "no module 'nonesuch'"),
        (["-A", "shop", "-X", "c"], "serves no queue 'c'"),
        (["-A", "shop", "-X", "a,b,default"], "leaves no queue to serve"),
        (["-A", "shop", "--config", "nonesuch"], "there is no module 'nonesuch'"),
        (["-A", "shop", "-I", "nonesuch"], "no module 'nonesuch'"),
        (["-A", "shop", "--autoscale", "3", "-P", "thread"], "a thread pool has a fixed size"),
    ],
)
def test_what_does_not_start_says_why_where_it_was_started(shop: Duly, words: list[str], wanted: str) -> None:
    ran = shop(*words[:2], "worker", "-D", "-n", "w1", *FILES, *words[2:])
    assert ran.status == 1
    assert wanted in ran.err
    assert "it did not start; its log: " in ran.err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["-D"], "say where the log goes: -f FILE"),
        (["--uid", "nobdy"], "no user 'nobdy'; did you mean 'nobody'"),
        (["--gid", "nogruop"], "no group 'nogruop'; did you mean 'nogroup'"),
        (["--umask", "9"], "'9' is no umask"),
        (["--logfile", "%z.log"], "%z in '%z.log' stands for nothing"),
        (["--pidfile", "%z"], "%z in '%z' stands for nothing"),
        (["-n", "%z"], "%z in '%z' stands for nothing"),
        (["--autoscale", "1,3"], "expected MAX,MIN"),
        (["--autoscale", "3", "-c", "3"], "give -c or --autoscale"),
        (["--scheduler", "x"], "--scheduler is Celery's and not here: schedules are in the store"),
        (["--executable", "python3.9"], "--executable is Celery's and not here"),
        (["-Q", "a", "b"], "setting 'b': expected NAME=VALUE"),
        (["--", "worker.leese=3"], "did you mean 'worker_lease'"),
        (["--", "worker.lease=soon"], "setting worker_lease = 'soon': expected a number of seconds"),
    ],
)
def test_what_is_wrong_with_the_words(within: Duly, words: list[str], wanted: str) -> None:
    ran = within("-A", "shop", "worker", *words)
    assert ran.status == 2
    assert wanted in ran.err


@pytest.mark.parametrize("verb", ["events", "graph", "amqp", "logtool"])
def test_verbs_of_celery_that_are_not_here(within: Duly, verb: str) -> None:
    ran = within(verb)
    assert (ran.status, "is Celery's and not here: " in ran.err) == (2, True)


def test_settings_queues_and_modules_from_the_command_line(shop: Duly, store: Store, tmp_path: Path) -> None:
    (tmp_path / "more.py").write_text("from shop import app\n@app.task\ndef extra(): ...\n")
    (tmp_path / "conf.py").write_text("worker_queues = {'c': 3, 'b': 1}\n")
    ran = a_worker(
        shop, "-n", "w1", "--config", "conf", "-I", "more", "-X", "b", "--", "worker.lease=33", "timezone=UTC"
    )
    assert ran.status == 0, ran.err
    [info] = store.workers()
    assert info.queues == ("c",)
    assert "more.extra" in info.tasks
    told = shop("inspect", "conf", "-j").json[0][f"w1@{info.host}"]
    assert (told["worker_lease"], told["worker_queues"]) == (33, {"c": 3, "b": 1})


def test_only_declared_queues_may_be_served(shop: Duly) -> None:
    ran = a_worker(shop, "-n", "w1", "-Q", "aa", "--", "task_create_missing_queues=no")
    assert ran.status == 1
    assert "queue 'aa' is not in task_queues, and task_create_missing_queues is False; did you mean 'a'?" in ran.err


def test_purge_before_the_start(shop: Duly, store: Store) -> None:
    for queue in ("a", "b", "other"):
        a_job(store, "shop.nap", queue=queue)
    assert a_worker(shop, "-n", "w1", "-Q", "a,b", "--purge").status == 0
    states = {job.queue: job.state_name(store.now()) for job in store.jobs(Filter()).jobs}
    assert states == {"a": "cancelled", "b": "cancelled", "other": "queued"}


def test_a_log_file_may_be_rotated_away(shop: Duly, store: Store, tmp_path: Path) -> None:
    assert a_worker(shop, "-n", "w1", "-Q", "default").status == 0
    log = tmp_path / "log" / "w1-1.log"

    def run_one() -> None:
        called = shop("-A", "shop", "call", "shop.where")
        assert shop("result", called.out.strip(), "--timeout", "30").status == 0

    run_one()
    log.rename(tmp_path / "log" / "old.log")
    run_one()
    assert log.read_text().count("here") == 1
    assert (tmp_path / "log" / "old.log").read_text().count("here") == 1


BECOME = """
import json, os, sys, click
from duly.cli.background import Background
from duly.cli.session import Session
place, uid, gid = sys.argv[1:]
files = {"logfile": f"{place}/log/x.log", "pidfile": f"{place}/run/x.pid"}
given = {"detach": False, "gid": gid or None, "umask": 0o022}
try:
    with Background(Session(), uid=uid, **files, **given).begin():
        owners = [os.stat(f"{place}/{path}").st_uid for path in ("log", "run", "run/x.pid")]
        told = [os.getresuid(), os.getresgid(), os.getgroups(), owners, os.environ["HOME"]]
        try:
            Background(Session(), uid="root", **files, **given)
        except click.UsageError as error:
            told.append(error.message)
        print(json.dumps(told))
except click.UsageError as error:
    print(json.dumps(error.message))
"""


@pytest.mark.parametrize(("uid", "gid"), [("nobody", ""), ("54321", "54322"), ("54321", "")])
def test_another_user(uid: str, gid: str) -> None:
    """Root gives up what it may do, user, group and groups, before it opens anything; others may not ask for it."""
    place = Path(f"/tmp/duly-test-{os.getpid()}-{uid}")  # pytest's own folders are root's alone
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    try:
        done = subprocess.run(
            [sys.executable, "-c", BECOME, str(place), uid, gid], capture_output=True, text=True, check=True
        )
        told = json.loads(done.stdout)
    finally:
        shutil.rmtree(place)
    refusal = "only root may run something as another user or group (--uid, --gid)"
    if uid != "nobody" and not gid:
        assert told == "--uid 54321: the system knows no such user, so name a group with --gid"
        return
    if os.geteuid() != 0:
        assert told == refusal
        return
    nobody = pwd.getpwnam("nobody")
    number, group = (nobody.pw_uid, nobody.pw_gid) if uid == "nobody" else (54321, 54322)
    assert told[0] == [number] * 3
    assert told[1] == [group] * 3
    assert told[2] == [group]
    assert told[3] == [number] * 3
    assert told[5] == refusal


def test_beat_in_the_background(shop: Duly, store: Store, tmp_path: Path) -> None:
    assert shop("schedule", "add", "each", "shop.where", "--every", "1h").status == 0
    ran = shop("-A", "shop", "beat", "-D", "-f", "log/beat.log", "--pidfile", "run/beat.pid", "-s", "x.db")
    assert ran.status == 0, ran.err
    assert "-s is not needed: schedules are in the store" in ran.err
    pid = int((tmp_path / "run" / "beat.pid").read_text())
    end(pid, signal.SIGTERM)
    assert not (tmp_path / "run" / "beat.pid").exists()
    assert "Ticking for 1 schedule" in (tmp_path / "log" / "beat.log").read_text()
    ran = shop("-A", "nonesuch", "beat", "-D", "-f", "log/beat.log")
    assert (ran.status, "no module 'nonesuch'" in ran.err) == (1, True)
    assert "-S is Celery's and not here" in shop("beat", "-S", "x").err


def test_as_many_executors_as_are_needed(
    shop: Duly, store: Store, environment: dict[str, str], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    words = [sys.executable, "-m", "duly", "-A", "shop", "worker", "-Q", "a", "--autoscale", "3,1", "-n", "w1"]
    for _ in range(6):
        a_job(store, "shop.nap", ([30], {}), queue="a")
    with subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert "  pool    process, 1 at once" in until_ready(process)
            eventually(lambda: len(store.jobs(Filter(states=("running",))).jobs) == 3)
            assert [worker.slots for worker in store.workers()] == [3]
            ran = shop("control", "pool_grow")
            assert (ran.status, "decides itself how many it needs (1 to 3 executors" in ran.out) == (1, True)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
