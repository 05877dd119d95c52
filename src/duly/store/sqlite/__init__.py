"""The embedded store: one SQLite file.

``statements.sql`` has the tables and every statement; ``database.py`` the connection, transactions and errors. What
it does with them is in ``store.sql``.
"""

from __future__ import annotations

from pathlib import Path

from duly.clock import SYSTEM, Clock
from duly.messages import Finding
from duly.store.contract import Channel, Listener
from duly.store.sql.store import SqlStore
from duly.store.sqlite import examining
from duly.store.sqlite.database import Database
from duly.store.sqlite.sql import SCHEMA
from duly.store.sqlite.url import DURABILITY, parse
from duly.store.wake import Hub, LocalHub

_LOG_BYTES = 4 << 20  # `maintain` checkpoints a write-ahead log larger than this


class SqliteStore(SqlStore):
    """A store in one file, for any number of processes of one host (see ``contract.Store``).

    1. Made from a URL; nothing is touched yet.
    2. The first call opens the file, and creates it if it is not there (unless ``create`` is False).
    3. ``close`` lets go; a later call opens again.
    """

    capabilities = frozenset[str]()

    def __init__(self, url: str, clock: Clock = SYSTEM, create: bool = True) -> None:
        path, synchronous, timeout = parse(url)
        self.path = path
        self.durability = DURABILITY[synchronous] if path != ":memory:" else "nothing survives: it is in memory"
        self._clock = clock
        self._file = Database(path, SCHEMA, synchronous, timeout, create)
        self._hub: Hub | LocalHub | None = None
        super().__init__(url, self._file)

    def now(self) -> int:
        return self._clock.now()

    def examine(self) -> list[Finding]:
        return self._db.read(lambda db: examining.examine(db, self.path, self.durability))

    def listen(self, channel: Channel) -> Listener:
        self._db.read(lambda _: None)  # the file has to be there before its neighbours
        return self._wakes().listen(channel)

    def notify(self, channel: Channel) -> None:
        self._wakes().notify(channel)

    def migrate(self) -> list[int]:
        """A file is brought up to date whenever it is opened."""
        self._file.read(lambda _: None)
        return []

    def maintain(self) -> None:
        self._file.checkpoint(_LOG_BYTES)
        super().maintain()

    def close(self) -> None:
        self._file.close()
        if self._hub is not None:
            self._hub.close()

    def _wakes(self) -> Hub | LocalHub:
        if self._hub is None:
            if self._file.memory:
                self._hub = LocalHub()
            else:
                self._hub = Hub(Path(self.path + "-wake"), self._file.file_mode())
        return self._hub
