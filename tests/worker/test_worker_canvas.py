"""Canvases on real workers: members that die, expire, are cancelled, or may run once only."""

from __future__ import annotations

import os
import signal

from tests.conftest import on_every_store
from tests.waiting import eventually
from worker_kit import Shop, kill

from duly.job import Filter, Flag, Gate, Job, State


def chord(shop: Shop, task: str, *args: str, **member: object) -> None:
    """A member "m0" of this task, a member "m1" that succeeds, the body "body" and the errback "errback"."""
    now = shop.store.now()
    data = b"[[" + b",".join(b'"%s"' % one.encode() for one in args) + b"],{}]"
    fields = {"id": "m0", "task": f"worker_tasks.{task}", "due": now, "args": data, "gates": (("g", 0),)}
    shop.store.enqueue(
        [
            Job(**fields | member),  # type: ignore[arg-type]
            Job(id="m1", task="worker_tasks.touch", due=now, gates=(("g", 1),)),
            Job(id="body", task="worker_tasks.touch", due=now, after="g"),
            Job(id="errback", task="worker_tasks.touch", due=now, after="g", flags=int(Flag.ON_FAILURE)),
        ],
        [Gate("g", 2)],
    )


def ends(shop: Shop) -> dict[str, str]:
    """How each job of the chord ended, once all have."""
    ids = ("m0", "m1", "body", "errback")
    eventually(lambda: all(found is None or found.state.final for found in shop.store.results(ids)))
    found = shop.store.results(ids)
    return {id: one.state.name for id, one in zip(ids, found, strict=True) if one is not None}


def path(shop: Shop) -> str:
    return str(shop.folder / "go")


def test_a_member_whose_worker_dies_is_run_again_and_counted_once(shop: Shop) -> None:
    worker = shop.worker()
    chord(shop, "hold", path(shop))
    shop.wait_note("m0")
    kill(eventually(worker.executors)[0])
    shop.wait_note("m0", count=2)
    assert shop.job("body").held
    with open(path(shop), "w"):
        pass
    assert ends(shop) == {"m0": "SUCCEEDED", "m1": "SUCCEEDED", "body": "SUCCEEDED"}
    assert shop.notes("body") == ["ran"]


@on_every_store
def test_a_worker_that_is_killed_whole_takes_no_canvas_with_it(shop: Shop) -> None:
    worker = shop.worker()
    chord(shop, "hold", path(shop))
    shop.wait_note("m0")
    os.kill(worker.pid, signal.SIGKILL)
    worker.process.wait()
    shop.worker()
    shop.wait_note("m0", count=2)
    with open(path(shop), "w"):
        pass
    assert ends(shop) == {"m0": "SUCCEEDED", "m1": "SUCCEEDED", "body": "SUCCEEDED"}


def test_a_member_that_may_run_once_and_is_lost_fails_the_canvas(shop: Shop) -> None:
    worker = shop.worker()
    chord(shop, "hold_once", path(shop), flags=int(Flag.AT_MOST_ONCE))
    shop.wait_note("m0")
    kill(eventually(worker.executors)[0])
    assert ends(shop) == {"m0": "UNCERTAIN", "m1": "SUCCEEDED", "body": "FAILED", "errback": "SUCCEEDED"}
    assert shop.error("body")["type"] == shop.error("m0")["type"]
    assert shop.notes("body") == []


@on_every_store
def test_a_member_that_is_cancelled_while_it_runs_fails_the_canvas(shop: Shop) -> None:
    shop.worker()
    chord(shop, "hold", path(shop))
    shop.wait_note("m0")
    shop.store.cancel(Filter(ids=("m0",)))
    assert ends(shop) == {"m0": "CANCELLED", "m1": "SUCCEEDED", "body": "FAILED", "errback": "SUCCEEDED"}


def test_a_member_that_expires_fails_the_canvas(shop: Shop) -> None:
    chord(shop, "touch", expires=shop.store.now() + 1)
    shop.worker()
    assert ends(shop) == {"m0": "CANCELLED", "m1": "SUCCEEDED", "body": "FAILED", "errback": "SUCCEEDED"}
    assert shop.job("m0").state == State.CANCELLED
