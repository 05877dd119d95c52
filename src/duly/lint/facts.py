"""What a Celery project says: its apps, tasks, calls and settings, with file and line."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duly.celery_settings import modern, reason
from duly.config import NAMES
from duly.lint.values import UNKNOWN, name_of, value

_SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist", "venv", "env"}
_CALLS = ("apply_async", "send_task", "retry", "signature", "set")
_SETTING_FILES = ("celeryconfig", "celery_config", "celeryconf", "config", "settings", "conf")


@dataclass(frozen=True, order=True)
class Place:
    """Where something is written."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Said:
    """Something with options: a task, a call, or an app."""

    name: str
    options: Mapping[str, Any]  # values, UNKNOWN where only running tells
    place: Place


@dataclass(frozen=True)
class SettingSaid:
    """A setting under its name of today."""

    name: str
    value: Any
    place: Place


@dataclass
class Facts:
    """All that was read."""

    files: int = 0
    apps: list[Said] = field(default_factory=list)
    tasks: list[Said] = field(default_factory=list)
    calls: list[Said] = field(default_factory=list)
    settings: list[SettingSaid] = field(default_factory=list)
    unread: list[tuple[Place, str]] = field(default_factory=list)

    def setting(self, name: str) -> SettingSaid | None:
        """What was said last of a setting; None if it is nowhere."""
        return next((each for each in reversed(self.settings) if each.name == name), None)


def read(project: Path) -> Facts:
    """The facts of a file, or of every Python file under a folder (but environments and hidden folders)."""
    facts = Facts()
    root = project if project.is_dir() else project.parent
    for path in sorted(_files(project)):
        facts.files += 1
        shown = str(path.relative_to(root)) if path != project else path.name
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError, OSError, RecursionError) as exc:
            line = getattr(exc, "lineno", None) or 1
            facts.unread.append((Place(shown, line), f"{getattr(exc, 'msg', None) or exc}"))
            continue
        if not _is_dulys(tree):
            _Reader(facts, shown, path.stem).visit(tree)
    return facts


def _is_dulys(tree: ast.Module) -> bool:
    """Whether a file imports duly and not celery: what it says, Celery never hears."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return "duly" in names and "celery" not in names


def _files(project: Path) -> Iterator[Path]:
    if not project.is_dir():
        yield project
        return
    for folder, folders, names in os.walk(project):
        folders[:] = [
            each
            for each in folders
            if not each.startswith(".") and each not in _SKIPPED and not Path(folder, each, "pyvenv.cfg").exists()
        ]
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


class _Reader(ast.NodeVisitor):
    """Reads one file into the facts."""

    def __init__(self, facts: Facts, file: str, module: str) -> None:
        self._facts = facts
        self._file = file
        self._settings_file = module in _SETTING_FILES or file.startswith("settings/") or "/settings/" in file
        self._depth = 0  # of functions

    def _at(self, node: ast.AST) -> Place:
        return Place(self._file, getattr(node, "lineno", 1))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            name = name_of(call.func if call else decorator)
            if name.rpartition(".")[2] in ("task", "shared_task", "periodic_task"):
                options = _keywords(call.keywords) if call else {}
                self._facts.tasks.append(Said(node.name, options, self._at(node)))
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [name_of(base).rpartition(".")[2] for base in node.bases]
        attributes = dict(_assignments(node.body))
        if any(base.endswith("Task") for base in bases):
            options = {name: value(each) for name, (each, _) in attributes.items()}
            self._facts.tasks.append(Said(node.name, options, self._at(node)))
        elif self._settings_file or "Celery" in node.name or "Config" in node.name:
            for name, (each, line) in attributes.items():
                self._setting(name, each, Place(self._file, line))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = name_of(node.func)
        last = name.rpartition(".")[2]
        if last == "Celery":
            self._facts.apps.append(Said("app", _keywords(node.keywords), self._at(node)))
            for keyword in node.keywords:
                renamed = {"broker": "broker_url", "backend": "result_backend"}.get(keyword.arg or "", keyword.arg)
                self._setting(renamed or "", keyword.value, self._at(keyword.value))
        elif last in _CALLS and isinstance(node.func, ast.Attribute):
            self._facts.calls.append(Said(last, _keywords(node.keywords), self._at(node)))
        elif name.endswith(("conf.update", "config_from_object", "conf.add_defaults")):
            self._update(node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Attribute) and name_of(target.value).rpartition(".")[2] == "conf":
                self._setting(target.attr, node.value, self._at(node))
            elif isinstance(target, ast.Subscript) and name_of(target.value).rpartition(".")[2] == "conf":
                self._setting(str(value(target.slice)), node.value, self._at(node))
            elif isinstance(target, ast.Name) and not self._depth:
                self._module_name(target.id, node)
        self.generic_visit(node)

    def _module_name(self, name: str, node: ast.Assign) -> None:
        """A name of a module: a setting in a module of settings, or one of Celery's upper-case ones anywhere."""
        if self._settings_file or name.startswith(("CELERY", "BROKER")):
            self._setting(name, node.value, self._at(node))

    def _update(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            self._setting(keyword.arg or "", keyword.value, self._at(keyword.value))
        for argument in node.args:
            if isinstance(argument, ast.Dict):
                for key, each in zip(argument.keys, argument.values, strict=True):
                    self._setting(str(value(key)), each, self._at(each))

    def _setting(self, written: str, node: ast.expr, place: Place) -> None:
        name = modern(written, NAMES)
        if name in NAMES or reason(name) is not None:
            self._facts.settings.append(SettingSaid(name, value(node), place))


def _keywords(keywords: Iterable[ast.keyword]) -> dict[str, Any]:
    """Options by name; what is passed on as ``**options`` is not seen."""
    return {keyword.arg: value(keyword.value) for keyword in keywords if keyword.arg is not None}


def _assignments(body: Iterable[ast.stmt]) -> Iterator[tuple[str, tuple[ast.expr, int]]]:
    for statement in body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    yield target.id, (statement.value, statement.lineno)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, (statement.value, statement.lineno)


__all__ = ["UNKNOWN", "Facts", "Place", "Said", "SettingSaid", "read"]
