"""Statements of the hot path, without what a cursor does around each.

psycopg's cursors find out how each value is written by its type, keep prepared statements by text and types, and can
do much more: for a lone job that is as much work here as the server has with it. Here a statement has a name, and
its values have types of their own; the connection, its waiting and its errors are psycopg's. Behind a pool nothing is
prepared.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import errors, generators, pq
from psycopg.adapt import Transformer
from psycopg.types.numeric import Int2, Int4, Int8

from duly.store.postgres.arrays import Array, BigInts, Bytes, Ints, Texts
from duly.store.postgres.connecting import Connection

_BINARY = pq.Format.BINARY
_WELL = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

_ENCODERS: dict[type, Callable[[Any], bytes | None]] = {
    type(None): lambda value: None,
    bool: lambda value: b"\x01" if value else b"\x00",
    int: struct.Struct(">q").pack,
    Int8: struct.Struct(">q").pack,
    Int4: struct.Struct(">i").pack,
    Int2: struct.Struct(">h").pack,
    str: str.encode,
    bytes: lambda value: value,
    **dict.fromkeys((BigInts, Ints, Texts, Bytes), Array.binary),
}


def rows(connection: Connection, name: str, text: bytes, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """Run one statement, whose parameters are ``$1`` ...; gives its rows. Raises psycopg.Error."""
    encoded = [_ENCODERS[type(value)](value) for value in values]
    if not connection.keeps_statements:
        connection.pgconn.send_query_params(text, encoded, None, [_BINARY] * len(encoded), _BINARY)
        return _answer(connection)
    try:
        return _prepared(connection, name, text, encoded)
    except errors.InvalidSqlStatementName:  # psycopg deallocates all of its session after a ROLLBACK
        connection.kept.clear()
        return _prepared(connection, name, text, encoded)


def _prepared(connection: Connection, name: str, text: bytes, values: list[bytes | None]) -> list[tuple[Any, ...]]:
    kept = f"duly_{name}".encode()
    if name not in connection.kept:
        connection.pgconn.send_prepare(kept, text)
        _answer(connection)
        connection.kept.add(name)
    connection.pgconn.send_query_prepared(kept, values, [_BINARY] * len(values), _BINARY)
    return _answer(connection)


def _answer(connection: Connection) -> list[tuple[Any, ...]]:
    results = connection.wait(generators.execute(connection.pgconn))
    for result in results:  # rows come before the commit, and that may fail
        if result.status not in _WELL:
            raise errors.error_from_result(result)
    transformer = Transformer(connection)
    transformer.set_pgresult(results[0])
    return transformer.load_rows(0, results[0].ntuples, tuple)
