"""The tables of options and settings in the docs: nothing that exists is missing, nothing else is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from duly import AsyncResult, signals
from duly.call import CallOptions
from duly.celery.app import options as celery
from duly.config import NAMES, Settings
from duly.task_options import TaskOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
CODE = re.compile(r"`(\w+)[^`]*`")


def table(page: str, title: str) -> list[list[str]]:
    """The rows of the table of a page whose first column has that title, without its head."""
    lines = iter((DOCS / page).read_text().splitlines())
    assert any(line.startswith(f"| {title} |") for line in lines), f"{page} has no table {title}"
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def names(page: str, title: str) -> list[str]:
    """What the first column names in code, in order; several to a cell are allowed."""
    return [name for row in table(page, title) for name in CODE.findall(row[0])]


def public(kind: type) -> set[str]:
    slots: Any = getattr(kind, "__slots__", ())
    return {name for name in (*vars(kind), *slots) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("page", "title", "expected"),
    [
        ("settings.md", "setting", set(NAMES)),
        ("tasks.md", "option", {"bind", "base", *TaskOptions.__annotations__}),
        ("calling.md", "option of `apply_async`", set(CallOptions.__annotations__)),
        ("signals.md", "signal", set(signals.ALL)),
        (
            "from-celery.md",
            "option of `@app.task`",
            {
                "bind",
                "base",
                *TaskOptions.__annotations__,
                *celery.TASK_SO_ANYWAY,
                *celery.TASK_REFUSED,
                *celery.TRANSLATED,
            },
        ),
        (
            "from-celery.md",
            "option of `apply_async` in Celery",
            {*CallOptions.__annotations__, *celery.CALL_SO_ANYWAY, *celery.CALL_REFUSED, "shadow", "serializer"},
        ),
        ("calling.md", "of an `AsyncResult`", public(AsyncResult)),
    ],
    ids=[
        "settings",
        "task options",
        "call options",
        "signals",
        "Celery's task options",
        "Celery's call options",
        "result",
    ],
)
def test_the_table_names_all_there_is_once(page: str, title: str, expected: set[str]) -> None:
    found = names(page, title)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("row", table("settings.md", "setting"), ids=lambda row: row[0])
def test_the_default_is_the_one_in_the_code(row: list[str]) -> None:
    for name in CODE.findall(row[0]):
        default = vars(Settings)[name].default
        assert ast.literal_eval(row[2].strip("`")) == (dict(default) if hasattr(default, "items") else default)
