"""The PostgreSQL store when the server's disk is full, and when its standby takes over."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_kit import put, succeeded, take, worker
from tests.servers.disk import SmallDisk
from tests.servers.postgres import PostgresServer, new_cluster, place
from tests.servers.process import found_program
from tests.waiting import eventually

import duly.store
from duly.errors import StoreUnavailable
from duly.ids import new_id
from duly.job import Filter, Job, State
from duly.store import Store

BIG = b'[["' + random.Random(1).randbytes(50_000).hex().encode() + b'"],{}]'
"""Arguments that the server cannot make small."""


def ids(store: Store) -> set[str]:
    return {job.id for job in store.jobs(Filter(), limit=10_000).jobs}


@pytest.fixture
def folder() -> Iterator[Path]:
    with place() as folder:
        yield folder


def on(disk: SmallDisk, part: str, folder: Path) -> PostgresServer:
    """A server with one of its folders on another disk."""
    data = new_cluster(folder / "server" / "data")
    shutil.move(data / part, disk.folder / part)
    (data / part).symlink_to(disk.folder / part)
    server = PostgresServer(folder / "server", settings={"max_wal_size": "64MB"})
    for path in disk.folder.rglob("*"):
        shutil.chown(path, server.account)
    shutil.chown(disk.folder, server.account)
    return server


def store_until_full(store: Store, disk: SmallDisk) -> tuple[set[str], StoreUnavailable]:
    """Jobs that were acknowledged before the disk was full, and what was said then."""
    disk.fill()
    stored: set[str] = set()
    for _ in range(2_000):
        job = Job(id=new_id(), task="t", due=store.now(), args=BIG)
        try:
            store.enqueue([job])
        except StoreUnavailable as error:
            return stored, error
        stored.add(job.id)
    raise AssertionError("the disk is not small")


def test_a_disk_without_room_for_jobs_refuses_them_whole_and_is_said(folder: Path) -> None:
    with SmallDisk(folder / "disk", 60) as disk, on(disk, "base", folder) as server:
        store = duly.store.open(server.url())
        me = worker(store)
        before = set(put(store, 5))
        leases = take(store, me, want=2).leases
        stored, error = store_until_full(store, disk)
        assert "disk is full" in str(error)
        assert ids(store) == before | stored, "it can be looked at, and nothing is half there"
        disk.free()
        after = set(put(store, 3))
        assert take(store, me, want=0, outcomes=succeeded(store, leases)).refused == []
        assert ids(store) == before | stored | after
        store.close()


def test_a_server_that_stops_for_want_of_room_for_its_log_has_kept_what_was_acknowledged(folder: Path) -> None:
    with SmallDisk(folder / "disk", 40) as disk, on(disk, "pg_wal", folder) as server:
        store = duly.store.open(server.url(timeout="1"))
        before = set(put(store, 5))
        stored, _ = store_until_full(store, disk)
        server.kill()
        disk.free()
        server.start()
        found = ids(store)
        assert found >= before | stored
        assert len(found - before - stored) <= 1, "that of which nothing was heard"
        put(store)
        store.close()


def standby_of(primary: PostgresServer, folder: Path) -> PostgresServer:
    """A copy of a running server that follows it."""
    standby = PostgresServer(folder)
    copy = found_program("pg_basebackup", standby.kind, standby.package)
    command = [copy, "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres", "-D", str(standby.data), "-R"]
    subprocess.run([*command, "--checkpoint=fast"], check=True, cwd=folder, **standby.identity())
    return standby


def test_a_standby_takes_over_with_all_that_was_acknowledged(folder: Path) -> None:
    """A synchronous one: without, the last commits may be lost with the primary (docs/postgres.md)."""
    with PostgresServer(folder / "primary") as primary, standby_of(primary, folder / "standby") as standby:
        with psycopg.connect(primary.conninfo(), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            admin.execute("SELECT pg_reload_conf()")
            eventually(lambda: admin.execute("SELECT sync_state FROM pg_stat_replication").fetchall() == [("sync",)])
        url = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/postgres?timeout=30"
        store = duly.store.open(url)
        me = worker(store)
        put(store, 6)
        leases = take(store, me, want=4).leases
        assert take(store, me, want=0, outcomes=succeeded(store, leases[:2])).refused == []
        heard = store.listen("work")
        primary.kill()
        with pytest.raises(StoreUnavailable, match=r"read-only|standby|refused"):
            duly.store.open(url.replace("timeout=30", "timeout=0.2")).now()
        with psycopg.connect(standby.conninfo(), autocommit=True) as admin:
            admin.execute("SELECT pg_promote()")
        answer = take(store, me, outcomes=succeeded(store, leases[2:]))
        assert answer.refused == [], "their leases were known there"
        assert len(answer.leases) == 2
        states = sorted(job.state for job in store.jobs(Filter()).jobs)
        assert states == [State.RUNNING] * 2 + [State.SUCCEEDED] * 4
        eventually(lambda: put(store) and heard.wait(0.2))
        heard.close()
        store.close()
