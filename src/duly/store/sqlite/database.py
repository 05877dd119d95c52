"""One SQLite file, opened the way the store needs it: connections, transactions, errors.

What can go wrong and what happens then: another process holds the write lock (we wait in small steps, up to
the timeout); the process forks (the child opens a connection of its own and never touches its parent's); the
file is removed or replaced while open (writes are refused, for they would go nowhere); the disk fills
(the transaction is rolled back; what was committed stays).
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from duly.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from duly.forks import living
from duly.store.sqlite.sql import Connection

T = TypeVar("T")

APPLICATION_ID = 0x64756C79  # "duly", in the header of every store file

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FIRST_WAIT = 0.00005  # seconds before the first retry of a lock; doubled up to _LONGEST_WAIT
_LONGEST_WAIT = 0.001  # whoever commits again and again leaves a gap of 0.2 ms; longer sleeps miss it too often
_CHECKPOINT_PAGES = 1000  # 4 MB of log, then it is written from its beginning again; one that grows syncs slower

_inherited: list[Connection] = []
"""Connections of a parent process. Closing one here would disturb its locks, so they are kept for ever."""


class Database:
    """A file (or a database in memory) and this process's connection to it.

    1. The first use opens it, creates the schema in an empty file, if it may, and brings an older one up to date.
    2. ``read`` and ``write`` run a function in a transaction; one thread at a time, and never one inside another.
    3. After a fork the child starts again at 1.
    """

    def __init__(
        self, path: str, schema: Sequence[str], synchronous: str, timeout: float, create: bool = True
    ) -> None:
        """``schema``: the statements that make each version out of the one before, beginning with an empty file."""
        self.path = path
        self.memory = path == ":memory:"
        self._schema = schema
        self._may_create = create or self.memory
        self._synchronous = synchronous
        self._mode = ""  # what the connection's synchronous is set to
        self._timeout = timeout
        self._lock = threading.RLock()  # lets a signal handler in, to be told that it may not be here
        self._inside = False
        self.held_for_fork = False
        self._connection: Connection | None = None
        self._log: int | None = None  # a descriptor of the write-ahead log, to sync it by
        self._file: tuple[int, int] | None = None  # device and inode of what is open
        self._pid = os.getpid()
        _open_here.add(self)

    # -- transactions ----------------------------------------------------------------------------
    #
    # A signal handler may raise (a soft time limit, Ctrl-C) wherever Python code is entered or a call returns. So
    # transactions are functions around functions and not context managers written in Python: one of those, when it
    # is interrupted at the door of its __exit__, leaves the lock held for ever. ``with`` a lock cannot be cut in two.

    def write(self, work: Callable[[Connection], T], durable: bool = True, locks: Sequence[str] = ()) -> T:
        """Run ``work`` in a transaction that may write: all of it or nothing. Holds the write lock from the start,
        so what it reads is what it changes.

        ``durable=False`` is for what may be undone by a loss of power (and by nothing less): the commit does not
        wait for the disk. The next durable one takes it along, since the log is written in order. ``locks`` is for
        databases with several writers.
        """
        with self._lock:
            if self._inside:
                raise self._entered_twice()
            try:
                self._inside = True
                connection = self._open()
                self._check_file()
                mode = self._synchronous if durable else "NORMAL"
                if mode != self._mode:
                    self._mode = ""  # unknown, should a signal come in between
                    connection.execute(f"PRAGMA synchronous={mode}")
                    self._mode = mode
                try:
                    self._begin(connection, "BEGIN IMMEDIATE")
                    answer = work(connection)
                    connection.execute("COMMIT")
                    return answer
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._explain(error) from error
            finally:
                self._inside = False

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``: one or more reads of one committed state, the latest.

        They take no lock and wait for nobody, except while a process that opens or closes the file has it alone.
        """
        with self._lock:
            if self._inside:
                raise self._entered_twice()
            try:
                self._inside = True
                connection = self._open()
                try:
                    self._begin(connection, "BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1")
                    return work(connection)
                finally:
                    if connection.in_transaction:
                        connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._explain(error) from error
            finally:
                self._inside = False

    def peek(self, look: Callable[[Connection], T]) -> T:
        """``look`` without a transaction around it: for a glance that need not see one state. It may be repeated."""
        with self._lock:
            if self._inside:
                raise self._entered_twice()
            try:
                self._inside = True
                connection = self._open()
                return self._patiently(lambda: look(connection))
            except sqlite3.Error as error:
                raise self._explain(error) from error
            finally:
                self._inside = False

    def _entered_twice(self) -> RuntimeError:
        """No StoreError: it says nothing about the call that was interrupted, which may go on."""
        return RuntimeError(
            f"store {self.path}: called by a signal handler (or a finalizer) that interrupted another call of the "
            "store in the same thread; nothing was done. Set a flag in the handler, and call where the flag is read"
        )

    def sync(self) -> None:
        """Wait until everything committed so far is on the disk.

        A commit with ``durable=False`` and then this is as good as a durable one, and the wait holds no lock: others
        write, and see what was written, meanwhile. Not where the user chose synchronous=NORMAL.
        """
        if self.memory or self._synchronous == "NORMAL":
            return
        try:
            log = self.peek(lambda _: self._dup_log())
            try:
                os.fdatasync(log)
            finally:
                os.close(log)
        except OSError as error:
            raise StoreUnavailable(
                f"store {self.path}: what was written may not have reached the disk ({error.strerror or error}); "
                "repeat the call"
            ) from error

    def _dup_log(self) -> int:
        if self._log is None:  # it lives as long as the connection: the last one to close deletes it
            self._log = os.open(self.path + "-wal", os.O_RDONLY | os.O_CLOEXEC)
        return os.dup(self._log)

    def close(self) -> None:
        with self._lock:
            self._leave_parent()
            self._drop_log()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _drop_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            os.close(log)

    def file_mode(self) -> int:
        """The permission bits of the file; only the owner's while there is none."""
        try:
            return stat.S_IMODE(os.stat(self.path).st_mode)
        except OSError:
            return 0o600

    def checkpoint(self, log_bytes: int) -> None:
        """Copy the log into the file if it is larger than ``log_bytes``, without waiting for anybody."""
        if self.memory:
            return
        with contextlib.suppress(OSError):
            if os.stat(self.path + "-wal").st_size > log_bytes:
                # no transaction: inside one, SQLite refuses to checkpoint
                self.peek(lambda db: db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> Connection:
        self._leave_parent()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _leave_parent(self) -> None:
        if self._pid != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
                self._connection = None
            self._drop_log()
            self._pid = os.getpid()

    def _begin(self, connection: Connection, *statements: str) -> None:
        """Begin, patiently. A plain BEGIN does nothing yet: what fixes the state that is seen is a first read."""

        def begin() -> None:
            if connection.in_transaction:  # an earlier try came so far
                connection.execute("ROLLBACK")
            for statement in statements:
                connection.execute(statement).fetchone()

        self._patiently(begin)

    def _connect(self) -> Connection:
        self._check_place()
        connection = sqlite3.connect(
            self.path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=Connection,
        )
        try:
            self._patiently(lambda: self._prepare(connection))
        except BaseException:
            connection.close()
            raise
        if not self.memory:
            self._file = _identity(self.path)
        return connection

    def _check_place(self) -> None:
        if self.memory:
            return
        folder = Path(self.path).parent
        if not folder.is_dir():
            raise StoreUnavailable(
                f"store {self.path}: the folder {folder} does not exist; create it or choose another place "
                "(store=, DULY_STORE or --store)"
            )
        if Path(self.path).is_dir():
            raise StoreUnavailable(f"store {self.path}: is a folder; name a file in it")
        if not self._may_create and not Path(self.path).exists():
            raise self._nothing_here()

    def _nothing_here(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"there is no store at {self.path}: check the name and the folder; a store is made by the first call of "
            "a task and by the first worker"
        )

    def _prepare(self, connection: Connection) -> None:
        """Settings, then the schema. Tolerates being repeated, and others doing the same at the same time."""
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        self._mode = self._synchronous
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        version = self._version(connection)
        if version == 0 and not self._may_create:
            raise self._nothing_here()
        self._keep_log(connection)
        if version < len(self._schema):
            self._migrate(connection)

    def _keep_log(self, connection: Connection) -> None:
        """Have a write-ahead log. The file remembers that it has one, but a copy made with VACUUM INTO does not."""
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal" and not self.memory:
            raise StoreUnavailable(
                f"store {self.path}: its file system lets no two processes share a SQLite file (it has no WAL); "
                "choose a place on a local disk"
            )

    def _migrate(self, connection: Connection) -> None:
        """From no schema, or an older one, to today's, a version at a time, all of it or nothing."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in self._schema[self._version(connection) :]:
                for statement in step.split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={len(self._schema)}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _version(self, connection: Connection) -> int:
        """The schema's version; 0 for an empty file. Refuses what is not ours or newer than us."""
        # In this order: whoever sees the tables that another process has just made then sees whose they are too.
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if tables and application != APPLICATION_ID:
            raise StoreCorrupt(
                f"store {self.path}: this SQLite file belongs to another program (it has {tables} tables or indexes "
                "that duly did not make); choose a file of its own for duly"
            )
        if version > len(self._schema):
            raise StoreTooNew(
                f"store {self.path}: written by a newer duly (schema {version}, this one knows {len(self._schema)}); "
                "upgrade duly here, or use another store"
            )
        return version

    # -- waiting and failing ---------------------------------------------------------------------

    def _check_file(self) -> None:
        """A file that was removed while open still takes writes, and loses them when closed."""
        if self.memory or _identity(self.path) == self._file:
            return
        connection, self._connection = self._connection, None
        self._drop_log()
        if connection is not None:
            connection.close()
        raise StoreUnavailable(
            f"store {self.path}: the file was removed or replaced while it was open; nothing was written. "
            "Put it back, or repeat the call to start with what is there now"
        )

    def _patiently(self, step: Callable[[], T]) -> T:
        """Run ``step``, again while another connection holds the lock it needs.

        SQLite's own busy handler sleeps in steps of whole milliseconds; a commit takes a tenth of one.
        """
        wait = _FIRST_WAIT
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _explain(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        where = f"store {self.path}: "
        if code in _DAMAGED:
            return StoreCorrupt(
                f"{where}the file is damaged or is not SQLite ({error}); keep a copy, then try "
                f"`sqlite3 {self.path} .recover`, or choose another place"
            )
        if code in _BUSY:
            return StoreUnavailable(
                f"{where}locked by another process for more than {self._timeout:g} s; find it with "
                f"`fuser {self.path}` (a stopped process or an open transaction in a database shell)"
            )
        if code == sqlite3.SQLITE_FULL:
            return StoreUnavailable(f"{where}the disk is full; nothing was written. Free some space, then repeat")
        if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
            return StoreUnavailable(
                f"{where}cannot be opened for writing ({error}); this process needs to write the file and its folder"
            )
        if code == sqlite3.SQLITE_IOERR:
            return StoreUnavailable(f"{where}the disk did not obey ({error}); nothing was written")
        return StoreError(f"{where}{error}")


_open_here: weakref.WeakSet[Database] = weakref.WeakSet()
_FORK_PATIENCE = 1.0  # seconds; who holds the lock for longer waits for another process, outside of SQLite


def _before_fork() -> None:
    """Fork between calls: in the child nobody would ever release a lock, ours or SQLite's, that a thread of the
    parent held."""
    for database in sorted(living(_open_here), key=id):
        database.held_for_fork = database._lock.acquire(timeout=_FORK_PATIENCE)


def _after_fork_in_parent() -> None:
    for database in living(_open_here):
        if database.held_for_fork:
            database.held_for_fork = False
            database._lock.release()


def _after_fork_in_child() -> None:
    for database in living(_open_here):
        database.held_for_fork = database._inside = False
        database._lock = threading.RLock()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
