"""A statement that is sent now and whose answer is asked for later: the server works while we do something else.

psycopg's own pipeline asks for the answer when it ends a transaction, so this goes one layer below, to libpq.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from duly.store.postgres.connecting import Connection

_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


class Posted:
    """One statement under way; nothing else may use its connection until it was received.

    1. ``send``: the server has it, and begins.
    2. ``receive``: waits for the answer.
    3. ``rows`` or ``error``; neither, if what waited was interrupted.
    """

    def __init__(self, connection: Connection, text: bytes, values: Sequence[object]) -> None:
        """``text`` with its parameters as libpq has them ($1 ...)."""
        self._connection = connection
        self._libpq = connection.pgconn
        self._text = text
        self._transformer = Transformer(connection)
        formats = [PyFormat.BINARY] * len(values)
        self._values: Sequence[Buffer | None] = self._transformer.dump_sequence(values, formats)
        self.rows: list[tuple[Any, ...]] | None = None
        self.error: psycopg.Error | None = None

    def send(self, patience: float) -> None:
        """Within ``patience`` seconds. Sets ``error`` if it cannot be sent whole."""
        kinds, formats = self._transformer.types, self._transformer.formats
        try:
            self._libpq.send_query_params(self._text, self._values, kinds, formats, pq.Format.BINARY)
            end = time.monotonic() + patience
            while self._libpq.flush():
                self._wait(end, writing=True)
                self._libpq.consume_input()
        except psycopg.Error as error:
            self.error = error
        self._values = ()

    def receive(self, patience: float) -> None:
        """Wait for the answer, ``patience`` seconds at most."""
        if self.error is not None:
            return
        try:
            end = time.monotonic() + patience
            results = []
            while (result := self._next(end)) is not None:
                results.append(result)
            self._read(results)
        except psycopg.Error as error:
            self.error = error

    def _next(self, end: float) -> pq.abc.PGresult | None:
        while self._libpq.is_busy():
            self._wait(end, writing=False)
            self._libpq.consume_input()
        return self._libpq.get_result()

    def _read(self, results: list[pq.abc.PGresult]) -> None:
        for result in results:
            if result.status in _FAILED:
                raise error_from_result(result)
        (result,) = results
        self._transformer.set_pgresult(result, format=pq.Format.BINARY)
        self.rows = self._transformer.load_rows(0, result.ntuples, tuple)

    def _wait(self, end: float, writing: bool) -> None:
        """Until the server can be read from, or written to. Raises OperationalError at ``end``."""
        poll = select.poll()
        poll.register(self._libpq.socket, select.POLLIN | (select.POLLOUT if writing else 0))
        if not poll.poll(max(end - time.monotonic(), 0) * 1000):
            raise psycopg.OperationalError("wait timeout")
