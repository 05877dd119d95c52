"""Jobs that wait for others, as the command line shows them."""

from __future__ import annotations

from conftest import Duly, a_worker, reserve, settle
from duly.job import Gate, Job, Kind
from duly.store.contract import Store


def a_canvas(store: Store) -> None:
    """Members m0 ... m6, a body, and what comes after the body."""
    now = store.now()
    members = [Job(id=f"m{i}", task="tasks.add", due=now, gates=(("g", i),)) for i in range(7)]
    body = Job(id="body", task="tasks.total", due=now, after="g", gates=(("h", 0),))
    last = Job(id="last", task="tasks.tell", due=now, after="h")
    store.enqueue([*members, body, last], [Gate("g", 7), Gate("h", 1)])


def test_show_names_what_comes_before_and_after(duly: Duly, store: Store) -> None:
    a_canvas(store)
    worker = a_worker(store)
    first, second = reserve(store, worker, 2)
    settle(store, worker, first, Kind.SUCCEEDED)
    settle(store, worker, second, Kind.FAILED, error=b"{}")
    shown = duly("show", "body").out
    assert "held" in shown
    assert "2 of 7 jobs ended, 1 without success (first m1): m0 (succeeded), m1 (failed), m2 (queued)" in shown
    assert "m4 (queued), ..." in shown
    assert "tasks.tell last (held)" in shown
    assert "tasks.total body (held)" in duly("show", "m0").out
    [data] = duly("show", "last", "--json").json
    assert (data["before"], data["then"], data["after"], data["state"]) == (["body"], [], "h", "held")


def test_held_is_a_state_like_others(duly: Duly, store: Store) -> None:
    a_canvas(store)
    assert {job["id"] for job in duly("jobs", "--state", "held", "--json").json} == {"body", "last"}
    assert "waits for others" in duly("jobs", "--state", "held").out
    assert duly("why", "last").out.startswith("It waits for its one job: body, which is held.")
    assert duly("cancel", "body").status == 0
    assert [job["state"] for job in duly("jobs", "--state", "failed", "--json").json] == ["failed"]
