"""Who was asked to cancel is one attempt of a job; a later attempt is not meant."""

from __future__ import annotations

import pytest
from worker_kit import Shop

from duly.job import Filter, State


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
