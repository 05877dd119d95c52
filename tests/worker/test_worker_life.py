"""Starting, stopping, recycling and reloading."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.conftest import on_every_store
from tests.waiting import eventually
from worker_kit import Shop, alive

from duly.job import State
from duly.worker import proctree

POOLS = ("process", "thread", "async")


@on_every_store
@pytest.mark.parametrize("pool", POOLS)
def test_warm_stop_finishes_what_runs_and_releases_the_rest(shop: Shop, pool: str) -> None:
    worker = shop.worker(pool=pool, concurrency=1)
    go = str(shop.folder / "go")
    running = shop.add("busy", go)
    shop.wait_note(running)
    waiting = [shop.add("touch") for _ in range(5)]
    worker.send(signal.SIGTERM)
    eventually(lambda: "stopping" in worker.text())
    Path(go).touch()
    assert worker.process.wait(10) == 0
    assert shop.job(running).state == State.SUCCEEDED
    assert {shop.job(job).state for job in waiting} == {State.WAITING}
    assert [info for info in shop.store.workers() if info.expires] == []


@on_every_store
@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGQUIT,)])
def test_cold_stop_gives_back_what_runs(shop: Shop, signals: tuple[signal.Signals, ...]) -> None:
    worker = shop.worker()
    job = shop.add("hold", str(shop.folder / "go"))
    shop.wait_note(job)
    pid = worker.executors()[0]
    for number in signals:
        worker.send(number)
        eventually(lambda: "stopping" in worker.text() or "leaving at once" in worker.text())
    assert worker.process.wait(10) == 1
    assert not alive(pid)
    given_back = shop.job(job)
    assert given_back.state == State.WAITING
    assert given_back.lost == 0


@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_closes_stops_the_worker_unless_nohup_started_it(shop: Shop, nohup: bool) -> None:
    worker = shop.worker(nohup=nohup)
    worker.send(signal.SIGHUP)
    if nohup:
        assert shop.wait(shop.add("add", 1, 2)).result == b"3"
    else:
        assert worker.process.wait(10) == 0


def test_interrupt_of_an_idle_worker_is_quick(shop: Shop) -> None:
    worker = shop.worker(concurrency=2)
    began = time.monotonic()
    assert worker.end(signal.SIGINT) == 0
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("pool", POOLS)
def test_executors_are_replaced_after_their_number_of_jobs(shop: Shop, pool: str) -> None:
    worker = shop.worker(pool=pool, concurrency=1, max_tasks_per_child=3)
    jobs = [shop.add("where") for _ in range(9)]
    pids = [int(shop.wait(job).result or b"0") for job in jobs]
    assert sorted(pids.count(pid) for pid in set(pids)) == [3, 3, 3]
    assert worker.end() == 0


def test_an_app_that_cannot_be_imported(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "broken_app.py").write_text("import no_such_module_at_all\n")
    worker = shop.worker(app="broken_app", workdir=str(tmp_path), wait=False, concurrency=2)
    assert worker.process.wait(10) == 1
    assert worker.text().count("no_such_module_at_all") <= 3
    assert "no_such_module_at_all" in worker.text()


def test_an_app_that_is_misspelt_gets_no_traceback(shop: Shop) -> None:
    worker = shop.worker(app="worker_task", wait=False)
    assert worker.process.wait(10) == 1
    assert "worker_tasks" in worker.text()  # did you mean
    assert "Traceback" not in worker.text()


def test_a_store_that_cannot_be_opened(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "not.db").write_bytes(b"this is no database" * 100)
    worker = shop.worker(store=f"sqlite:///{tmp_path}/not.db", wait=False)
    assert worker.process.wait(10) == 1
    assert "Traceback" not in worker.text()
    assert "not.db" in worker.text()


def test_names_are_unique_on_a_host(shop: Shop) -> None:
    names = [shop.worker().ready.read_text() for _ in range(2)]
    assert names == ["worker", "worker2"]


APP = """
from duly import Duly
app = Duly("shop_app")
@app.task
def version():
    return {version}
"""


def test_reload(shop: Shop, tmp_path: Path) -> None:
    source = tmp_path / "shop_app.py"
    source.write_text(APP.format(version=1))
    worker = shop.worker(app="shop_app", workdir=str(tmp_path), reload=True)
    assert shop.wait(shop.add("version", task="shop_app.version")).result == b"1"
    source.write_text("def broken(:\n")
    eventually(lambda: "waiting for the source to change" in worker.text())
    source.write_text(APP.format(version=22))
    assert shop.wait(shop.add("version", task="shop_app.version")).result == b"22"
    assert worker.end() == 0


def test_executors_that_die_while_loading_later_are_tried_again(shop: Shop, tmp_path: Path) -> None:
    source = tmp_path / "shop_app.py"
    source.write_text(APP.format(version=1))
    worker = shop.worker(app="shop_app", workdir=str(tmp_path))
    source.write_text("import os\nos._exit(9)\n")
    os.kill(eventually(worker.executors)[0], signal.SIGKILL)
    eventually(lambda: "did not start well" in worker.text())
    source.write_text(APP.format(version=3))
    assert shop.wait(shop.add("version", task="shop_app.version")).result == b"3"


def test_stacks_on_demand(shop: Shop) -> None:
    worker = shop.worker()
    job = shop.add("busy", str(shop.folder / "go"))
    shop.wait_note(job)
    worker.send(signal.SIGUSR1)
    eventually(lambda: "in wait_for_file" in worker.text())
    (shop.folder / "go").touch()
    shop.wait(job)


def test_systemd_is_told(shop: Shop, tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(str(tmp_path / "notify"))
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        worker = shop.worker(env=env)
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"WATCHDOG=1"
        assert manager.recv(100) == b"WATCHDOG=1"
        worker.end()
        said = [manager.recv(100)]
        while said[-1] == b"WATCHDOG=1":
            said.append(manager.recv(100))
        assert said[-1] == b"STOPPING=1"


def test_birth_names_a_process() -> None:
    assert proctree.birth(os.getpid()) > 0
    assert proctree.birth(os.getpid()) == proctree.birth(os.getpid())
    assert proctree.birth(1 << 22) == 0
