"""``duly schedule``: what people do to recurring work, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
from tests.servers.postgres import PostgresServer

from duly.job import Schedule
from duly.store import Store


def test_a_schedule_from_add_to_remove(duly: Any, tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path}/s.db", "--tz", "Europe/Paris")
    added = duly(*store, "schedule", "add", "nightly", "t.report", "--cron", "30 2 * * *", "-a", "[1]", "--json")
    assert added.status == 0, added.err
    one = json.loads(added.out)
    assert (one["runs"], one["args"], one["owner"]) == ("at 02:30 every day (Europe/Paris)", [1], None)

    coming = duly(*store, "schedule", "next", "nightly", "-n", "2", "--after", "2027-03-27 12:00").out
    assert "Sun 2027-03-28 03:00:00 +02:00  2027-03-28T01:00:00Z" in coming
    over = duly(*store, "schedule", "next", "nightly", "-n", "2", "--after", "2027-10-30 12:00").out.splitlines()
    assert [line[:31] for line in over if line.startswith(("Sun", "Mon"))] == [
        "Sun 2027-10-31 02:30:00 +02:00 ", "Mon 2027-11-01 02:30:00 +01:00 ",
    ]  # fmt: skip
    assert "the clocks change: from here UTC+0100 (CET)" in over[1]

    job = duly(*store, "schedule", "run", "nightly").out.strip()
    assert job in duly(*store, "schedule", "history", "nightly").out
    assert duly(*store, "schedule", "pause", "nightly").out == "nightly: paused\n"
    assert "paused" in duly(*store, "schedule", "list").out
    assert duly(*store, "schedule", "resume", "nightly").status == 0
    assert "overlap" in duly(*store, "schedule", "show", "nightly").out
    assert duly(*store, "schedule", "remove", "nightly").out == "nightly: removed\n"
    assert duly(*store, "schedule", "list", "--json").out == ""


def test_mistakes_are_told_in_one_line(duly: Any, tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path}/s.db")
    duly(*store, "schedule", "add", "nightly", "t", "--every", "1h")
    for words, message in (
        (("schedule", "show", "nigthly"), "did you mean 'nightly'"),
        (("schedule", "add", "x", "t"), "give one of --cron"),
        (("schedule", "add", "x", "t", "--cron", "61 * * * *"), "61"),
        (("schedule", "add", "x", "t", "--crontab", "1 2"), "expected minute hour day month weekday"),
        (("schedule", "add", "x", "t", "--rrule", "FREQ=DAILY"), "belong together"),
        (("schedule", "add", "x", "t", "--every", "soon"), "soon"),
    ):
        ran = duly(*store, *words)
        assert ran.status == 2, words
        assert message in ran.err


def test_a_schedule_goes_to_the_store_that_was_named(duly: Any, shared_postgres: PostgresServer) -> None:
    database = shared_postgres.create_database("scheduled")
    store = ("--store", shared_postgres.url(database, schema="mine"))
    assert duly(*store, "schedule", "add", "nightly", "t", "--every", "1h").status == 0
    assert json.loads(duly(*store, "schedule", "list", "--json").out)["name"] == "nightly"
    with psycopg.connect(shared_postgres.conninfo(database)) as connection:
        (made,) = connection.execute("SELECT to_regnamespace('duly')").fetchall()
    assert made == (None,)


def test_what_a_task_declares_sensitive_is_not_shown(duly: Any, store: Store) -> None:
    hides = {"args": b'[["ann","hunter2"],{}]', "options": b'{"sensitive":[1]}'}
    store.put_schedule(Schedule(name="nightly", rule=b"{}", task="t", next=9 * 10**15, **hides))  # type: ignore[arg-type]
    for words in (["show", "nightly"], ["show", "nightly", "--json"]):
        shown = duly("schedule", *words)
        assert shown.status == 0
        assert "hunter2" not in shown.out
        assert "•••" in shown.out
