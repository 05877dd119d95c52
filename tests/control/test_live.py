"""Real workers that are asked and told, through the API and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from control_kit import job, state, view
from tests.waiting import eventually

import duly.store
from duly.celery import Celery
from duly.control import Control
from duly.job import Filter, State
from duly.store.contract import Store

APP = """
import time
from pathlib import Path
from duly import Duly

app = Duly("shop", worker_lease=3)
app.conf.task_annotations = {"shop.quick": {"rate_limit": "100/s"}}

@app.task
def quick(n: int = 0) -> int:
    return n

@app.task
def nap(name: str) -> None:
    while not Path(name).exists():
        time.sleep(0.01)

@app.task(time_limit=600)
def forever() -> None:
    time.sleep(600)
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = duly.store.open(store_url)
    yield store
    store.close()


@pytest.fixture
def control(store: Store) -> Control:
    return Control(lambda: store)


@pytest.fixture
def start(shop: Path, store: Store, store_url: str) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(name: str, *words: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "duly", "-A", "shop", "--store", store_url, "worker", "-n", name, *words]
            log = stack.enter_context(open(shop / f"{name}.log", "wb"))
            process = subprocess.Popen(command, cwd=shop, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            eventually(lambda: [worker for worker in store.workers() if worker.name == name])
            return process

        yield start


def run(shop: Path, store_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "duly", "--store", store_url, *words]
    return subprocess.run(command, cwd=shop, env=environment, capture_output=True, text=True, timeout=60)


def test_a_worker_is_asked_and_told(shop: Path, store: Store, store_url: str, control: Control, start: Start) -> None:
    process = start("w1", "-c", "1")
    [node] = [f"{worker.name}@{worker.host}" for worker in store.workers()]
    assert control.ping(timeout=20) == {node: {"ok": "pong"}}
    stats = control.inspect(timeout=20).stats()[node]
    assert stats["pid"] == process.pid
    assert stats["pool"]["max-concurrency"] == 1
    conf = control.inspect(timeout=20).conf()[node]
    assert (conf["worker_lease"], conf["task_default_queue"]) == (3.0, "default")
    assert "task_default_queue: 'default'" in control.inspect(timeout=20).report()[node]["ok"]
    shown = ["shop.forever", "shop.nap", "shop.quick [rate_limit=100/s]"]
    assert control.inspect().registered() == {node: shown}
    found = control.inspect(timeout=60).registered("rate_limit", "time_limit", "max_retries")[node]
    assert found[0] == "shop.forever [time_limit=600 max_retries=3]"
    assert found[2] == "shop.quick [rate_limit=100/s max_retries=3]"
    [limit] = store.limits()
    assert (limit.name, limit.rate, limit.declared) == ("shop.quick", 100, True)
    with Celery("shop", store=store_url) as app:
        celerys = app.control
        conf = celerys.inspect(timeout=60).conf()[node]
        assert (conf["worker_lease"], set(conf) - {"store", "worker_lease", "task_annotations"}) == (3.0, set())
        assert celerys.inspect(node, timeout=60).conf(with_defaults=True)["task_default_queue"] == "default"
        assert celerys.add_consumer("more", reply=True, timeout=20) == [{node: {"ok": "serves default, more"}}]
        assert [queue["name"] for queue in control.inspect().active_queues()[node]] == ["default", "more"]
        assert celerys.cancel_consumer("more", destination=[node], timeout=20) is None
        assert [queue["name"] for queue in control.inspect().active_queues()[node]] == ["default"]
    assert control.ask("dance", {}, None, 20)[node]["error"].endswith("knows no 'dance'")


def test_queues_are_added_and_cancelled(store: Store, control: Control, start: Start) -> None:
    start("w1", "-c", "1")
    other = job(task="shop.quick", queue="crawl", due=store.now())
    store.enqueue([other])
    [said] = control.add_consumer("crawl", timeout=20).values()
    assert said == {"ok": "serves default, crawl"}
    eventually(lambda: state(store, other.id) == State.SUCCEEDED)
    assert [worker.queues for worker in store.workers()] == [("default", "crawl")]
    [said] = control.cancel_consumer("default", timeout=20).values()
    assert said == {"ok": "serves crawl"}
    [said] = control.cancel_consumer("crawl", timeout=20).values()
    assert "the only queue" in said["error"]
    first = job(task="shop.quick", due=store.now())
    second = job(task="shop.quick", queue="crawl", due=store.now())
    store.enqueue([first, second])
    eventually(lambda: state(store, second.id) == State.SUCCEEDED)
    assert state(store, first.id) == State.WAITING


def test_the_pool_grows_and_shrinks_and_what_runs_is_finished(
    shop: Path, store: Store, control: Control, start: Start
) -> None:
    start("w1", "-c", "1")
    [said] = control.pool_grow(1, timeout=20).values()
    assert said == {"ok": "2 executors"}
    naps = [job(task="shop.nap", args=json.dumps([[str(shop / "wake")], {}]).encode(), due=store.now())
            for _ in range(2)]  # fmt: skip
    store.enqueue(naps)
    eventually(lambda: {state(store, one.id) for one in naps} == {State.RUNNING})
    assert len(control.inspect().active()[next(iter(control.inspect().active()))]) == 2
    [said] = control.pool_shrink(1, timeout=20).values()
    assert said == {"ok": "1 executor"}
    [said] = control.pool_shrink(1, timeout=20).values()
    assert "leaves none" in said["error"]
    (shop / "wake").touch()
    eventually(lambda: {state(store, one.id) for one in naps} == {State.SUCCEEDED})
    eventually(lambda: len(next(iter(control.inspect(timeout=20).stats().values()))["pool"]["processes"]) == 1)
    assert store.workers()[0].slots == 1


def test_a_time_limit_holds_from_the_next_job_on_and_for_later_workers(
    store: Store, control: Control, start: Start
) -> None:
    first = start("w1", "-c", "1")
    control.time_limit("shop.forever", hard=0.3)
    control.ping(timeout=20)
    one = job(task="shop.forever", due=store.now())
    store.enqueue([one])
    eventually(lambda: state(store, one.id) == State.FAILED)
    assert b"TimeLimitExceeded" in (view(store, one.id).error or b"")
    control.shutdown(timeout=20)
    assert first.wait(20) == 0
    start("w2", "-c", "1")
    two = job(task="shop.forever", due=store.now())
    store.enqueue([two])
    eventually(lambda: state(store, two.id) == State.FAILED)


def test_shutdown_reaches_only_those_named(store: Store, control: Control, start: Start) -> None:
    first, second = start("w1", "-c", "1"), start("w2", "-c", "1")
    answers = control.shutdown("w1", timeout=20)
    assert [node.partition("@")[0] for node in answers] == ["w1"]
    assert first.wait(20) == 0
    assert [node.partition("@")[0] for node in control.ping(timeout=20)] == ["w2"]
    assert second.poll() is None


def test_the_command_line_with_nobody_there(shop: Path, store: Store, store_url: str) -> None:
    id = job(task="shop.quick", due=store.now() + 3_600_000_000)
    store.enqueue([id])
    ping = run(shop, store_url, "inspect", "ping")
    assert (ping.returncode, ping.stdout) == (69, "")
    assert "no worker is alive" in ping.stderr
    assert run(shop, store_url, "control", "pool_grow", "2").returncode == 69
    scheduled = run(shop, store_url, "inspect", "scheduled", "--json")
    assert scheduled.returncode == 0
    assert json.loads(scheduled.stdout)["store"][0]["request"]["id"] == id.id
    assert "No worker is alive" in run(shop, store_url, "inspect", "active").stderr
    assert run(shop, store_url, "control", "rate_limit", "shop.quick", "10/m").stdout == "shop.quick: 10/m\n"
    assert store.limits()[0].rate == 10
    refused = run(shop, store_url, "control", "rate_limit", "shop.quick", "fast")
    assert (refused.returncode, "10/m" in refused.stderr) == (2, True)
    assert run(shop, store_url, "control", "time_limit", "shop.quick", "0", "5").stdout == (
        "shop.quick: soft no limit, hard 5 s\n"
    )
    assert run(shop, store_url, "control", "pause", "default").returncode == 0
    assert list(store.paused()) == ["default"]
    assert run(shop, store_url, "control", "resume", "defualt").returncode == 1
    assert run(shop, store_url, "control", "resume", "default").returncode == 0
    why = run(shop, store_url, "why", id.id[:-3])
    assert why.stdout.startswith("It is not due yet: in 59 min")
    revoked = run(shop, store_url, "control", "revoke", id.id)
    assert (revoked.returncode, revoked.stdout) == (0, f"{id.id}: prevented\n")
    assert run(shop, store_url, "control", "revoke", id.id).returncode == 1
    assert run(shop, store_url, "why", "nosuch").returncode == 1
    unknown = run(shop, store_url, "inspect", "activ")
    assert (unknown.returncode, "did you mean 'active'" in unknown.stderr) == (2, True)
    doctor = run(shop, store_url, "doctor", "--json")
    assert doctor.returncode in (1, 2)
    assert {json.loads(line)["severity"] for line in doctor.stdout.splitlines()} >= {"ok", "warning"}


def test_the_command_line_with_a_worker(shop: Path, store: Store, store_url: str, start: Start) -> None:
    start("w1", "-c", "1")
    ping = run(shop, store_url, "inspect", "ping", "-t", "20", "-d", "w1", "--json")
    assert ping.returncode == 0
    assert list(json.loads(ping.stdout).values()) == [{"ok": "pong"}]
    other = run(shop, store_url, "inspect", "ping", "-d", "w11")
    assert (other.returncode, "did you mean 'w1'" in other.stderr) == (69, True)
    shrunk = run(shop, store_url, "control", "pool-shrink", "-t", "20")
    assert (shrunk.returncode, "leaves none" in shrunk.stdout) == (1, True)
    assert run(shop, store_url, "doctor").returncode in (0, 1, 2)
    assert store.jobs(Filter()).jobs == []
