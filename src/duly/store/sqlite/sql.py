"""The connection of the SQLite store: statements by name (see ``store.sql.db``), lists as JSON."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from duly.store.statements import load

SQL = (
    load("duly.store.sqlite", "statements.sql")
    | load("duly.store.sqlite", "gates.sql")
    | load("duly.store.sqlite", "moving.sql")
)

SCHEMA = (SQL["schema"], SQL["schema_2"])
"""What makes an empty file one of version 1, that one of version 2, and so on."""

_encode = msgspec.json.Encoder().encode


class Connection(sqlite3.Connection):
    """See ``duly.store.sql.db.Db``."""

    def run(self, name: str, values: Sequence[object] | Mapping[str, object] = ()) -> sqlite3.Cursor:
        return self.execute(SQL[name], values)

    def run_many(self, name: str, rows: Iterable[Sequence[object]]) -> sqlite3.Cursor:
        return self.executemany(SQL[name], rows)

    def text(self, name: str) -> str:
        return SQL[name]

    def query(self, text: str, values: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        return self.execute(text, values or {})

    def array(self, values: Iterable[object]) -> str:
        """A JSON array, for ``json_each(?)``."""
        return _encode(list(values)).decode()

    def one_of(self, column: str, parameter: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(:{parameter}))"

    def like(self, column: str, parameter: str) -> str:
        return f"{column} GLOB :{parameter}"

    def pattern(self, glob: str) -> str:
        return glob.replace("[", "[[]")  # only * and ? are ours
