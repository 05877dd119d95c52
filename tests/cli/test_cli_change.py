"""``cancel``, ``move``, ``retry``, ``purge``, ``forget``, ``prune`` and raw ``call`` on a real store."""

from __future__ import annotations

import msgspec

from conftest import Duly, a_job, a_worker, reserve, settle
from duly.job import Filter, Kind, State
from duly.store.contract import Store


def only(store: Store, job_id: str):  # type: ignore[no-untyped-def]
    [job] = store.jobs(Filter(ids=(job_id,))).jobs
    return job


def test_cancel_answers_for_each_job(duly: Duly, store: Store) -> None:
    worker = a_worker(store)
    a_job(store), a_job(store)
    running, done = reserve(store, worker, 2)
    settle(store, worker, done, Kind.SUCCEEDED)
    waiting = a_job(store, ahead=60)
    ran = duly("cancel", waiting.id[:-2], running.id, done.id, "nonesuch")
    assert ran.status == 1
    verdicts = dict(line.split("  ", 1) for line in ran.out.splitlines())
    assert verdicts[waiting.id].startswith("prevented")
    assert verdicts[running.id].startswith("signalled")
    assert verdicts[done.id] == "too late: it is succeeded"
    assert verdicts["nonesuch"].startswith("unknown")
    assert "1 prevented" in ran.err
    assert only(store, waiting.id).state == State.CANCELLED
    assert only(store, running.id).cancelling


def test_cancel_by_filter_asks_and_leaves_the_others(duly: Duly, store: Store) -> None:
    inside = [a_job(store, queue="crawl", ahead=60).id for _ in range(3)]
    outside = a_job(store, ahead=60)
    refused = duly("cancel", "-Q", "crawl")
    assert refused.status == 2
    assert "Cancel 3 jobs (3 scheduled)?" in refused.err
    assert "--yes" in refused.err
    assert all(only(store, one).state == State.WAITING for one in inside)
    ran = duly("cancel", "-Q", "crawl", "--yes", "--json")
    assert ran.status == 0
    assert {(one["id"], one["verdict"]) for one in ran.json} == {(one, "prevented") for one in inside}
    assert only(store, outside.id).state == State.WAITING


def test_choosing_nothing_or_twice_is_refused(duly: Duly, store: Store) -> None:
    job = a_job(store)
    assert "which jobs?" in duly("cancel").err
    assert "not both" in duly("cancel", job.id, "-Q", "default").err
    none = duly("cancel", "-Q", "empty", "-y")
    assert (none.status, none.err) == (0, "No such jobs. Queue 'empty' has no live jobs. Nothing was changed.\n")


def test_move_changes_what_it_was_told_and_keeps_the_rest(duly: Duly, store: Store) -> None:
    job = a_job(store, args=([1, 2], {"n": 12345678901234}), ahead=60)
    ran = duly(
        "move", job.id, "--eta", "2030-01-02 03:04", "--tz", "Europe/Berlin", "--to-queue", "slow", "--priority", "7"
    )
    assert (ran.status, ran.out) == (0, f"{job.id}  moved\n")
    moved = only(store, job.id)
    assert (moved.due, moved.queue, moved.priority) == (1_893_549_840_000_000, "slow", 7)
    assert moved.args == job.args
    duly("move", job.id, "--args", "[3]")
    moved = only(store, job.id)
    assert msgspec.json.decode(moved.args) == [[3], {"n": 12345678901234}]
    assert moved.queue == "slow"
    before = store.now()
    duly("move", "-Q", "slow", "--countdown", "1h", "--yes")
    assert before + 3600_000_000 <= only(store, job.id).due <= store.now() + 3600_000_000


def test_move_refuses_what_makes_no_sense(duly: Duly, store: Store) -> None:
    job = a_job(store, ahead=60)
    assert "nothing to change" in duly("move", job.id).err
    assert "not both" in duly("move", job.id, "--eta", "now", "--countdown", "5").err
    assert "is JSON, but not a JSON array" in duly("move", job.id, "--args", '{"a": 1}').err
    assert "is not JSON" in duly("move", job.id, "--args", "[1").err
    assert only(store, job.id).due == job.due


def test_retry_runs_again_and_a_filter_means_those_that_ended_badly(duly: Duly, store: Store) -> None:
    worker = a_worker(store)
    for _ in range(3):
        a_job(store)
    failed, uncertain, done = reserve(store, worker, 3)
    settle(store, worker, failed, Kind.FAILED)
    settle(store, worker, uncertain, Kind.UNCERTAIN)
    settle(store, worker, done, Kind.SUCCEEDED)
    ran = duly("retry", "--task", "tasks.*", "--yes", "--json")
    assert ran.status == 0
    assert {(one["id"], one["verdict"]) for one in ran.json} == {(failed.id, "retried"), (uncertain.id, "retried")}
    assert only(store, failed.id).state == State.WAITING
    assert duly("retry", done.id).status == 0
    late = duly("retry", done.id)
    assert late.status == 1
    assert "too late" in late.out


def test_purge(duly: Duly, store: Store) -> None:
    a_job(store, queue="crawl"), a_job(store, queue="crawl", ahead=60)
    kept = a_job(store)
    typo = duly("purge", "-f", "-Q", "crwal")
    assert typo.status == 2
    assert "did you mean 'crawl'?" in typo.err
    assert "2 waiting jobs" in duly("purge", "-Q", "crawl").err
    ran = duly("purge", "-Q", "crawl,other", "-f")
    assert (ran.status, ran.out) == (0, "Cancelled 2 waiting jobs of queues crawl, other.\n")
    assert only(store, kept.id).state == State.WAITING
    assert duly("purge", "-f", "--json").json == [{"cancelled": 1}]


def test_forget_and_prune(duly: Duly, store: Store) -> None:
    worker = a_worker(store)
    a_job(store), a_job(store)
    first, second = reserve(store, worker, 2)
    settle(store, worker, first, Kind.SUCCEEDED)
    settle(store, worker, second, Kind.FAILED)
    waiting = a_job(store, ahead=60)
    ran = duly("forget", first.id, waiting.id)
    assert (ran.status, ran.out) == (1, "Forgot 1 job.\n")
    assert duly("prune").out == "Pruned 0 jobs.\n"
    assert duly("prune", "--failed-older-than", "0", "--json").json == [{"pruned": 1}]
    assert [job.id for job in store.jobs(Filter()).jobs] == [waiting.id]


def test_call_without_an_app_stores_what_it_is_given(duly: Duly, store: Store) -> None:
    ran = duly("call", "any.task", "-a", "[1, 2]", "-k", '{"z": 12345678901234567890123}', "--countdown", "10m",
               "-Q", "slow", "--priority", "3", "--expires", "+1h")  # fmt: skip
    assert ran.status == 0
    job = only(store, ran.out.strip())
    assert (job.task, job.queue, job.priority) == ("any.task", "slow", 3)
    assert job.args == b'[[1,2],{"z":12345678901234567890123}]'
    assert 599_000_000 < job.due - job.created <= 600_000_000
    assert job.expires is not None
    late = duly("call", "any.task", "--countdown", "2h", "--expires", "+1h")
    assert late.status == 2
    assert "could never start" in late.err


def test_call_with_a_held_key_names_the_holder(duly: Duly, store: Store) -> None:
    first = duly("call", "any.task", "--key", "k", "--countdown", "60")
    second = duly("call", "any.task", "--key", "k", "--countdown", "60", "--json")
    assert second.json == [{"id": first.out.strip(), "stored": False}]
