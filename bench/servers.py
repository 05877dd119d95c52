"""The servers of a benchmark, private to one measurement, and which cores they and we run on.

A round trip to a server costs about 27 µs when both ends share a core and 110 µs when they do not, so where they run
is part of every figure: *same* (the server, the measuring process and its worker on one core), *other* (the server on
one core, all else on another), *free* (as the kernel likes).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PLACEMENTS = ("free", "same", "other")


def placement() -> str:
    """The one that was asked for."""
    return os.environ.get("BENCH_PLACEMENT", "free")


def place_ourselves() -> None:
    """Choose the cores of this process, and so of the workers it starts."""
    cores = sorted(os.sched_getaffinity(0))
    if placement() == "same":
        os.sched_setaffinity(0, cores[:1])
    elif placement() == "other":
        os.sched_setaffinity(0, cores[1:2])


def start_server(kind: str, folder: Path, ends: contextlib.ExitStack) -> str:
    """A server without anything in it, stopped with ``ends``; gives its URL and puts it into the environment.

    PostgreSQL with its defaults (every commit synced); Redis without persistence, as the peers' figures have it.
    """
    ours = os.sched_getaffinity(0)
    if placement() == "other":
        os.sched_setaffinity(0, {0})
    try:
        url = _start_redis(folder, ends) if kind == "redis" else _start_postgres(folder, ends)
    finally:
        os.sched_setaffinity(0, ours)
    os.environ[f"BENCH_{kind.upper()}"] = url
    return url


def _start_redis(folder: Path, ends: contextlib.ExitStack) -> str:
    from tests.servers.redis import RedisServer

    return ends.enter_context(RedisServer(folder / "redis")).url()


def _start_postgres(folder: Path, ends: contextlib.ExitStack) -> str:
    from tests.servers.postgres import PostgresServer

    return ends.enter_context(PostgresServer(folder / "postgres")).url()
