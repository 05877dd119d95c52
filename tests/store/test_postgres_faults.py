"""The PostgreSQL store when its server, or the way to it, fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from postgres_kit import MINUTE, new_schema, put, states, succeeded, take, worker
from tests.servers.postgres import PgBouncer, PostgresServer, place, store_url
from tests.servers.proxy import Proxy

import duly.store
from duly.errors import ConfigError, StoreError, StoreTooNew, StoreUnavailable
from duly.ids import new_id
from duly.job import Exchange, Filter, Job, Outcome, State
from duly.store import Store
from duly.store.postgres import PostgresStore


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that may be killed, and so waits for the disk."""
    with place() as folder, PostgresServer(folder / "postgres") as server:
        yield server


@pytest.fixture
def direct(server: PostgresServer, schema: str) -> Iterator[Store]:
    """The store as somebody else has it, past the proxy."""
    store = duly.store.open(server.url(schema=schema))
    store.now()
    yield store
    store.close()


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: Proxy, direct: Store, schema: str) -> Iterator[Store]:
    """The same store through the proxy."""
    store = duly.store.open(store_url(proxy.port, "postgres", {"schema": schema, "timeout": "5"}))
    store.now()
    yield store
    store.close()


def exchange(store: Store, holder: int, outcomes: list[Outcome], want: int = 20) -> Exchange:
    """As a worker does it: again, until the store answers."""
    while True:
        try:
            return take(store, holder, want=want, outcomes=outcomes)
        except StoreUnavailable:
            time.sleep(0.01)


def store_some(store: Store, n: int) -> list[str]:
    """Jobs of which it is not asked whether an earlier try has stored them."""
    jobs = [Job(id=new_id(), task="t", due=store.now()) for _ in range(n)]
    return [answer.id for answer in store.enqueue(jobs)]


# -- answers that are lost -----------------------------------------------------------------------


def lose_next_answer(proxy: Proxy) -> None:
    """The server does what comes next, and nobody hears of it."""

    def once(data: bytes) -> bool:
        if b"clock" not in data:  # an answer to a preparation
            return False
        proxy.heal()
        return True

    proxy.cut_answer(once)


def test_jobs_whose_answer_was_lost_are_stored_once(store: Store, proxy: Proxy, direct: Store) -> None:
    jobs = [Job(id=new_id(), task="t", due=store.now()) for _ in range(3)]
    lose_next_answer(proxy)
    answers = store.enqueue(jobs)
    assert [answer.id for answer in answers] == [job.id for job in jobs]
    assert len(states(direct)) == 3


def test_what_a_lost_exchange_reserved_is_given_by_the_next(store: Store, proxy: Proxy, direct: Store) -> None:
    me = worker(store)
    ids = put(store, 5)
    lose_next_answer(proxy)
    got = take(store, me)
    assert [lease.id for lease in got.leases] == ids
    assert [lease.attempt for lease in got.leases] == [1] * 5
    assert take(store, me, outcomes=succeeded(store, got.leases)).refused == []
    assert states(direct) == [State.SUCCEEDED] * 5


def test_what_a_lost_exchange_settled_is_not_refused_when_it_is_repeated(
    store: Store, proxy: Proxy, direct: Store
) -> None:
    me = worker(store)
    put(store, 6)
    first = take(store, me, want=3).leases
    lose_next_answer(proxy)
    got = take(store, me, want=3, outcomes=succeeded(store, first))
    assert got.refused == []
    assert len(got.leases) == 3
    assert not {lease.id for lease in got.leases} & {lease.id for lease in first}
    rolled = sum(row.n for row in direct.rollups(0, 2**60) if row.measure == "runtime")
    assert rolled == 3, "the statistics were written once"


def test_an_exchange_that_cannot_be_repeated_at_once_is_recognised_later(
    store: Store, proxy: Proxy, direct: Store
) -> None:
    me = worker(store)
    put(store, 6)
    first = take(store, me, want=2).leases
    second = take(store, me, want=2).leases

    def cut_and_refuse(data: bytes) -> bool:
        if b"clock" not in data:
            return False
        proxy.refuse()
        return True

    proxy.cut_answer(cut_and_refuse)
    with pytest.raises(StoreUnavailable):
        take(store, me, want=1, outcomes=succeeded(store, first))
    proxy.heal()
    got = take(store, me, want=5, outcomes=succeeded(store, first + second))  # more has ended meanwhile
    assert got.refused == []
    assert len(got.leases) == 1, "the job that the lost one had reserved"
    assert sorted(states(direct)) == sorted([State.SUCCEEDED] * 4 + [State.RUNNING] + [State.WAITING])


def test_a_call_that_never_arrived_is_made_again(store: Store, proxy: Proxy) -> None:
    def once(_: bytes) -> bool:
        proxy.heal()
        return True

    proxy.cut_call(once)
    assert put(store)
    me = worker(store)
    proxy.cut_call(once)
    assert len(take(store, me).leases) == 1


# -- the network -----------------------------------------------------------------------------------


def test_connections_that_are_cut_again_and_again(store: Store, proxy: Proxy, direct: Store) -> None:
    me = worker(store)
    ids: set[str] = set()
    ended: set[str] = set()
    done = threading.Event()

    def cut() -> None:
        while not done.wait(0.05):
            proxy.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        outcomes: list[Outcome] = []
        end = time.monotonic() + 3
        while time.monotonic() < end or outcomes:
            if time.monotonic() < end:
                ids |= set(store_some(store, 5))
            got = exchange(store, me, outcomes)
            assert got.refused == []
            ended |= {outcome.lease.id for outcome in outcomes}
            outcomes = succeeded(store, got.leases)
            assert not ended & {lease.id for lease in got.leases}, "run twice"
    finally:
        done.set()
        cutter.join()
    assert ended == ids
    assert {job.attempt for job in direct.jobs(Filter(), limit=100_000).jobs} == {1}


def test_a_slow_network_in_small_pieces(store: Store, proxy: Proxy) -> None:
    proxy.slow(latency=0.02, piece=7)
    me = worker(store)
    ids = put(store, 20)
    got = take(store, me, want=20)
    assert [lease.id for lease in got.leases] == ids
    assert take(store, me, outcomes=succeeded(store, got.leases)).refused == []


def test_a_silent_network_is_an_error_after_the_timeout(proxy: Proxy, direct: Store, schema: str) -> None:
    store = duly.store.open(store_url(proxy.port, "postgres", {"schema": schema, "timeout": "0.5"}))
    me = worker(store)
    proxy.hold()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no answer"):
        store.enqueue([Job(id=new_id(), task="t", due=0)])
    assert time.monotonic() - begun < 10
    proxy.heal()
    assert len(take(store, me).leases) <= 1
    store.close()


def test_a_server_that_is_not_there_is_said_at_once(server: PostgresServer) -> None:
    store = duly.store.open("postgresql://postgres@127.0.0.1:1/postgres")
    with pytest.raises(StoreUnavailable, match="port 1 failed"):
        store.now()


# -- the server ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_nothing_acknowledged_is_lost_when_the_server_goes_down(
    server: PostgresServer, direct: Store, how: str
) -> None:
    me = worker(direct, lease=10 * MINUTE)
    acknowledged: list[str] = []
    ended: list[str] = []
    stop = threading.Event()

    def produce() -> None:
        while not stop.is_set():
            try:
                acknowledged.extend(store_some(direct, 3))
            except StoreUnavailable:
                time.sleep(0.01)

    producer = threading.Thread(target=produce)
    producer.start()
    outcomes: list[Outcome] = []
    try:
        for _ in range(3):
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                got = exchange(direct, me, outcomes)
                assert got.refused == []
                ended += [outcome.lease.id for outcome in outcomes]
                outcomes = succeeded(direct, got.leases)
            if how == "restart":
                server.restart()
            else:
                server.kill()
                server.start()
    finally:
        stop.set()
        producer.join()
    while True:
        got = exchange(direct, me, outcomes, want=100)
        assert got.refused == []
        ended += [outcome.lease.id for outcome in outcomes]
        outcomes = succeeded(direct, got.leases)
        if not outcomes:
            break
    assert len(ended) == len(set(ended))
    assert set(acknowledged) <= set(ended)
    results = direct.results(acknowledged)
    assert all(result is not None and result.state == State.SUCCEEDED for result in results)


def test_a_frozen_server_is_waited_for_and_then_an_error(server: PostgresServer, schema: str, direct: Store) -> None:
    store = duly.store.open(server.url(schema=schema, timeout="0.5"))
    put(store)
    server.pause()
    try:
        with pytest.raises(StoreUnavailable):
            put(store)
    finally:
        server.resume()
    assert put(store)
    store.close()


def test_a_server_that_became_read_only(server: PostgresServer, schema: str, direct: Store) -> None:
    """As after a failover to a standby: every session is told so, until the server writes again."""
    store = duly.store.open(server.url(schema=schema, timeout="0.5"))
    put(store)
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
    try:
        store.close()
        with pytest.raises(StoreUnavailable, match="standby"):
            put(store)
    finally:
        with psycopg.connect(server.conninfo(), autocommit=True) as admin:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER ROLE postgres RESET default_transaction_read_only")
    assert put(store)
    store.close()


def test_a_server_that_is_full_of_clients() -> None:
    settings = {"max_connections": "4", "superuser_reserved_connections": "0", "max_wal_senders": "0", "fsync": "off"}
    with place() as folder, PostgresServer(folder / "small", settings=settings) as small:
        others = [psycopg.connect(small.conninfo()) for _ in range(4)]
        store = duly.store.open(small.url(timeout="0.3"))
        with pytest.raises(StoreUnavailable, match="max_connections"):
            store.now()
        for other in others:
            other.close()
        assert put(store)
        store.close()


def test_a_statement_that_an_administrator_ends(server: PostgresServer, direct: Store, schema: str) -> None:
    put(direct)
    with psycopg.connect(server.conninfo()) as other:
        other.execute(f"LOCK TABLE {schema}.jobs")
        with psycopg.connect(server.conninfo(), autocommit=True) as admin:
            failed: list[Exception] = []

            def look() -> None:
                try:
                    direct.jobs(Filter())
                except StoreError as exc:
                    failed.append(exc)

            thread = threading.Thread(target=look)
            thread.start()
            ended = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while thread.is_alive():
                admin.execute(ended)
                time.sleep(0.01)
            thread.join()
    assert isinstance(failed[0], StoreUnavailable)
    assert "statement" in str(failed[0])
    assert len(direct.jobs(Filter()).jobs) == 1


def test_transactions_in_each_others_way_are_made_again(direct: Store, server: PostgresServer, schema: str) -> None:
    """Two that cancel the same jobs, against one that locks them the other way round: the server ends one of them."""
    ids = put(direct, 30)
    other = duly.store.open(server.url(schema=schema))
    failures: list[BaseException] = []

    def work(store: Store, order: list[str]) -> None:
        try:
            for _ in range(10):
                store.cancel(Filter(ids=tuple(order)))
                store.retry(Filter(ids=tuple(order)))
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=args) for args in ((direct, ids), (other, ids[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    other.close()


# -- pools -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bouncer(server: PostgresServer) -> Iterator[PgBouncer]:
    with place() as folder, PgBouncer(folder / "pgbouncer", server) as bouncer:
        yield bouncer


def test_behind_a_pool_in_transaction_mode(bouncer: PgBouncer, direct: Store, schema: str) -> None:
    """More stores than the pool has connections, each call on another one; no prepared statement is left behind."""
    stores = [duly.store.open(bouncer.url(schema=schema)) for _ in range(8)]
    holders = [worker(store) for store in stores]
    ids = {id for store in stores for id in put(store, 25)}
    seen: set[str] = set()
    failures: list[BaseException] = []

    def drain(index: int) -> None:
        try:
            outcomes: list[Outcome] = []
            while True:
                got = take(stores[index], holders[index], want=5, outcomes=outcomes)
                assert got.refused == []
                if not got.leases and not outcomes:
                    return
                seen.update(lease.id for lease in got.leases)
                outcomes = succeeded(stores[index], got.leases)
                stores[index].renew(holders[index], 10 * MINUTE)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=drain, args=[i]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen == ids
    assert set(states(direct)) == {State.SUCCEEDED}
    for store in stores:
        store.close()


def test_only_a_session_of_our_own_has_settings(bouncer: PgBouncer, server: PostgresServer, schema: str) -> None:
    for way, setting in ((server, "512kB"), (bouncer, "0")):
        with closing(duly.store.open(way.url(schema=schema))) as store:
            assert isinstance(store, PostgresStore)
            assert store._server.read(lambda db: db.query("SHOW backend_flush_after").fetchone()) == (setting,)


def test_behind_a_pool_nobody_hears_and_doctor_says_so(bouncer: PgBouncer, direct: Store, schema: str) -> None:
    store = duly.store.open(bouncer.url(schema=schema))
    with closing(store.listen("work")) as listener:
        put(direct)
        assert not listener.wait(0.1)
    assert any("looks for work each second" in finding.text for finding in store.examine())
    store.close()


def test_a_way_past_the_pool_hears(bouncer: PgBouncer, server: PostgresServer, direct: Store, schema: str) -> None:
    past = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    store = duly.store.open(bouncer.url(schema=schema, listen=past))
    with closing(store.listen("work")) as listener:
        put(direct)
        assert listener.wait(5)
    assert not [finding for finding in store.examine() if finding.severity != "ok" and "pool" in finding.text]
    store.close()


def test_wake_ups_come_again_after_a_restart(server: PostgresServer, direct: Store) -> None:
    with closing(direct.listen("work")) as listener:
        server.restart()
        assert listener.wait(10), "woken, for what was said meanwhile was not heard"
        while listener.wait(0.5):
            pass
        put(direct)
        assert listener.wait(5)


# -- the schema ------------------------------------------------------------------------------------


def test_many_at_once_make_one_schema(server: PostgresServer) -> None:
    url = server.url(schema=new_schema())
    stores = [duly.store.open(url) for _ in range(6)]
    failures: list[BaseException] = []

    def use(store: Store) -> None:
        try:
            put(store)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=use, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(states(stores[0])) == 6
    for store in stores:
        store.close()


def test_whoever_only_looks_makes_no_schema(server: PostgresServer) -> None:
    store = duly.store.open(server.url(schema=new_schema()), create=False)
    with pytest.raises(StoreUnavailable, match="no store in schema"):
        store.jobs(Filter())


def test_a_newer_schema_serves_an_older_release_as_long_as_it_says_so(
    server: PostgresServer, schema: str, direct: Store
) -> None:
    put(direct)
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(f"ALTER TABLE {schema}.jobs ADD COLUMN later text DEFAULT 'x'")
        admin.execute(f"UPDATE {schema}.meta SET version = 99")
        older = duly.store.open(server.url(schema=schema))
        me = worker(older)
        assert take(older, me, outcomes=succeeded(older, take(older, me).leases)).refused == []
        older.close()
        admin.execute(f"UPDATE {schema}.meta SET oldest = 99")
        with pytest.raises(StoreTooNew, match="99"):
            older.jobs(Filter())


def test_an_older_schema_asks_for_a_migration(server: PostgresServer, schema: str, direct: Store) -> None:
    put(direct)
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(f"UPDATE {schema}.meta SET version = 0, oldest = 0")
    newer = duly.store.open(server.url(schema=schema))
    with pytest.raises(StoreError, match="duly migrate"):
        newer.jobs(Filter())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://h/db?shcema=x", "did you mean schema"),
        ("postgresql://h/db?schema=Not-One", "schema='Not-One'"),
        ("postgresql://h/db?timeout=soon", "number of seconds"),
        ("postgres://u:secret@h/db?sslmod=x", "did you mean sslmode"),
    ],
)
def test_a_url_that_cannot_be_understood(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        duly.store.open(url)
    assert "secret" not in str(caught.value)


def test_an_error_does_not_tell_the_password(server: PostgresServer) -> None:
    store = duly.store.open(f"postgresql://nobody:secret@127.0.0.1:{server.port}/nowhere")
    with pytest.raises(StoreUnavailable) as caught:
        store.jobs(Filter())
    assert "secret" not in str(caught.value)
    assert "secret" not in store.url
