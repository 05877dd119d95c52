"""The ceilings: what plain sqlite3 and plain files do here, on the same disk, with no queue around them.

Each function gives operations a second. A commit that returned is on the disk (synchronous=FULL, fsync).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

NOTHING = 0.0

ROW = "(id TEXT PRIMARY KEY, state INTEGER, due INTEGER, args BLOB)"


def ceiling(side: str, folder: Path) -> Callable[[], float]:
    """The bare operation that a lone enqueue of this side of duly cannot beat; for others nothing is measured."""
    if side == "duly":
        return lambda: commits(folder)
    if side == "duly-postgres":
        return lambda: postgres_commits(os.environ["BENCH_POSTGRES"])
    if side == "duly-redis":
        return lambda: redis_pushes(os.environ["BENCH_REDIS"])
    return lambda: NOTHING


def postgres_commits(url: str, seconds: float = 1.0) -> float:
    """One-row INSERTs, a commit each, over one connection."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, state int, due bigint, args bytea)")
        insert = "INSERT INTO bare (state, due, args) VALUES (0, %s, %s)"
        return _repeat(lambda i: db.execute(insert, (i, b"[[1],{}]")), seconds)


def redis_pushes(url: str, seconds: float = 1.0) -> float:
    """LPUSH of 200 bytes, one by one, over one connection."""
    import redis

    value = b"x" * 200
    with redis.Redis.from_url(url) as client:
        rate = _repeat(lambda _: client.lpush("bare", value), seconds)
        client.delete("bare")
    return rate


def commits(folder: Path, seconds: float = 1.0) -> float:
    """One-row INSERTs, a commit each: the bare commit rate of the file system under SQLite."""
    db = _open(folder)
    return _repeat(lambda i: db.execute("INSERT INTO t VALUES (?, 0, ?, ?)", (str(i), i, b"[[1],{}]")), seconds)


def fsyncs(folder: Path, seconds: float = 1.0) -> float:
    """Appending 4 KB to a file and fsync, each time."""
    block = b"x" * 4096
    fd = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def append(_: int) -> None:
        os.write(fd, block)
        os.fsync(fd)

    try:
        return _repeat(append, seconds)
    finally:
        os.close(fd)


def bulk(folder: Path, seconds: float = 1.0) -> float:
    """INSERTs in transactions of 1,000, rows a second."""
    db = _open(folder)

    def insert(i: int) -> None:
        db.execute("BEGIN IMMEDIATE")
        rows = ((f"{i}-{row}", row, b"[[1],{}]") for row in range(1000))
        db.executemany("INSERT INTO t VALUES (?, 0, ?, ?)", rows)
        db.execute("COMMIT")

    return 1000 * _repeat(insert, seconds)


def claims(folder: Path, n: int = 100_000) -> float:
    """Settling 500 rows and claiming the next 500 in one transaction, rows a second: a drain without a queue."""
    db = _open(folder)
    db.execute("CREATE INDEX ready ON t (due) WHERE state = 0")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t VALUES (?, 0, ?, ?)", ((str(i), i, b"[[1],{}]") for i in range(n)))
    db.execute("COMMIT")
    begin = time.perf_counter()
    claimed: list[tuple[int]] = []
    while True:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("UPDATE t SET state = 2 WHERE rowid = ?", claimed)
        rows = db.execute(
            "UPDATE t SET state = 1 WHERE rowid IN (SELECT rowid FROM t WHERE state = 0 ORDER BY due LIMIT 500)"
            " RETURNING rowid, id, args"
        ).fetchall()
        claimed = [(row[0],) for row in rows]
        db.execute("COMMIT")
        if not claimed:
            return n / (time.perf_counter() - begin)


def _open(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / f"raw{time.monotonic_ns()}.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"CREATE TABLE t {ROW}")
    return db


def _repeat(operation: Callable[[int], object], seconds: float) -> float:
    begin = time.perf_counter()
    done = 0
    while time.perf_counter() - begin < seconds:
        operation(done)
        done += 1
    return done / (time.perf_counter() - begin)
