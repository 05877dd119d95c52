"""Who was asked to cancel is one attempt of a job; a later attempt is not meant."""

from __future__ import annotations

import pytest
from tests.conftest import on_every_store
from tests.waiting import eventually
from worker_kit import Shop

from duly.job import Filter, Flag, State


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_a_terminated_job_that_is_retried_runs_to_its_end(shop: Shop, pool: str) -> None:
    """The lease is long, so the supervisor's list of cancellations is old while the second attempt runs."""
    shop.worker(pool=pool, concurrency=1, lease=10.0)
    job = shop.add("nap", 1.5)
    shop.wait_note(job)
    shop.store.cancel(Filter(ids=(job,)), terminate=True)
    assert shop.wait(job).state == State.CANCELLED
    assert shop.store.retry(Filter(ids=(job,)))[0].verdict == "retried"
    view = shop.wait(job)
    assert (view.state, view.lost, view.attempt) == (State.SUCCEEDED, 0, 2)
    assert shop.notes(job) == ["began", "began", "ended"]


@on_every_store
def test_what_a_terminated_job_had_logged_stays(shop: Shop) -> None:
    """It is what one looks for when a job had to be ended."""
    shop.worker()
    job = shop.add("murmur", str(shop.folder / "never"))
    eventually(lambda: b"shop: page 1" in (shop.job(job).log or b""))
    shop.store.cancel(Filter(ids=(job,)), terminate=True)
    assert b"shop: page 1" in (shop.wait(job).log or b"")


def test_a_neighbour_of_a_terminated_job_is_told_why_its_executor_was_killed(shop: Shop) -> None:
    """Nobody can say how far an at-most-once job got; it was no lack of memory, though."""
    shop.worker(pool="thread", concurrency=2)
    job, neighbour = (shop.add("nap", 60, flags=flags) for flags in (0, Flag.AT_MOST_ONCE))
    for each in (job, neighbour):
        shop.wait_note(each)
    shop.store.cancel(Filter(ids=(job,)), terminate=True)
    assert (shop.wait(job).state, shop.wait(neighbour).state) == (State.CANCELLED, State.UNCERTAIN)
    assert shop.error(neighbour)["message"].endswith("another job in it was cancelled and had to be ended")
