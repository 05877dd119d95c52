"""Ids, keys and names that a store or a worker could not keep whole are refused at the call."""

from __future__ import annotations

import pytest

from duly import ConfigError, Duly
from duly.call import MAX_TEXT

WRONG = {"x" * (MAX_TEXT + 1): "at most 500", "é" * MAX_TEXT: "1,000 bytes", "a\0b": "NUL", "a\udc80": "surrogate"}


@pytest.mark.parametrize("option", ["task_id", "queue", "key"])
@pytest.mark.parametrize("text", WRONG, ids=["long", "accents", "nul", "surrogate"])
def test_options(option: str, text: str) -> None:
    app = Duly("t", store="sqlite:///:memory:")
    task = app.task(lambda: None, name="t")
    with pytest.raises(ValueError, match=WRONG[text]):
        task.apply_async(**{option: text})  # type: ignore[call-overload, misc, arg-type]
    longest = "é" * (MAX_TEXT // 2)
    task.apply_async(**{option: longest})  # type: ignore[call-overload, misc, arg-type]


@pytest.mark.parametrize("text", WRONG, ids=["long", "accents", "nul", "surrogate"])
def test_names_of_tasks_and_limit_keys(text: str) -> None:
    app = Duly("t", store="sqlite:///:memory:")
    with pytest.raises(ConfigError, match="at most 500 bytes"):
        app.task(lambda: None, name=text)
    with pytest.raises(ConfigError, match="at most 500 bytes"):
        app.task(lambda: None, name="t", queue=text)
    keyed = app.task(lambda: None, name="t", limit_key=lambda: text, max_concurrency=1)
    with pytest.raises(ValueError, match="limit_key of t"):
        keyed.delay()
