"""Nothing that was stored reaches a terminal raw, and tables fit it."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from duly.cli import render, text
from duly.cli.data import full_data, job_data
from duly.cli.table import Column, lay_out
from duly.job import Attempt, ErrorInfo, JobView, Progress, State

NOW = 1_763_715_600_000_000
ANY_TEXT = st.text(max_size=60) | st.text("\x00\x07\x1b[31m\x9b\x7f\u202e\u2028a\n\t", max_size=40)


def visible(line: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in "\u202e\u200f" for char in line)


def a_job(**fields: Any) -> JobView:
    nothing = (
        "expires key headers options started finished worker slot result error progress log".split()  # noqa: SIM905
    )
    whole: dict[str, Any] = {
        **dict.fromkeys(nothing),
        "id": "019aa5b2-1f3c-7a4b-8000-000000000001",
        "task": "tasks.add",
        "args": b"[[],{}]",
        "queue": "default",
        "priority": 0,
        "due": NOW,
        "flags": 0,
        "state": State.WAITING,
        "attempt": 0,
        "retries": 0,
        "lost": 0,
        "created": NOW,
        "cancelling": False,
    }
    return JobView(**{**whole, **fields})


def a_look(width: int | None = 80) -> render.Look:
    from zoneinfo import ZoneInfo

    return render.Look(zone=ZoneInfo("Europe/Berlin"), now=NOW, width=width, symbols=render.SYMBOLS)


@given(ANY_TEXT)
def test_clean_text_is_visible_and_plain_text_is_left_alone(raw: str) -> None:
    shown = text.clean(raw)
    assert visible(shown)
    if raw.isascii() and raw.isprintable():
        assert shown == raw


@given(st.recursive(st.none() | st.booleans() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner, max_size=3)))
def test_safe_json_is_visible_and_means_the_same(value: Any) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    shown = text.safe_json(raw)
    assert visible(shown)
    assert json.loads(shown) == json.loads(raw)


def test_compact_json_keeps_numbers_as_they_were_written() -> None:
    assert text.compact(b'{"n": 123456789012345678901234567890,\n "x": 1.10}') == (
        b'{"n":123456789012345678901234567890,"x":1.10}'
    )
    assert text.compact(b"[1,") is None
    assert text.compact(b'"\xff"') is None


@given(task=ANY_TEXT, arg=ANY_TEXT, message=ANY_TEXT, log=st.binary(max_size=60), width=st.integers(40, 200))
def test_no_stored_text_reaches_the_terminal_raw(task: str, arg: str, message: str, log: bytes, width: int) -> None:
    def encoded(value: object) -> bytes:
        return json.dumps(value).encode()

    error = encoded({"type": task, "message": message, "traceback": message, "help": message})
    job = a_job(
        task=task, queue=task, key=task, worker=task, state=State.FAILED, attempt=1, started=NOW, finished=NOW,
        log=log, args=encoded([[arg], {arg: arg}]), error=error,
        headers=encoded(arg), result=encoded(arg), progress=log,
    )  # fmt: skip
    history = [
        Attempt(attempt=1, outcome="failed", worker=task, slot=0, started=NOW, finished=NOW, error=error, log=log)
    ]
    lines = render.job_lines([job], a_look(width)) + render.show_lines(job, history, [], a_look(width))
    assert all(visible(line.plain) for line in lines)


@given(st.lists(st.lists(ANY_TEXT, min_size=4, max_size=4), min_size=1, max_size=5), st.integers(50, 160))
def test_a_table_fits_its_width(rows: list[list[str]], width: int) -> None:
    columns = [
        Column("A", least=8),
        Column("B", least=10, from_left=True),
        Column("C", rank=1),
        Column("D", least=6, rank=2),
    ]
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            column.cells.append(Text(text.clean(cell)))
    lines = lay_out(columns, width)
    assert all(line.cell_len <= width for line in lines)
    assert all(line.plain == line.plain.rstrip() for line in lines)


def test_a_list_of_jobs_fits_80_columns_with_huge_values() -> None:
    error = msgspec.json.encode(ErrorInfo(type="ValueError", message="boom " * 1000))
    jobs = [
        a_job(task="shop.tasks." + "very_" * 40 + "long", args=msgspec.json.encode([["x" * 10_000], {}])),
        a_job(state=State.FAILED, attempt=1, started=NOW, finished=NOW, error=error),
    ]
    lines = render.job_lines(jobs, a_look(80))
    assert all(line.cell_len <= 80 for line in lines)
    assert "very_long" in lines[1].plain  # the end of a dotted name is what tells it apart
    assert "ValueError" in lines[2].plain


def test_without_a_terminal_ids_are_whole_and_values_still_bounded() -> None:
    [_, line] = render.job_lines([a_job(args=msgspec.json.encode([["x" * 10_000], {}]))], a_look(None))
    assert "019aa5b2-1f3c-7a4b-8000-000000000001" in line.plain
    assert len(line.plain) < 600
    assert "more" not in line.plain
    assert "characters)" in line.plain


def test_short_ids_stay_apart() -> None:
    ids = ["019aa5b2-1f3c-7a4b-8000-000000000001", "019aa5b2-1f3c-7a4b-8000-0000000000f1", "mine"]
    short = render.short_ids(ids, 20)
    assert len(set(short)) == 3
    assert all(one.startswith(cut) for one, cut in zip(ids, short, strict=True))
    assert short[2] == "mine"


@given(st.lists(st.text("0123456789ab-", min_size=1, max_size=40), unique=True, max_size=20))
def test_a_short_id_names_one_job_of_the_page(ids: list[str]) -> None:
    for one, cut in zip(ids, render.short_ids(ids, 20), strict=True):
        others = [other for other in ids if other.startswith(cut) and other != one]
        assert cut == one or not others


def test_details_say_what_matters_in_each_state() -> None:
    second = 1_000_000
    error = msgspec.json.encode(ErrorInfo(type="OSError", message="no route"))
    progress = msgspec.json.encode(Progress(done=3, total=10, note="reading"))
    cases = [
        (a_job(due=NOW + 90 * second), "in 1m 30s"),
        (a_job(due=NOW - 5 * second), "waiting 5.0s"),
        (a_job(attempt=1, due=NOW + 5 * second, error=error), "in 5.0s: OSError: no route"),
        (a_job(state=State.RUNNING, started=NOW - second, progress=progress), "for 1.0s: 3 of 10 (30%), reading"),
        (a_job(state=State.RUNNING, started=NOW - second, cancelling=True), "stopping, for 1.0s"),
        (a_job(state=State.SUCCEEDED, started=NOW - second, finished=NOW), "took 1.0s"),
        (a_job(state=State.FAILED, started=NOW, finished=NOW, error=error), "OSError: no route"),
    ]
    assert [render.detail_line(job, a_look()) for job, _ in cases] == [wanted for _, wanted in cases]


def test_json_of_a_job_keeps_what_was_stored() -> None:
    job = a_job(args=b'[[12345678901234567890123, 1.10], {"k": "\xc2\x9b"}]', error=b"not json", log=b"\xff")
    line = text.safe_json(msgspec.json.encode(job_data(job, NOW)))
    assert '"args":[12345678901234567890123,1.10]' in line
    assert visible(line)
    read = json.loads(line)
    assert read["kwargs"] == {"k": "\x9b"}
    assert read["due"] == NOW
    assert read["error"] == "not json"
    assert full_data(job, [], NOW)["log"] == "\\xff"


def test_arguments_that_are_no_arguments_are_shown_all_the_same() -> None:
    job = a_job(args=b"\x80\x04gone")
    assert render.arguments(job.args) == "\\x80\\x04gone"
    assert json.loads(msgspec.json.encode(job_data(job, NOW)))["kwargs"] is None
    assert any("gone" in line.plain for line in render.show_lines(job, [], [], a_look()))
