"""The value that an expression in a source file has, as far as it can be told without running it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Any

UNKNOWN: Any = object()
"""A value that only running the program would tell."""

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def value(node: ast.expr | None) -> Any:
    """Literals, sums and products of numbers, ``timedelta(...)``; else UNKNOWN."""
    if node is None:
        return UNKNOWN
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = value(node.left), value(node.right)
        try:
            return _OPERATORS[type(node.op)](left, right)
        except (TypeError, ZeroDivisionError):
            return UNKNOWN
    if isinstance(node, ast.Call) and name_of(node.func).rpartition(".")[2] == "timedelta" and not node.args:
        return _timedelta(node)
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        return {key.value: value(each) for key, each in zip(node.keys, node.values, strict=True)}  # type: ignore[union-attr]
    return UNKNOWN


def _timedelta(node: ast.Call) -> Any:
    parts = {keyword.arg: value(keyword.value) for keyword in node.keywords}
    try:
        return timedelta(**parts)  # type: ignore[arg-type]
    except TypeError:
        return UNKNOWN


def seconds(found: Any) -> float | None:
    """A value as seconds; None if it is no length of time."""
    if isinstance(found, timedelta):
        return found.total_seconds()
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def name_of(node: ast.expr) -> str:
    """``a.b.c`` of an expression that is a dotted name; what is not a name in it is left out."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = name_of(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""
