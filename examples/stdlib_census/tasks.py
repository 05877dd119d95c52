"""The tasks of the census: facts about one Python file, and keeping an appointment.

Both do their work as an *effect*: its value is recorded in the store before the task ends, so an attempt
that comes after a crash takes the recorded value instead of doing the work again.
"""

from __future__ import annotations

import ast
import hashlib
import io
import keyword
import time
import tokenize
import warnings
from pathlib import Path
from typing import Any

from duly import Duly

app = Duly("census")


@app.task(bind=True)
def examine(self: Any, path: str) -> dict[str, Any]:
    """Facts about one file."""
    return self.effect("facts", lambda: facts(path))


@app.task(bind=True)
def keep_appointment(self: Any) -> int:
    """The instant at which the appointment was kept, in nanoseconds since 1970."""
    return self.effect("kept", time.time_ns)


def facts(path: str) -> dict[str, Any]:
    """What the file holds; a file that does not parse has ``problem`` instead of counts."""
    content = Path(path).read_bytes()
    found: dict[str, Any] = {"digest": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(content).readline))
        with warnings.catch_warnings():  # the standard library's tests hold doubtful code on purpose
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError) as error:
        return found | {"problem": f"does not parse: {type(error).__name__}: {error}"}
    names = {token.string for token in tokens if token.type == tokenize.NAME} - set(keyword.kwlist)
    return found | {"tokens": len(tokens), "names": len(names), "longest": longest_function(tree)}


def longest_function(tree: ast.AST) -> list[Any] | None:
    """``[name, lines]`` of the longest function; the first one of equals; None if there is no function."""
    longest: list[Any] | None = None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if longest is None or lines > longest[1]:
                longest = [node.name, lines]
    return longest
