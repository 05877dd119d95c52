"""The rights that docs/redis.md says a user needs are enough, and those that it may lack are missed without harm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.servers.redis import RedisServer

from duly.clock import MICROS
from duly.errors import StoreError
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Outcome, State, WorkerInfo
from duly.store.redis import RedisStore

DOCS = Path(__file__).parents[2] / "docs" / "redis.md"


def rights(prefix: str) -> list[str]:
    """Those of the page, for another app's name."""
    found = re.search(r"^ACL SETUSER jobs on >SECRET (.*)$", DOCS.read_text(), re.MULTILINE)
    assert found
    return found[1].replace("'", "").replace("{duly:shop}", f"{{duly:{prefix}}}").split()


def test_a_user_with_these_rights_runs_jobs(shared_redis: RedisServer) -> None:
    prefix = new_id()
    assert shared_redis.ask("ACL", "SETUSER", "jobs", "on", ">secret", *rights(prefix)) == "+OK"
    place = shared_redis.url().removeprefix("redis://")
    store = RedisStore(f"redis://jobs:secret@{place}?prefix={prefix}")
    try:
        worker = store.register(WorkerInfo(name="w", host="h", pid=1), 60 * MICROS)
        seat = store.listen_as_seat(worker, 0)
        seat.offer(["default"], 60 * MICROS)
        given, key = new_id(), new_id()
        store.enqueue([Job(id=given, task="t", due=0)])
        while (lease := seat.given()) is None:
            assert seat.wait(60)
        assert lease.id == given
        store.enqueue([Job(id=key, task="t", due=0, key="k")])
        now = store.now()
        store.exchange(worker, 0, [Outcome(lease, Kind.SUCCEEDED, now, now, b"1")], 1, ["default"])
        store.notify("work")
        store.maintain()
        store.unregister(worker)
        states = {job.id: job.state for job in store.jobs(Filter()).jobs}
        assert states == {given: State.SUCCEEDED, key: State.WAITING}
        assert store.durability
        assert [finding for finding in store.examine() if "NOPERM" in str(finding)] == []
        store.prune(now * 2, now * 2, 100)
        seat.close()
        other = RedisStore(f"redis://jobs:secret@{place}?prefix=other")
        with pytest.raises(StoreError, match="NOPERM"):
            other.counts()
    finally:
        store.close()
        shared_redis.ask("ACL", "DELUSER", "jobs")
