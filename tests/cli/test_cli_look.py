"""``jobs``, ``show``, ``result`` and ``status`` on a real store."""

from __future__ import annotations

import msgspec
import pytest

from conftest import Duly, a_job, a_worker, reserve, settle
from duly.job import ErrorInfo, Kind, Progress
from duly.store.contract import Store

TRACEBACK = 'Traceback (most recent call last):\n  File "t.py", line 1, in f\nValueError: \x1b[31mboom\n'
ERROR = msgspec.json.encode(ErrorInfo(type="ValueError", message="\x1b[31mboom", traceback=TRACEBACK))


def test_a_store_that_is_not_there_is_not_made(duly: Duly, url: str) -> None:
    ran = duly("jobs")
    assert ran.status == 74
    assert "there is no store at" in ran.err


def test_an_empty_store_says_so(duly: Duly, url: str, store: Store) -> None:
    assert store.counts() == []
    ran = duly("jobs")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err == f"No jobs in this store: {url}\n"


def test_jobs_lists_newest_first_and_json_is_exact(duly: Duly, store: Store) -> None:
    first = a_job(store, args=([12345678901234567890123 % 2**63, 1.5], {"mode": "fast"}))
    second = a_job(store, task="other.task", ahead=3600, queue="crawl", priority=9, key="k")
    ran = duly("jobs", "--json")
    assert ran.status == 0
    assert [job["id"] for job in ran.json] == [second.id, first.id]
    assert ran.json[0]["due"] == second.due
    assert ran.json[0]["state"] == "scheduled"
    assert ran.json[1]["args"] == [12345678901234567890123 % 2**63, 1.5]
    assert ran.json[1]["kwargs"] == {"mode": "fast"}
    shown = duly("jobs").out
    assert first.id in shown
    assert "in 1h" in shown or "in 59m" in shown


@pytest.mark.parametrize("words", [["jobs"], ["jobs", "--json"], ["show", "ID"], ["show", "ID", "--json"]])
def test_what_a_task_declares_sensitive_is_not_shown(duly: Duly, store: Store, words: list[str]) -> None:
    options = b'{"sensitive":["password",1]}'
    job = a_job(store, args=(["ann", "hunter2"], {"password": "swordfish"}), options=options)
    shown = duly(*(job.id if word == "ID" else word for word in words))
    assert shown.status == 0
    assert "hunter2" not in shown.out
    assert "swordfish" not in shown.out
    assert "ann" in shown.out
    assert "•••" in shown.out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--state", "scheduled"], {"late", "soon"}),
        (["--state", "queued", "--state", "scheduled", "-Q", "crawl"], {"crawl"}),
        (["--task", "shop.*"], {"late"}),
        (["--key", "k1"], {"soon"}),
        (["--due-from", "+30m"], {"late", "soon"}),
        (["--due-before", "+30m"], {"now", "crawl"}),
        (["--due-from", "+30m", "--due-before", "+2h"], {"soon"}),
    ],
)
def test_filters(duly: Duly, store: Store, words: list[str], found: set[str]) -> None:
    names = {
        a_job(store).id: "now",
        a_job(store, queue="crawl").id: "crawl",
        a_job(store, ahead=3600, key="k1").id: "soon",
        a_job(store, task="shop.mail", ahead=86_400).id: "late",
    }
    ran = duly("jobs", "--json", *words)
    assert {names[job["id"]] for job in ran.json} == found


def test_pages_say_how_to_go_on_and_repeat_nothing(duly: Duly, store: Store) -> None:
    ids = [a_job(store).id for _ in range(5)]
    seen: list[str] = []
    ran = duly("jobs", "--json", "--limit", "2")
    for _ in range(3):
        seen += [job["id"] for job in ran.json]
        if "More: duly " not in ran.err:
            break
        words = ran.err.strip().removeprefix("More: duly ").split()
        ran = duly(*words)
    assert seen == ids[::-1]


def test_show_has_everything_and_escapes_it(duly: Duly, store: Store) -> None:
    job = a_job(store, task="evil\x07", args=(["x" * 10_000], {}), headers=b'{"trace":"abc"}')
    worker = a_worker(store)
    [lease] = reserve(store, worker)
    store.save_progress(lease, msgspec.json.encode(Progress(done=1, total=4)))
    settle(store, worker, lease, Kind.RETRY, due=store.now(), error=ERROR, log=b"first\x1b[0m try")
    [lease] = reserve(store, worker)
    settle(store, worker, lease, Kind.FAILED, error=ERROR, log=b"second try")
    ran = duly("show", job.id)
    assert ran.status == 0
    for wanted in (job.id, "✗ failed", "evil\\x07", "trace", "w1@box", "attempt 1", "attempt 2", "took 1.2s",
                   "\\x1b[31mboom", "first\\x1b[0m try", "second try", 'File "t.py"', "(25%)"):  # fmt: skip
        assert wanted in ran.out
    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out
    assert max(map(len, ran.out.splitlines())) < 2200
    [data] = duly("show", job.id, "--json").json
    assert data["args"] == ["x" * 10_000]
    assert [one["attempt"] for one in data["attempts"]] == [1, 2]
    assert data["attempts"][0]["log"] == "first\x1b[0m try"


def test_ids_may_be_abbreviated_until_they_are_ambiguous(duly: Duly, store: Store) -> None:
    first, second = a_job(store), a_job(store)
    whole = duly("show", first.id[:-1])
    assert first.id in whole.out
    both = duly("show", first.id[:4])
    assert both.status == 2
    assert first.id in both.err
    assert second.id in both.err
    none = duly("show", "nonesuch")
    assert none.status == 1
    assert "no job 'nonesuch'" in none.err


def test_result_of_each_state(duly: Duly, store: Store) -> None:
    worker = a_worker(store)
    done, failed = a_job(store), a_job(store)
    leases = reserve(store, worker, 2)
    settle(store, worker, leases[0], Kind.SUCCEEDED, result=b'{"n": 12345678901234567890123}')
    settle(store, worker, leases[1], Kind.FAILED, error=ERROR)
    waiting = a_job(store, ahead=3600)
    ran = duly("result", done.id)
    assert (ran.status, ran.out) == (0, '{"n": 12345678901234567890123}\n')
    ran = duly("result", failed.id)
    assert (ran.status, ran.out, ran.err) == (1, "", "failed: ValueError: \\x1b[31mboom\n")
    ran = duly("result", failed.id, "--traceback")
    assert 'File "t.py"' in ran.err
    ran = duly("result", waiting.id, "--timeout", "100ms")
    assert ran.status == 75
    assert "not finished: scheduled, due in" in ran.err
    assert duly("result", done.id, "--json").json == [
        {"id": done.id, "state": "succeeded", "result": {"n": 12345678901234567890123}, "error": None}
    ]


def test_status_with_and_without_workers(duly: Duly, store: Store) -> None:
    a_job(store, queue="crawl", ahead=3600)
    none = duly("status")
    assert none.status == 69
    assert "No workers" in none.out
    job = a_job(store)
    gone = a_worker(store, name="gone")
    store.unregister(gone)
    a_worker(store, lease=-1, name="lapsed")
    worker = a_worker(store)
    reserve(store, worker)
    ran = duly("status")
    assert ran.status == 0
    for wanted in ("✓ alive", "w1@box", "4242", "1/2", job.id, "✗ lapsed", "crawl"):
        assert wanted in ran.out
    assert "gone@box" not in ran.out
    [data] = duly("status", "--json").json
    assert [(one["name"], one["alive"]) for one in data["workers"]] == [("w1", True), ("lapsed", False)]
    assert data["workers"][0]["running"][0]["id"] == job.id
    assert {one["queue"]: (one["ready"], one["scheduled"], one["running"]) for one in data["queues"]} == {
        "crawl": (0, 1, 0),
        "default": (0, 0, 1),
    }
