"""What the shared part asks of a database: statements by name, each written in the database's own SQL.

A statement of one name takes the same parameters in the same order in every store, and gives the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Row = tuple[Any, ...]


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Db(Protocol):
    """An open transaction, or a glance outside of one."""

    def run(self, name: str, values: Sequence[object] | Mapping[str, object] = ()) -> Cursor:
        """Run a statement of ``statements.sql``."""
        ...

    def run_many(self, name: str, rows: Iterable[Sequence[object]]) -> Cursor:
        """Run it for each of ``rows``; ``rowcount`` is their sum."""
        ...

    def text(self, name: str) -> str:
        """The statement itself, to be made longer for ``query``."""
        ...

    def query(self, text: str, values: Mapping[str, object] | None = None) -> Cursor:
        """Run SQL that was put together: only what both databases understand, parameters as ``:name``."""
        ...

    def array(self, values: Iterable[object]) -> object:
        """A list as one parameter."""
        ...

    def one_of(self, column: str, parameter: str) -> str:
        """The condition that a text column is in the ``array`` of that name."""
        ...

    def like(self, column: str, parameter: str) -> str:
        """The condition that a column matches the ``pattern`` of that name."""
        ...

    def pattern(self, glob: str) -> str:
        """A glob with * and ? as ``like`` takes it."""
        ...


class Database(Protocol):
    """Where transactions are made."""

    def write(self, work: Callable[[Any], T], durable: bool = True, locks: Sequence[str] = ()) -> T:
        """Run ``work`` in a transaction that may write: all of it or nothing.

        ``durable=False``: a loss of power may undo it until ``sync`` was called. ``locks`` are names; of those who
        name the same one, one writes at a time, as all do in a database that has a single writer.
        """
        ...

    def read(self, look: Callable[[Any], T]) -> T:
        """Run ``look``: one or more reads of one committed state, the latest."""
        ...

    def peek(self, look: Callable[[Any], T]) -> T:
        """``look`` without a transaction around it: for a glance that need not see one state. It may be repeated."""
        ...

    def sync(self) -> None:
        """Wait until nothing that was committed so far can be lost."""
        ...
