"""A slip of the pen is told where it is made, and tables fit narrow terminals."""

from __future__ import annotations

import pytest

from conftest import Duly, a_job, a_worker, reserve
from duly.job import WorkerInfo
from duly.store.contract import Store


def an_alive_worker(store: Store) -> None:
    info = WorkerInfo(
        name="w1", host="a-host-of-some-length", pid=1, queues=("default",), tasks=("tasks.add",), slots=2,
        started=store.now(),
    )  # fmt: skip
    store.register(info, 600_000_000)


@pytest.mark.parametrize(
    ("words", "status", "wanted"),
    [
        (["jobs", "--task", "tasks.ad"], 0, "did you mean 'tasks.add'?"),
        (["cancel", "--task", "add", "--yes"], 0, "did you mean 'tasks.add'?"),
        (
            ["call", "tasks.add", "--queue", "defalt"],
            0,
            "serves queue 'defalt'; did you mean 'default'?",
        ),
        (["control", "pause", "defaul"], 0, "did you mean 'default'?"),
        (["control", "rate_limit", "tasks.ad", "10/m"], 2, "did you mean 'tasks.add'?"),
        (["control", "unpause", "default"], 2, "did you mean 'resume'?"),
        (["schedule", "hist", "x"], 2, "did you mean 'history'?"),
        (["schedule", "pause", "b"], 2, "; there are none"),
        (["jobs", "--limit", "x"], 2, "'x' is not a valid whole number"),
        (["jobs", "--tz", "Pars"], 2, "did you mean 'Europe/Paris'?"),
        (["worker", "-A", "x", "-P", "gevent"], 2, "-P async"),
        (["worker", "-A", "x", "--time-limit", "1", "--soft-time-limit", "5"], 2, "is never reached"),
    ],
)
def test_slips(duly: Duly, store: Store, words: list[str], status: int, wanted: str) -> None:
    an_alive_worker(store)
    a_job(store)
    ran = duly(*words, env={"COLUMNS": "200"})
    assert wanted in ran.err
    assert ran.status == status
    assert store.limits() == []


def test_a_question_that_nobody_can_answer_is_no_wrong_usage(duly: Duly, store: Store) -> None:
    a_job(store)
    ran = duly("cancel", "--task", "tasks.*")
    assert (ran.status, "Usage" in ran.err, "Nobody can answer" in ran.err) == (2, False, True)


def test_narrow_terminals(duly: Duly, store: Store) -> None:
    an_alive_worker(store)
    worker = a_worker(store)
    a_job(store, args=([4, "argument"], {}))
    reserve(store, worker)
    a_job(store, args=([4, "argument"], {}))
    duly("schedule", "add", "a-long-name-of-a-schedule", "tasks.add", "--cron", "30 2 * * mon")
    for words in (("status",), ("schedule", "list")):
        ran = duly(*words, env={"COLUMNS": "42"})
        assert [line for line in ran.out.splitlines() if len(line) > 42] == []
        assert len(ran.out.splitlines()) > 1
    wide = duly("jobs", env={"COLUMNS": "80"}).out.splitlines()
    assert "ARGUMENTS" in wide[0]
    assert [line for line in wide if len(line) > 80] == []
