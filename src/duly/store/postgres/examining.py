"""What a PostgreSQL store can find wrong with its server and its tables, for ``duly doctor``."""

from __future__ import annotations

from duly.messages import Finding
from duly.store.postgres.database import Database
from duly.store.postgres.sql import Session

_OLD = 600.0  # seconds; a transaction that is open for longer keeps what is dead from being cleared away
_BLOATED = 0.5  # part of the rows that are dead
_MANY = 200_000  # dead rows that a reserve steps over without losing much


def examine(db: Session, server: Database) -> list[Finding]:
    """Reads settings and statistics; quick. Changes nothing."""
    return [_durability(db), _way(server), *_transactions(db), _table(db)]


def _ok(text: str, about: str = "store") -> Finding:
    return Finding(severity="ok", about=about, text=text)


def _warning(text: str, advice: str, about: str = "store") -> Finding:
    return Finding(severity="warning", about=about, text=text, help=advice)


def _durability(db: Session) -> Finding:
    settings = dict(db.run("settings").fetchall())
    off = [name for name in ("fsync", "synchronous_commit", "full_page_writes") if settings.get(name) == "off"]
    if off:
        return _warning(
            f"{' and '.join(off)} off at the server: a crash of it loses jobs that were acknowledged.",
            f"turn {' and '.join(off)} on, for this role or for the server",
        )
    return _ok(f"PostgreSQL {settings['server_version']}: every acknowledged job survives a crash of the server.")


def _way(server: Database) -> Finding:
    if server.is_direct:
        return _ok("The connection leads to the server itself; work is announced by NOTIFY.")
    if server.place.listen is not None:
        return _ok("There is a connection pool in between; listen= names the server itself for wake-ups.")
    return _warning(
        "There is a connection pool in between, so nothing wakes a worker: it looks for work each second.",
        "add listen=postgresql://... to the store's URL: a way past the pool, for a connection of each process",
    )


def _transactions(db: Session) -> list[Finding]:
    (seconds, who) = db.run("oldest_transaction").fetchone() or (None, None)
    if seconds is None or seconds < _OLD:
        return []
    return [
        _warning(
            f"A transaction ({who}) is open for {int(seconds // 60)} minutes: what is dead in the tables since then "
            "stays, and reserves get slower.",
            "end it; look for it in pg_stat_activity, in pg_prepared_xacts and in replication slots",
        )
    ]


def _table(db: Session) -> Finding:
    live, dead, table, indexes = db.run("table_size").fetchone() or (0, 0, "0 bytes", "0 bytes")
    text = f"The table of jobs has {live:,} rows and {dead:,} dead ones, {table}, its indexes {indexes}."
    if dead > _MANY and dead > _BLOATED * live:
        return _warning(text, "see whether autovacuum runs (pg_stat_user_tables), or VACUUM the table by hand")
    return _ok(text)
