"""The Lua scripts in ``lua/``, each whole with what it includes."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import NamedTuple

_INCLUDE = "-- include:"


class Script(NamedTuple):
    """A script and the name under which a server that has it runs it."""

    name: str
    text: bytes
    sha: bytes


@functools.cache
def script(name: str) -> Script:
    """The script of ``lua/NAME.lua``: its first line says what it includes, in order."""
    text = _read(name)
    first, _, _ = text.partition("\n")
    assert first.startswith(_INCLUDE), f"{name}.lua does not begin with its includes"
    parts = [_read(part) for part in first.removeprefix(_INCLUDE).split()]
    whole = "\n".join([*parts, text]).encode()
    return Script(name, whole, hashlib.sha1(whole, usedforsecurity=False).hexdigest().encode())


def names() -> list[str]:
    """Every script there is."""
    found = (entry.name for entry in resources.files(__package__).joinpath("lua").iterdir())
    stems = (name.removesuffix(".lua") for name in found if name.endswith(".lua"))
    return sorted(stem for stem in stems if _read(stem).startswith(_INCLUDE))


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
