"""Exceptions are kept whatever they do, and come back as themselves where that is possible."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from duly.errors import DuplicateKey, JobFailed
from duly.failure import MAX_BYTES, decode_error, encode_error, rebuild_error


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
        Coded(4, "y"),
        Empty("z"),
        DuplicateKey("k", "id"),
    ],
)
def test_known_classes_come_back(exc: Exception) -> None:
    back = rebuild_error(encode_error(caught(exc)))
    assert type(back) is type(exc)
    assert str(back) == str(exc)
    assert "In the worker:\nTraceback" in back.__notes__[0]
    assert "raise exc" in back.__notes__[0]


@pytest.mark.parametrize("exc", [NoText(), NoArgs("a"), Plain(object()), SystemExit(3), Exception("\ud800")])
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
