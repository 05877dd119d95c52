"""Names of workers, in the registry, in the log and in ``duly status``."""

from __future__ import annotations

import signal
import socket

from tests.waiting import eventually
from worker_kit import Shop

from duly.cli.status import standings
from duly.job import Filter, State


def test_workers_that_start_at_once_have_names_of_their_own(shop: Shop) -> None:
    workers = [shop.worker(wait=False, lease=10.0) for _ in range(4)]
    for worker in workers:
        worker.wait_ready()
    names = sorted(worker.ready.read_text() for worker in workers)
    assert names == ["worker", "worker2", "worker3", "worker4"]
    now = shop.store.now()
    assert sorted(one.name for one in shop.store.workers() if one.expires > now) == names


def test_the_log_calls_every_executor_by_its_workers_name(shop: Shop) -> None:
    shop.worker(name="worker")
    second = shop.worker(concurrency=2)
    jobs = [shop.add("nap", 0.3, queue="default") for _ in range(4)]
    for job in jobs:
        shop.wait(job)
    for failed in [shop.add("exit_softly") for _ in range(20)]:
        shop.wait(failed)
    second.send(signal.SIGTERM)
    eventually(lambda: "stopping" in second.text())
    lines = [line for line in second.text().splitlines() if line.startswith("[")]
    assert lines
    assert all(" worker2" in line for line in lines), second.text()


def test_a_worker_whose_process_is_gone_is_dead_before_its_lease_lapses(shop: Shop) -> None:
    worker = shop.worker(lease=60.0)
    job = shop.add("hold", str(shop.folder / "never"))
    shop.wait_note(job)
    running = shop.store.jobs(Filter(states=("running",))).jobs
    (one,) = standings(shop.store.workers(), running, shop.store.now())
    assert (one.alive, one.gone, one.busy) == (True, False, 1)
    worker.end(signal.SIGKILL)
    (one,) = standings(shop.store.workers(), running, shop.store.now())
    assert (one.alive, one.gone) == (False, True)
    successor = shop.worker(lease=60.0)
    assert successor.ready.read_text() == "worker"
    (shop.folder / "never").touch()
    assert shop.wait(job).state == State.SUCCEEDED
    (one,) = standings(shop.store.workers(), [], shop.store.now())
    assert one.alive
    assert one.info.host == socket.gethostname()


def test_a_batch_is_not_counted_as_busy(shop: Shop) -> None:
    shop.worker()
    for job in [shop.add("touch") for _ in range(300)]:
        shop.wait(job)
    info = next(one for one in shop.store.workers() if one.expires)
    held = shop.store.jobs(Filter(), limit=20).jobs  # as the store tells of a batch: all on one seat
    (one,) = standings([info], held, shop.store.now())
    assert (len(one.running), one.busy) == (20, 1)
