"""The statements of the PostgreSQL store for one schema, and a session that runs them (see ``store.sql.db``)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from duly.store.statements import load

VERSION = 1
"""The version of the schema that this release makes, and knows."""

_PACKAGE = "duly.store.postgres"
_PARTS = ("schema", "functions")  # of a version, in this order
_OURS = re.compile(r'(?<!["\w])duly\.')  # a name in our schema; not the module duly.errors of an error in JSON
_NAMED = re.compile(r"(?<![\w:]):([a-z_]+)")


class Statements:
    """Every statement, by name, for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        texts = load(_PACKAGE, "statements.sql") | load(_PACKAGE, "gates.sql") | load(_PACKAGE, "moving.sql")
        self._texts = {name: self._placed(text) for name, text in texts.items()}
        self._ready = {name: parameters(text) for name, text in self._texts.items()}
        self._numbered: dict[str, bytes] = {}

    def text(self, name: str) -> str:
        """A statement as it is written."""
        return self._texts[name]

    def ready(self, name: str) -> bytes:
        """A statement as psycopg takes it."""
        return self._ready[name]

    def numbered(self, name: str) -> bytes:
        """A statement as the server takes it."""
        found = self._numbered.get(name)
        if found is None:
            numbers = itertools.count(1)
            found = re.sub(r"\?", lambda _: f"${next(numbers)}", self._texts[name]).encode()
            self._numbered[name] = found
        return found

    def migration(self, version: int) -> bytes:
        """What brings a schema from the version before to this one; a script without parameters."""
        folder = resources.files(_PACKAGE)
        texts = [folder.joinpath(f"{part}_{version}.sql").read_text(encoding="utf-8") for part in _PARTS]
        return self._placed("".join(texts)).encode()

    def channel(self, name: str) -> str:
        """What PostgreSQL calls a channel of this store."""
        return f"{self.schema}/{name}"

    def _placed(self, text: str) -> str:
        return _OURS.sub(f'"{self.schema}".', text.replace("'duly/", f"'{self.schema}/"))


@lru_cache(maxsize=512)
def parameters(text: str) -> bytes:
    """``?`` and ``:name`` as psycopg writes them."""
    return _NAMED.sub(r"%(\1)s", text.replace("?", "%s")).encode()


class Session:
    """A connection as the shared part of the store uses it; see ``store.sql.db.Db``."""

    def __init__(self, connection: psycopg.Connection[Any], statements: Statements) -> None:
        self._connection = connection
        self._statements = statements

    def run(self, name: str, values: Sequence[object] | Mapping[str, object] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._cursor().execute(self._statements.ready(name), values)

    def run_many(self, name: str, rows: Iterable[Sequence[object]]) -> psycopg.Cursor[tuple[Any, ...]]:
        cursor = self._cursor()
        cursor.executemany(self._statements.ready(name), rows)
        return cursor

    def text(self, name: str) -> str:
        return self._statements.text(name)

    def query(self, text: str, values: Mapping[str, object] | None = None) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._cursor().execute(parameters(text), values)

    def _cursor(self) -> psycopg.Cursor[tuple[Any, ...]]:
        """Of our own kind, also where the connection is somebody else's."""
        return psycopg.Cursor(self._connection, row_factory=tuple_row)

    def array(self, values: Iterable[object]) -> list[object]:
        return list(values)

    def one_of(self, column: str, parameter: str) -> str:
        return f"{column} = ANY (:{parameter}::text[])"

    def like(self, column: str, parameter: str) -> str:
        return f"{column} LIKE :{parameter}"

    def pattern(self, glob: str) -> str:
        quoted = re.sub(r"([\\%_])", r"\\\1", glob)
        return quoted.replace("*", "%").replace("?", "_")
