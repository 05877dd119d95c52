"""The filter language: what is read, what is refused, what matches, what is suggested."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec
import pytest

from duly.job import ErrorInfo, Filter, JobView, Options, State
from duly.web.language import BadQuery, parse, suggestions, term, terms

UTC = ZoneInfo("UTC")
NOW = 1_790_000_000_000_000
SECOND, HOUR = 1_000_000, 3_600_000_000


def a_job(**fields: object) -> JobView:
    plain: dict[str, object] = dict.fromkeys(JobView.__struct_fields__)
    usual = {
        "id": "0192-abc", "task": "mail.send", "args": b"[[],{}]", "queue": "mail", "priority": 0, "due": NOW,
        "flags": 0, "state": State.WAITING, "attempt": 0, "retries": 0, "lost": 0, "created": NOW,
        "cancelling": False,
    }  # fmt: skip
    plain = {name: value for name, value in plain.items() if name != "gates"}
    return JobView(**{**plain, **usual, **fields})  # type: ignore[arg-type]


def matches(query: str, **fields: object) -> bool:
    return parse(query, NOW, UTC).matches(a_job(**fields))


def test_words_are_read_with_quotes_and_minus() -> None:
    read = [
        (one.name, one.value, one.negated) for one in terms('state:failed -task:"a b" args.x.y:4 "free \\"text" z')
    ]
    assert read == [
        ("state", "failed", False), ("task", "a b", True), ("args.x.y", "4", False), ("", 'free "text', False),
        ("", "z", False),
    ]  # fmt: skip


def test_what_an_index_knows_is_asked_of_the_store() -> None:
    query = parse("state:failed,uncertain due:<1h id:0192 queue:mail", NOW, UTC)
    assert query.which == Filter(states=("failed", "uncertain"), due_before=NOW + HOUR, id_prefix="0192")
    assert query.order == "newest"
    waiting = parse("state:waiting queue:mail", NOW, UTC)
    assert waiting.which == Filter(states=("scheduled", "held", "queued", "retrying"), queues=("mail",))
    assert waiting.order == "due"
    assert parse("", NOW, UTC).is_everything
    assert parse("-state:ended", NOW, UTC).which.states == ("scheduled", "held", "queued", "retrying", "running")
    assert parse("state:live -state:running", NOW, UTC).which.states == ("scheduled", "held", "queued", "retrying")
    between = parse("due:@1790000000..+2h", NOW, UTC).which
    assert (between.due_from, between.due_before) == (NOW, NOW + 2 * HOUR)
    assert parse("due:>2d", NOW, UTC).which.due_from == NOW + 48 * HOUR


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("stat:failed", "did you mean 'state'"),
        ("state:faild", "did you mean 'failed'"),
        ("due:soon", "is not a time"),
        ("runtime:>x", "not a length of time"),
        ("attempt:>many", "expected a number"),
        ("attempt:>", "comes a value"),
        ('task:"open', "not closed"),
        ("state:", "value is missing"),
        ("task.x:1", "there is no 'task.x'"),
    ],
)
def test_what_cannot_be_read_is_told(query: str, complaint: str) -> None:
    with pytest.raises(BadQuery, match=complaint.replace("'", ".")):
        parse(query, NOW, UTC)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("task:mail.*", {}),
        ("task:x,mail.send", {}),
        ("-task:crawl", {}),
        ("queue:ma*", {}),
        ("key:k?", {"key": "k1"}),
        ("args.user_id:42", {"args": b'[[],{"user_id":42}]'}),
        ("args.0:42", {"args": b"[[42],{}]"}),
        ("args.user.id:42", {"args": b'[[],{"user":{"id":42}}]'}),
        ("args.id:42", {"args": b'[[{"id":42}],{}]'}),
        ("args.items.1:b", {"args": b'[[],{"items":["a","b"]}]'}),
        ("args.n:12345678901234567890", {"args": b'[[],{"n":12345678901234567890}]'}),
        ("args.on:true", {"args": b'[[],{"on":true}]'}),
        ("args:hello", {"args": b'[["Hello world"],{}]'}),
        ('args:"\u00e9t\u00e9"', {"args": '[["\u00e9t\u00e9"],{}]'.encode()}),
        ("0192", {}),
        ("example.org", {"args": b'[["a@example.org"],{}]'}),
        ("error:timeout", {"error": msgspec.json.encode(ErrorInfo(type="TimeoutError", message="x"))}),
        ("error:*refused*10.*", {"error": msgspec.json.encode(ErrorInfo(type="OSError", message="refused 10.0"))}),
        ("runtime:>1s", {"started": NOW - 2 * SECOND, "finished": NOW}),
        ("runtime:<1m", {"started": NOW - 2 * SECOND, "state": State.RUNNING}),
        ("late:>10s", {"due": NOW - HOUR}),
        ("late:<1s", {"due": NOW, "started": NOW - 5}),
        ("created:<1h", {"created": NOW - HOUR // 2}),
        ("-created:<1h", {"created": NOW - 2 * HOUR}),
        ("finished:>1h", {"finished": NOW - 2 * HOUR}),
        ("attempt:>1 attempt:<3 retries:0", {"attempt": 2}),
        ("worker:w1@*", {"worker": "w1@box"}),
        ("priority:9", {"priority": 9}),
        ("task:a[1]", {"task": "a[1]"}),
    ],
)
def test_a_job_matches(query: str, fields: dict[str, object]) -> None:
    assert matches(query, **fields)
    opposite = " ".join(f"-{word}" for word in query.split()) if " " not in query and query[0] != "-" else ""
    assert not opposite or not matches(opposite, **fields)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("task:mail", {}),
        ("args.user_id:4", {"args": b'[[],{"user_id":42}]'}),
        ("args.on:1", {"args": b'[[],{"on":true}]'}),
        ("args.user_id:42", {"args": b"not json"}),
        ("worker:*", {}),
        ("runtime:>1s", {}),
        ("error:x", {}),
        ("late:>1s", {"state": State.CANCELLED}),
        ("late:<1s", {"due": NOW + HOUR}),
    ],
)
def test_another_does_not(query: str, fields: dict[str, object]) -> None:
    assert not matches(query, **fields)


def test_what_is_hidden_cannot_be_searched() -> None:
    secret = {
        "args": b'[[],{"password":"hunter2"}]',
        "options": msgspec.json.encode(Options(sensitive=("password",))),
    }
    assert not matches("args.password:hunter2", **secret)
    assert not matches("hunter2", **secret)
    assert not matches("args:hunter", **secret)


def test_suggestions_complete_the_last_word() -> None:
    values = {"state": ("failed", "running"), "queue": ("mail", "slow lane")}
    assert "state:" in suggestions("", values)
    assert suggestions("sta", values) == ["state:", "started:"] or "state:" in suggestions("sta", values)
    assert suggestions("task:a state:fa", values) == ["task:a state:failed"]
    assert suggestions("-queue:slow", values) == ['-queue:"slow lane"']
    assert suggestions("state:failed,ru", values) == ["state:failed,running"]
    assert suggestions("nothing:x", values) == []


NAMES = (
    "mail",
    "slow lane",
    'with "quotes"',
    "back\\slash x",
    "a,b",
    "st*r",
    "wh?t",
    "[x]",
    "\\",
    "\\*",
    "q/<b>'a.c",
    "-x",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_term_means_the_one_of_this_name(name: str) -> None:
    for word in ("queue", "task"):
        [read] = terms(term(word, name))
        assert read.name == word
        assert [one for one in (*NAMES, "a", "b", "star", "what") if matches(term(word, name), **{word: one})] == [
            name
        ]


def test_names_may_have_globs_and_commas() -> None:
    found = [one for one in ("mail.a", "mail", "push", "a,b", "b") if matches("task:mail.*,pus?,a\\,b", task=one)]
    assert found == ["mail.a", "push", "a,b"]
