"""The server as the store uses it: one connection a process, transactions, trying again, the schema's version.

What can go wrong and what happens then: the connection breaks, or the server restarts (a new connection, with growing
pauses, up to the URL's ``timeout``); two transactions are in each other's way (made again); the answer to a commit is
lost (the caller hears it, unless the call may be repeated); the process forks (the child opens a connection of its
own and never touches its parent's); a signal handler raises in the middle of a statement (the connection is given
up).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.sql import Literal

from duly.clock import Clock
from duly.errors import DulyError, StoreError, StoreTooNew, StoreUnavailable
from duly.store.guard import Guard
from duly.store.postgres import connecting, quick
from duly.store.postgres.clock import ServerClock
from duly.store.postgres.connecting import MISSING, Connection
from duly.store.postgres.sql import VERSION, Session, Statements
from duly.store.postgres.url import Place

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.01, 0.5  # seconds between two tries to reach the server
_CONFLICTS = 8  # how often a transaction is made again because of another one

_inherited: list[Connection] = []
"""Connections of a parent process. Closing one here would end the parent's session, so they are kept for ever."""


class Database:
    """A schema on a server, and this process's connection to it.

    1. The first use connects, and makes the schema if there is none, if it may.
    2. ``write``, ``read``, ``peek`` and ``call`` use the connection; one thread at a time.
    3. After a fork the child starts again at 1.
    """

    def __init__(self, place: Place, create: bool, host: Clock) -> None:
        self.place = place
        self.statements = Statements(place.schema)
        self.clock = ServerClock(host, self._ask)
        self._may_create = create
        self._guard = Guard(place.name)
        self._connection: Connection | None = None
        self._direct = False  # no pool in between
        self._reached = False  # the server answered before: when it does not now, it may come back
        self._committing = False  # the outcome of this transaction is not known until the answer comes
        self._pid = os.getpid()

    # -- transactions ----------------------------------------------------------------------------

    def write(self, work: Callable[[Session], T], durable: bool = True, locks: Sequence[str] = ()) -> T:
        """See ``store.sql.db.Database``. What was committed is durable, as the server is set."""

        def transaction(connection: Connection) -> T:
            self._begin(connection, locks)
            answer = work(Session(connection, self.statements))
            self._committing = True
            connection.execute("COMMIT")
            return answer

        return self._try(transaction, bounded=False)

    def read(self, look: Callable[[Session], T]) -> T:
        def transaction(connection: Connection) -> T:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            answer = look(Session(connection, self.statements))
            connection.execute("COMMIT")
            return answer

        self.clock.freshen()
        return self._try(transaction, bounded=False)

    def peek(self, look: Callable[[Session], T]) -> T:
        self.clock.freshen()
        return self._try(lambda connection: look(Session(connection, self.statements)), bounded=False)

    def call(self, name: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run one statement, a transaction of its own that may be repeated, and waits for its answer no longer than
        the URL's ``timeout``."""
        return self._try(lambda connection: self._rows(connection, name, values), bounded=True)

    def call_once(self, name: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """The same, for one that may not: raises StoreUnavailable if the answer does not come."""
        return self._try(lambda connection: self._rows(connection, name, values), bounded=True, again=False)

    def call_durably(self, name: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """The same as ``call``, for one whose row ends with whether it did not wait for the disk, or that gives none
        if it was done before, perhaps so: then that is waited for here. Both are repeated together."""

        def step(connection: Connection) -> list[tuple[Any, ...]]:
            rows = self._rows(connection, name, values)
            if not rows or rows[0][-1]:
                self._rows(connection, "flush", ())
            return rows

        return self._try(step, bounded=True)

    def sync(self) -> None:
        """Nothing to wait for: a commit is durable when it is acknowledged."""

    def close(self) -> None:
        self._guard.pass_through(self._close)

    def _close(self) -> None:
        self._leave_parent()
        self._drop()

    def migrate(self) -> list[int]:
        """See ``contract.Store``. On a connection of its own: ours would refuse an older schema."""
        connection, _ = self._connected(self.place.conninfo)
        try:
            return migrate(connection, self.statements)
        except psycopg.Error as error:
            raise self._explain(error) from error
        finally:
            connection.close()

    def vacuum(self) -> None:
        """Clear the table of jobs of what is dead, unless somebody is at it. On a connection of its own, since it may
        take seconds."""
        connection, _ = self._connected(self.place.conninfo)
        try:
            connection.execute(self.statements.ready("vacuum"))
        except psycopg.Error as error:
            raise self._explain(error) from error
        finally:
            connection.close()

    def connect_apart(self) -> tuple[Connection, bool]:
        """Another connection, for whoever listens; and whether it leads to the server itself. Raises StoreError."""
        return self._connected(self.place.listen or self.place.conninfo)

    def _connected(self, conninfo: str) -> tuple[Connection, bool]:
        try:
            return connecting.connect(conninfo)
        except psycopg.Error as error:
            raise self._explain(error) from error

    def lock_names(self, locks: Sequence[str]) -> list[str]:
        """What the server calls these locks, in the order in which everybody takes them."""
        return sorted(f"{self.place.schema}/{lock}" for lock in locks)

    @property
    def is_direct(self) -> bool:
        """Whether no pool stands in between; after a first use."""
        return self._direct

    # -- steps -----------------------------------------------------------------------------------

    def _rows(self, connection: Connection, name: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return quick.rows(connection, name, self.statements.numbered(name), values)

    def _begin(self, connection: Connection, locks: Sequence[str]) -> None:
        """One round trip: begin, lock, and learn what time it is."""
        names = self.lock_names(locks)
        steps = ["BEGIN", *(f"SELECT pg_advisory_xact_lock(hashtextextended({_quoted(n)}, 0))" for n in names)]
        script = "; ".join([*steps, self.statements.text("clock")])
        cursor = connection.execute(script.encode(), prepare=False)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        self.clock.told(row[0])

    def _ask(self) -> int:
        (row,) = self.call("clock", ())
        return int(row[0])

    def _try(self, step: Callable[[Connection], T], bounded: bool, again: bool = True) -> T:
        """Run ``step`` until it succeeds, fails for good, or time is up. ``bounded``: each answer has to come within
        the URL's ``timeout``; ``again``: it may be run again after the connection broke."""
        return self._guard.pass_through(lambda: self._keep_trying(step, bounded, again))

    def _keep_trying(self, step: Callable[[Connection], T], bounded: bool, again: bool) -> T:
        end = time.monotonic() + self.place.timeout
        wait, conflicts = _FIRST_WAIT, 0
        while True:
            try:
                self._committing = False
                connection = self._open()
                connection.patience = self.place.timeout if bounded else None
                return step(connection)
            except psycopg.Error as error:
                unsure = self._committing and not self._is_usable()
                if connecting.is_passing(error):
                    self._drop()
                self._clean_up()
                if connecting.is_conflict(error) and conflicts < _CONFLICTS:
                    conflicts += 1
                elif (
                    unsure
                    or not connecting.is_passing(error)
                    or not (again and self._reached)
                    or time.monotonic() + wait > end
                ):
                    raise self._explain(error, unsure) from error
            except DulyError:  # what ``step`` itself has to say
                self._clean_up()
                raise
            except (
                BaseException
            ):  # a signal handler, at any place: what the connection is in the middle of is unknown
                self._drop()
                raise
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _clean_up(self) -> None:
        """After a failure: an open transaction is undone; a connection in the middle of something is given up."""
        connection = self._connection
        if connection is None:
            return
        try:
            if not connection.usable:
                self._drop()
            elif connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                connection.patience = self.place.timeout
                connection.execute("ROLLBACK")
        except psycopg.Error:
            self._drop()

    def _is_usable(self) -> bool:
        return self._connection is not None and self._connection.usable

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _explain(self, error: psycopg.Error, unsure: bool = False) -> StoreError:
        if error.sqlstate in MISSING:
            self._drop()  # the schema was dropped, or is an older one: look again
        explained = connecting.explain(error, self.place.name, self.place.timeout)
        if unsure:
            return StoreUnavailable(f"{explained}; it may have been written or not: repeat the call")
        return explained

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> Connection:
        self._leave_parent()
        if self._connection is None:
            connection, self._direct = connecting.connect(self.place.conninfo)
            try:
                self._check_schema(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._reached = connection, True
        return self._connection

    def _leave_parent(self) -> None:
        if self._pid != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
                self._connection = None
            self._pid = os.getpid()

    def _check_schema(self, connection: Connection) -> None:
        """Refuses a schema that is too new or too old; makes one where there is none, if it may."""
        found = version(connection, self.statements)
        if found is None:
            if not self._may_create:
                raise StoreUnavailable(
                    f"there is no store in schema {self.place.schema!r} of {self.place.name}: check the URL; a store "
                    "is made by `duly migrate`, or by the first call of a task or the first worker"
                )
            migrate(connection, self.statements)
            found = (VERSION, VERSION)
        newest, oldest = found
        if oldest > VERSION:
            raise StoreTooNew(
                f"store {self.place.name}: its schema (version {newest}) has no room for this release, which knows "
                f"{VERSION}; upgrade duly here, or use another store"
            )
        if newest < VERSION:
            raise StoreError(
                f"store {self.place.name}: its schema has version {newest}, this release needs {VERSION}: run "
                "`duly migrate` (older releases go on working beside)"
            )


def version(connection: Connection, statements: Statements) -> tuple[int, int] | None:
    """The schema's version, and the oldest that may still be known here; None where there is no schema."""
    row = connection.execute(statements.ready("has_table"), (statements.schema,)).fetchone()
    if row is None or not row[0]:
        return None
    found = connection.execute(statements.ready("schema_version")).fetchone()
    return None if found is None else (found[0], found[1])


def migrate(connection: Connection, statements: Statements) -> list[int]:
    """Bring the schema to this release's version, in one transaction; gives the versions it went through.

    Two at once happen one after the other, and the second finds nothing to do.
    """
    done: list[int] = []
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{statements.schema}/migrate",))
        before = version(connection, statements)
        if connection.execute(statements.ready("has_schema"), (statements.schema,)).fetchone() == (False,):
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(statements.schema)))
        for step in range((before[0] if before else 0) + 1, VERSION + 1):
            connection.execute(statements.migration(step))
            done.append(step)
    return done


def _quoted(text: str) -> str:
    """A string as SQL has it, for statements that are sent together and so take no parameters."""
    return Literal(text).as_string(None)
