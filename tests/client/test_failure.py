"""Exceptions are kept whatever they do, and come back as themselves where that is possible."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest

import duly.errors
from duly.errors import DulyError, DuplicateKey, JobFailed, Retry, SoftTimeLimitExceeded
from duly.failure import MAX_BYTES, decode_error, encode_error, rebuild_error
from duly.job import ErrorInfo

OURS = [
    kind
    for kind in vars(duly.errors).values()
    if isinstance(kind, type)
    and issubclass(kind, (DulyError, SoftTimeLimitExceeded))
    and kind not in (Retry, DuplicateKey)
]


class Plain(Exception): ...


class Coded(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoArgs(Exception):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no args")


class Empty(Exception):
    def __len__(self) -> int:
        return 0


def caught(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as raised:
        return raised


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("no", 3),
        KeyError("k"),
        FileNotFoundError(2, "gone"),
        Plain("x"),
        Empty("z"),
        DuplicateKey("k", "id"),
        *(kind("as it says") for kind in OURS),
    ],
)
def test_known_classes_come_back(exc: Exception) -> None:
    back = rebuild_error(encode_error(caught(exc)))
    assert type(back) is type(exc)
    assert str(back) == str(exc)
    assert "In the worker:\nTraceback" in back.__notes__[0]
    assert "raise exc" in back.__notes__[0]


@pytest.mark.parametrize("kind", OURS)
def test_what_a_worker_says_itself_comes_back_as_its_class(kind: type[Exception]) -> None:
    stored = msgspec.json.encode(ErrorInfo(type=kind.__name__, module="duly.errors", message="killed after 1 s"))
    back = rebuild_error(stored)
    assert type(back) is kind
    assert str(back) == "killed after 1 s"


def test_a_key_that_is_held_comes_back_with_its_holder() -> None:
    back = rebuild_error(encode_error(DuplicateKey("k", "id")))
    assert isinstance(back, DuplicateKey)
    assert (back.key, back.holder) == ("k", "id")


def test_an_error_of_another_module_without_args_is_not_guessed_at() -> None:
    stored = msgspec.json.encode(ErrorInfo(type="Plain", module=__name__, message="no args were kept"))
    assert type(rebuild_error(stored)) is JobFailed


@pytest.mark.parametrize(
    "exc", [NoText(), NoArgs("a"), Plain(object()), Coded(4, "y"), SystemExit(3), Exception("\ud800")]
)
def test_the_others_become_job_failed(exc: BaseException) -> None:
    back = rebuild_error(encode_error(caught(exc)))
    assert type(back) is JobFailed
    assert type(exc).__name__ in str(back)


@pytest.mark.parametrize("text", ["x" * 10**6, "\x00" * 10**6, "é\n" * 10**6])
def test_the_size_is_capped(text: str) -> None:
    data = encode_error(caught(Plain(text, text)), help=text)
    assert len(data) <= MAX_BYTES
    info = decode_error(data)
    assert info.type == "Plain"
    assert "bytes cut" in info.message


def test_nothing_is_imported_for_a_stored_name() -> None:
    assert "antigravity" not in sys.modules
    for module, kind in (("antigravity", "Boom"), ("os", "system"), ("builtins", "SystemExit"), ("builtins", "eval")):
        data = json.dumps({"type": kind, "module": module, "message": "m", "args": ["echo"]}).encode()
        assert type(rebuild_error(data)) is JobFailed
    assert "antigravity" not in sys.modules


def test_help_and_unreadable_bytes() -> None:
    assert rebuild_error(encode_error(ValueError("v"), help="try this")).__notes__ == [
        "try this",
        "In the worker:\nValueError: v",
    ]
    assert "unreadable" in str(rebuild_error(b"{"))
