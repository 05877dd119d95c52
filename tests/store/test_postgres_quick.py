"""The statements of the hot path reach the server as they should, prepared or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import errors
from psycopg.types.numeric import Int2, Int4, Int8
from tests.servers.postgres import PostgresServer

from duly.store.postgres import connecting, quick
from duly.store.postgres.arrays import Array, BigInts, Bytes, Ints, Texts
from duly.store.postgres.connecting import Connection


@pytest.fixture(params=["prepared", "not prepared"])
def connection(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Connection]:
    connection, direct = connecting.connect(postgres.conninfo())
    assert direct
    connection.keeps_statements = request.param == "prepared"
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", Int8(-(2**62))),
        ("bigint", 7),
        ("integer", Int4(-5)),
        ("smallint", Int2(9)),
        ("boolean", True),
        ("boolean", False),
        ("text", "Zürich, 12 €"),
        ("bytea", b"\x00\xff"),
        ("bigint[]", BigInts([1, None, -(2**62)])),
        ("integer[]", Ints([1, -2])),
        ("text[]", Texts(["", None, "ü"])),
        ("bytea[]", Bytes([b"\x00", None, b""])),
        ("text[]", Texts()),
    ],
)
def test_values_arrive_and_come_back(connection: Connection, kind: str, value: object) -> None:
    text = f"SELECT $1::{kind}, $2::{kind}".encode()
    for _ in range(2):
        assert quick.rows(connection, "echo", text, [value, None]) == [(value, None)]


@pytest.mark.parametrize("value", [BigInts([1, None]), Ints([1]), Texts(["ü"]), Bytes([b"\x00", None])])
def test_cursors_take_the_same_lists(connection: Connection, value: Array) -> None:
    assert connection.execute("SELECT %s", [value]).fetchone() == (list(value),)


def test_a_statement_that_the_session_has_forgotten_is_prepared_again(connection: Connection) -> None:
    for _ in range(2):
        assert quick.rows(connection, "one", b"SELECT 1", []) == [(1,)]
        connection.execute("DEALLOCATE ALL")


def test_an_error_leaves_the_connection_as_it_was(connection: Connection) -> None:
    for _ in range(2):
        with pytest.raises(errors.DivisionByZero):
            quick.rows(connection, "wrong", b"SELECT 1 / $1::bigint", [0])
        assert quick.rows(connection, "right", b"SELECT 1 / $1::bigint", [1]) == [(1,)]


def test_a_commit_that_fails_when_the_rows_have_come_already_is_an_error(connection: Connection) -> None:
    connection.execute("CREATE TEMP TABLE once (n bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    insert = b"INSERT INTO once VALUES ($1) RETURNING n"
    assert quick.rows(connection, "insert", insert, [1]) == [(1,)]
    with pytest.raises(errors.UniqueViolation):
        quick.rows(connection, "insert", insert, [1])
