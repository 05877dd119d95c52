"""Files that are there whole or not at all, and that nobody else may read: what they hold is private."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def folder(path: Path) -> Path:
    """The folder, made with mode 700 if it is not there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write(path: Path, data: bytes) -> None:
    """Put a file with mode 600 in place, in one step: a reader finds the old one or the new one."""
    folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save(path: Path, value: Any) -> None:
    """Write a struct as JSON that people can read too."""
    write(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def load(path: Path, kind: type[T]) -> T | None:
    """What ``save`` wrote; None if there is no such file, or it is of another release and cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
