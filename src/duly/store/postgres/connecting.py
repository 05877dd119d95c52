"""A connection to the server, and what its errors mean."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import PQGen

from duly.errors import StoreCorrupt, StoreError, StoreUnavailable

_INTERVAL = 0.1  # seconds; psycopg looks so often whether a signal came

_WRITE_OUT = "SET backend_flush_after = '512kB'"
"""Table pages that a session of ours writes go to the disk soon. By default the kernel keeps them for half a minute
and then writes all of them at once, and a commit of that moment waits behind it: after a million jobs, for 30 ms."""

NO_TABLE, NO_SCHEMA, NO_FUNCTION = "42P01", "3F000", "42883"
MISSING = {NO_TABLE, NO_SCHEMA, NO_FUNCTION}
_CONFLICTS = {"40001", "40P01", "23505"}  # serialization, deadlock, a key that was taken at the same moment
_PASSING = {"57P01", "57P02", "57P03", "25006", "53300"}  # stopped, crashed, starting, read-only, full
_HELP = {
    "25006": "this server takes no writes: it is a standby; name the primary, or all hosts, in the URL",
    "28000": "check the user and pg_hba.conf",
    "28P01": "check user and password",
    "3D000": "create the database first (createdb)",
    "42501": "this role may not do that; docs/postgres.md has the grants a role needs",
    "53100": "the server's disk is full; nothing was written. Free some space, then repeat",
    "53200": "the server is out of memory; nothing was written",
    "53300": "the server takes no more connections: raise max_connections, or put a pool before it",
    "55P03": "a lock did not become free in time (lock_timeout); find who holds it in pg_stat_activity",
    "57014": "the server ended the statement (statement_timeout, or an administrator); nothing was written",
    "57P03": "the server is starting or stopping",
}


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for an answer no longer than ``patience`` seconds; None: as long as it takes."""

    patience: float | None = None
    process = 0  # the process that made it
    keeps_statements = False  # it leads to the server itself, where they may be prepared

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: set[str] = set()  # the names of those that are (quick.py)

    def wait(self, gen: PQGen[Any], interval: float = _INTERVAL, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, self.patience if timeout is None else timeout)

    def __del__(self, *_: object) -> None:
        """Let go without psycopg's warning: whoever drops a store need not close it. A child that was forked leaves
        its parent's session alone."""
        if os.getpid() == self.process:
            self.pgconn.finish()

    @property
    def usable(self) -> bool:
        """Whether it can be used again: open, and not in the middle of a statement."""
        return not self.closed and self.pgconn.transaction_status in (
            pq.TransactionStatus.IDLE,
            pq.TransactionStatus.INTRANS,
            pq.TransactionStatus.INERROR,
        )


def connect(conninfo: str) -> tuple[Connection, bool]:
    """A connection in autocommit mode, and whether it leads to the server itself and not to a pool.

    A pool (PgBouncer) tells its clients a process id of its own making. Behind one nothing may be left in a session:
    neither prepared statements nor LISTEN. Raises psycopg.Error.
    """
    try:
        connection = Connection.connect(conninfo, autocommit=True, prepare_threshold=None)
    except psycopg.ProgrammingError as error:
        meanwhile = error.__context__  # psycopg takes what a signal handler raises there for a bad connect_timeout
        if meanwhile is None or isinstance(meanwhile, psycopg.Error | ValueError | TypeError):
            raise
        raise meanwhile from None
    connection.process = os.getpid()
    try:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        direct = row is not None and row[0] == connection.info.backend_pid
        if direct:
            connection.execute(_WRITE_OUT)
    except BaseException:
        connection.close()
        raise
    if direct:
        connection.keeps_statements = True
        connection.prepare_threshold = 2
    return connection, direct


def is_conflict(error: psycopg.Error) -> bool:
    """Whether the transaction failed because of another one, and may succeed when it is made again."""
    return error.sqlstate in _CONFLICTS


def is_passing(error: psycopg.Error) -> bool:
    """Whether the server went away or refuses for now: it is worth to try again, with a new connection."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state in _PASSING or state.startswith("08")


def explain(error: psycopg.Error, name: str, timeout: float) -> StoreError:
    """The error as duly's users know it. ``name``: the store's, for people."""
    state = error.sqlstate or _state_in(str(error))
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "wait timeout" in said:
        said = f"no answer for {timeout:g} s"
    where = f"store {name}: {said}"
    if state is not None and state.startswith("XX"):
        return StoreCorrupt(f"{where}; the database is damaged: look into the server's log")
    if state in _HELP:
        return StoreUnavailable(f"{where}; {_HELP[state]}")
    if isinstance(error, psycopg.OperationalError) or is_passing(error):
        return StoreUnavailable(where)
    return StoreError(where)


def _state_in(message: str) -> str | None:
    """What failed at connecting has no SQLSTATE: libpq gives the text alone."""
    known = {
        "role ": "28000",
        "does not exist": "3D000",
        "password authentication failed": "28P01",
        "no password supplied": "28P01",
        "pg_hba.conf": "28000",
        "too many clients": "53300",
        "remaining connection slots": "53300",
        "the database system is": "57P03",
        "session is read-only": "25006",
    }
    return next((state for text, state in known.items() if text in message), None)
