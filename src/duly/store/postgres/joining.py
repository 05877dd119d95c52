"""Jobs stored in the caller's own transaction, on the caller's own connection.

psycopg, SQLAlchemy and Django connections are known by what they are, not imported. Nothing is done on a connection
that could fail there, before it is clear that it leads to this store's database: a statement that fails would take
the caller's transaction with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg

from duly.errors import ConfigError
from duly.job import Enqueued, Job
from duly.store.contract import WAKE_AHEAD
from duly.store.postgres import connecting, producing
from duly.store.postgres.database import Database
from duly.store.postgres.sql import Session
from duly.store.sql import storing

_KNOWN = "a psycopg 3 connection, a SQLAlchemy Connection or Session on it, or a Django connection or its alias"


class Joiner:
    """Stores jobs through connections of others."""

    def __init__(self, server: Database) -> None:
        self._server = server
        self._identity: str | None = None  # of our store
        self._checked: WeakKeyDictionary[psycopg.Connection[Any], bool] = WeakKeyDictionary()

    def enqueue(self, connection: object, jobs: Sequence[Job], now: int) -> list[Enqueued]:
        """Raises ConfigError for a connection that is of another kind or leads elsewhere; StoreError."""
        theirs = psycopg_connection(connection)
        session = Session(theirs, self._server.statements)
        try:
            self._check(theirs, session)
            if any(job.key is not None for job in jobs):
                for name in self._server.lock_names(storing.locks(jobs)):
                    session.run("lock", (name,))
                answers = storing.enqueue(session, jobs, (), now)
            else:
                ((_, stored),) = session.run("enqueue", producing.values(None, jobs)).fetchall()
                answers = producing.answers(jobs, stored)
            if any(job.due <= now + WAKE_AHEAD for job in jobs):
                session.run("notify", (self._server.statements.channel("work"),))  # it goes with the commit
            return answers
        except psycopg.Error as error:
            raise connecting.explain(error, self._server.place.name, self._server.place.timeout) from error

    def _check(self, theirs: psycopg.Connection[Any], session: Session) -> None:
        if theirs in self._checked:
            return
        if self._identity is None:
            ((self._identity,),) = self._server.call("identity", ())
        (there,) = session.run("has_table", (self._server.place.schema,)).fetchall()[0]
        if not there or session.run("identity").fetchall() != [(self._identity,)]:
            raise ConfigError(
                f"the connection leads to another database than the store {self._server.place.name}, schema "
                f"{self._server.place.schema!r}: a transaction can only store jobs in its own database"
            )
        self._checked[theirs] = True


def psycopg_connection(given: object) -> psycopg.Connection[Any]:
    """The psycopg connection behind what a caller has. Raises ConfigError."""
    found = _underneath(given)
    if isinstance(found, psycopg.Connection):
        return found
    if isinstance(found, psycopg.AsyncConnection):
        raise ConfigError(f"connection {given!r} is asynchronous; a transaction is joined on a synchronous one")
    raise ConfigError(f"connection {given!r} ({type(given).__name__}) cannot be joined; it takes {_KNOWN}")


def _underneath(given: object) -> object:
    django = sys.modules.get("django.db")
    if django is not None:
        if isinstance(given, str):
            given = django.connections[given]
        from django.db.backends.base.base import BaseDatabaseWrapper  # which django.db does not import by itself

        if isinstance(given, BaseDatabaseWrapper) or given is django.connection:
            given.ensure_connection()
            return given.connection
    alchemy = sys.modules.get("sqlalchemy.orm")
    if alchemy is not None and isinstance(given, alchemy.Session | alchemy.scoped_session):
        given = given.connection()
    engine = sys.modules.get("sqlalchemy.engine")
    if engine is not None and isinstance(given, engine.Connection):
        if not given.in_transaction():
            given.begin()  # as its own execute() would; otherwise its commit() would do nothing
        return given.connection.dbapi_connection
    return given
