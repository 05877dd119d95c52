"""SQL kept in ``.sql`` files: named statements, each after a ``-- :name`` line."""

from __future__ import annotations

from importlib import resources


def load(package: str, filename: str) -> dict[str, str]:
    """The statements of a file in ``package``, by name, their comment lines left out."""
    text = resources.files(package).joinpath(filename).read_text(encoding="utf-8")
    statements: dict[str, str] = {}
    for part in text.split("-- :name ")[1:]:
        name, _, body = part.partition("\n")
        lines = (line for line in body.splitlines() if not line.startswith("--"))
        statements[name.strip()] = "\n".join(lines).strip()
    return statements
