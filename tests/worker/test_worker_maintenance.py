"""What workers do for the store."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from tests.conftest import on_every_store
from tests.waiting import eventually
from worker_kit import Shop

from duly import store as stores
from duly.clock import SYSTEM, SystemClock
from duly.ids import new_id
from duly.job import Job, WorkerInfo
from duly.worker import proctree
from duly.worker.maintenance import Maintenance, Terms
from duly.worker.presence import namespace

HERE = socket.gethostname()


def register(shop: Shop, *, pid: int, born: int, host: str = HERE, boot: str | None = None) -> int:
    """A worker that holds one running job."""
    info = WorkerInfo(name="w", host=host, pid=pid, born=born, boot=namespace() if boot is None else boot)
    worker = shop.store.register(info, 60_000_000)
    shop.store.enqueue([Job(id=new_id(), task="t", due=shop.store.now())])
    assert len(shop.store.exchange(worker, 0, [], 1, ["default"]).leases) == 1
    return worker


def running(shop: Shop) -> dict[int, int]:
    return {count.running: count.ready for count in shop.store.counts()}


def maintain(shop: Shop, keep: float | None = 86_400.0) -> Maintenance:
    terms = Terms(lease=10.0, max_lost=3, keep=keep, keep_failed=keep)
    maintenance = Maintenance(shop.store, terms, SYSTEM)
    maintenance.start()
    return maintenance


@on_every_store
def test_jobs_of_a_dead_process_of_this_host_are_given_back_at_once(shop: Shop) -> None:
    register(shop, pid=os.getpid(), born=proctree.birth(os.getpid()) - 1)  # its number was reused: by us
    maintenance = maintain(shop)
    eventually(lambda: running(shop) == {0: 1})
    maintenance.close()


def test_nobody_is_declared_dead_who_cannot_be_seen(shop: Shop) -> None:
    register(shop, pid=os.getpid(), born=proctree.birth(os.getpid()))  # alive
    register(shop, pid=1 << 22, born=7, host="elsewhere")
    register(shop, pid=1 << 22, born=7, boot="another boot, or another container")
    register(shop, pid=1 << 22, born=7)  # this one is dead
    maintenance = maintain(shop)
    eventually(lambda: running(shop) == {3: 1})
    maintenance.close()


def test_a_clock_set_forward_declares_nobody_dead_who_renews(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    clock = SetForward()
    shop.store = stores.open(shop.store.url, clock=clock)
    living = register(shop, pid=1, born=7, host="elsewhere")
    register(shop, pid=2, born=7, host="elsewhere")
    maintenance = Maintenance(shop.store, Terms(lease=1.0, max_lost=3, keep=None, keep_failed=None), clock)
    maintenance.start()
    clock.by = 3600 * 1_000_000
    eventually(lambda: "the clock was set forward by 3600.0 s" in caplog.text)
    assert running(shop) == {2: 0}
    shop.store.renew(living, 60_000_000)
    eventually(lambda: running(shop) == {1: 1})
    maintenance.close()
    assert shop.store.renew(living, 60_000_000).alive
    shop.store.close()


class SetForward(SystemClock):
    """The host's clocks, the wall clock set forward by some µs."""

    by = 0

    def now(self) -> int:
        return super().now() + self.by


def test_old_jobs_are_pruned(shop: Shop) -> None:
    shop.worker()
    job = shop.add("add", 1, 2)
    shop.wait(job)
    maintenance = maintain(shop, keep=0.0)
    eventually(lambda: shop.store.results([job]) == [None])
    maintenance.close()


def test_the_log_is_copied_into_the_file(shop: Shop, tmp_path: Path) -> None:
    """And nothing is wrong with it: a checkpoint that fails is a warning in the worker's log."""
    worker = shop.worker()
    now = shop.store.now()
    shop.store.enqueue([Job(id=new_id(), task="t", due=now, queue="nobody", args=b"x" * 1000) for _ in range(9000)])
    assert os.stat(tmp_path / "duly.db-wal").st_size > 4 << 20
    eventually(lambda: os.stat(tmp_path / "duly.db").st_size > 8 << 20)
    assert worker.end(signal.SIGTERM) == 0
    assert "maintenance" not in worker.text()
