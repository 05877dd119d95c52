"""What happens to servers and networks. Each fault is a clear StoreError or is mended without a word, nothing is ever
half done, and nothing that was acknowledged is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisReplica, RedisSentinel, RedisServer
from tests.waiting import eventually

import duly.store
from duly.errors import StoreError, StoreTooNew, StoreUnavailable
from duly.ids import new_id
from duly.job import COUNT_CAP, Filter, Job, Kind, Lease, Outcome, State, WorkerInfo
from duly.store import Store

DURABLE = {"appendonly": "yes", "appendfsync": "always"}
MINUTE = 60_000_000  # µs
AHEAD = 9 * 10**15  # in 2255

T = TypeVar("T")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", DURABLE) as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    """The server itself."""
    store = duly.store.open(server.url() + "?timeout=10")
    yield store
    store.close()


@pytest.fixture
def through(proxy: Proxy) -> Iterator[Store]:
    """The same through the proxy, and impatient."""
    store = duly.store.open(f"redis://127.0.0.1:{proxy.port}?timeout=0.5")
    yield store
    store.close()


def put(store: Store, **fields: object) -> str:
    id = new_id()
    store.enqueue([Job(**{"id": id, "task": "t", "due": 0} | fields)])  # type: ignore[arg-type]
    return id


def register(store: Store) -> int:
    return store.register(WorkerInfo(name="w", host="h", pid=1), MINUTE)


def take(store: Store, worker: int, want: int = 1) -> list[Lease]:
    return store.exchange(worker, 0, [], want, ["default"]).leases


def done(lease: Lease) -> Outcome:
    return Outcome(lease=lease, kind=Kind.SUCCEEDED, started=1, finished=2, result=b"1")


def states(store: Store) -> dict[str, State]:
    return {one.id: one.state for one in store.jobs(Filter(), limit=1000).jobs}


# -- the server goes and comes back ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_what_was_acknowledged_survives_and_the_store_goes_on(server: RedisServer, store: Store, how: str) -> None:
    worker = register(store)
    ended, running, waiting, ahead = put(store), put(store), put(store, due=AHEAD), put(store, due=AHEAD)
    leases = take(store, worker, 2)
    assert store.exchange(worker, 0, [done(leases[0])], 0, []).refused == []
    listener = store.listen("work")
    if how == "killed":
        server.kill()
        server.start()
    else:
        server.restart()
    assert states(store) == {
        ended: State.SUCCEEDED, running: State.RUNNING, waiting: State.WAITING, ahead: State.WAITING,
    }  # fmt: skip
    assert store.exchange(worker, 0, [done(leases[1])], 1, ["default"]).refused == []
    assert listener.wait(5), "that the connection ended may mean that something was missed"
    eventually(lambda: (store.notify("work"), listener.wait(0.1))[1])  # type: ignore[func-returns-value]
    listener.close()


def test_a_producer_does_not_notice_a_restart(server: RedisServer, store: Store) -> None:
    told: list[str] = []
    stop = threading.Event()
    errors: list[BaseException] = []

    def produce() -> None:
        try:
            while not stop.is_set():
                told.append(put(store, due=AHEAD))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=produce)

    def some_more() -> None:
        before = len(told)
        eventually(lambda: len(told) > before + 20)

    thread.start()
    some_more()
    server.restart()
    some_more()
    server.kill()
    server.start()
    some_more()
    stop.set()
    thread.join()
    assert errors == []
    assert None not in store.results(told)
    assert store.counts()[0].scheduled == min(len(told), COUNT_CAP), "one was stored twice, or somebody else's"


def test_a_frozen_server_is_said_to_be_so_and_may_come_back(server: RedisServer, proxy: Proxy) -> None:
    store = duly.store.open(f"{server.url()}?timeout=0.3")
    id = put(store)
    server.pause()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:\d+ \{duly\}: the server did not answer"):
        store.counts()
    assert time.monotonic() - began < 2
    server.resume()
    assert list(states(store)) == [id]
    store.close()


def test_no_server_is_said_to_be_so(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    store = duly.store.open(f"{server.url()}?timeout=0.2")
    with pytest.raises(StoreUnavailable, match=r"cannot be reached.*refused"):
        store.counts()
    store.notify("work")  # a hint that is lost is no error
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.listen("work")


def test_scripts_that_the_server_forgot_are_told_again(server: RedisServer, store: Store) -> None:
    worker = register(store)
    for _ in range(3):
        id = put(store)
        server.ask("SCRIPT", "FLUSH")
        [lease] = take(store, worker)
        server.ask("SCRIPT", "FLUSH")
        assert store.exchange(worker, 0, [done(lease)], 0, []).refused == []
        assert states(store)[id] == State.SUCCEEDED


# -- the network -------------------------------------------------------------------------------------


def test_connections_that_were_cut_while_idle_are_made_again(proxy: Proxy, through: Store) -> None:
    listener = through.listen("work")
    for _ in range(3):
        put(through)
        proxy.cut()
        time.sleep(0.25)  # not a wait for something: a connection in use all the time is not looked at
        assert through.next_due(["default"]) == 0
    assert listener.wait(5)
    listener.close()


def test_an_enqueue_whose_answer_was_lost_is_stored_once_and_says_so(
    proxy: Proxy, through: Store, store: Store
) -> None:
    through.counts()
    for keyed in (False, True):
        proxy.cut_answer(once())
        jobs = [Job(id=new_id(), task="t", due=0, key=new_id() if keyed else None) for _ in range(3)]
        assert [one.stored for one in through.enqueue(jobs)] == [True] * 3
        assert [one.stored for one in through.enqueue(jobs)] == [False] * 3
        assert all(store.results([job.id for job in jobs]))
    assert len(states(store)) == 6


def test_jobs_that_a_lost_answer_reserved_are_given_back(proxy: Proxy, through: Store, store: Store) -> None:
    worker = register(through)
    ids = [put(through) for _ in range(3)]
    first = take(through, worker)[0]
    proxy.cut_answer(once())
    with pytest.raises(StoreUnavailable, match="may have been done"):
        through.exchange(worker, 0, [done(first)], 1, ["default"])
    assert sorted(states(store).values()) == [State.WAITING, State.RUNNING, State.SUCCEEDED]
    answer = through.exchange(worker, 0, [done(first)], 5, ["default"])
    assert [one.lease.id for one in answer.refused] == [first.id], "it was settled by the call whose answer was lost"
    assert [lease.id for lease in answer.leases] == ids[1:]
    assert [lease.attempt for lease in answer.leases] == [1, 1], "an attempt that never was is counted"


def test_calls_whose_words_or_answers_are_lost_happen_as_a_whole_or_not_at_all(
    proxy: Proxy, through: Store, store: Store
) -> None:
    """Whichever call is cut, and wherever: one that is repeated until it is answered comes out as one."""
    for i in range(40):
        (proxy.cut_call if i % 2 else proxy.cut_answer)(once(after=i % 4))
        id = new_id()
        patiently(lambda id=id: through.enqueue([Job(id=id, task="t", due=0)]))  # type: ignore[misc]
        worker = patiently(lambda: register(through))
        [lease] = patiently(lambda w=worker: take(through, w, 9))  # type: ignore[misc]
        patiently(lambda w=worker, x=lease: through.exchange(w, 0, [done(x)], 0, []))  # type: ignore[misc]
        patiently(lambda w=worker: through.unregister(w))  # type: ignore[misc]
    assert list(states(store).values()) == [State.SUCCEEDED] * 40
    assert store.counts() == []


def test_a_slow_network_in_small_pieces_changes_nothing(proxy: Proxy, through: Store, store: Store) -> None:
    worker = register(through)
    proxy.slow(latency=0.02, piece=7)
    big = b'"' + b"x" * 5_000 + b'"'
    ids = [put(through, args=big) for _ in range(3)]
    leases = take(through, worker, 3)
    assert [(lease.id, lease.args) for lease in leases] == [(id, big) for id in ids]
    assert through.exchange(worker, 0, [done(lease) for lease in leases], 0, []).refused == []
    assert set(states(store).values()) == {State.SUCCEEDED}
    lateness = abs(through.now() - store.now())
    assert lateness < 15_000, "what a slow answer says of the clock was taken at its word"


def test_a_silent_network_ends_a_call_in_time(proxy: Proxy, through: Store) -> None:
    put(through)
    proxy.hold()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="did not answer"):
        through.counts()
    assert time.monotonic() - began < 3
    proxy.heal()
    assert len(states(through)) == 1


# -- the server refuses ------------------------------------------------------------------------------


def test_a_full_memory_refuses_new_jobs_whole_and_lets_workers_go_on(server: RedisServer, store: Store) -> None:
    worker = register(store)
    ids = [put(store) for _ in range(20)]
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match=r"nothing was written.*OOM"):
        store.enqueue([Job(id=new_id(), task="t", due=0) for _ in range(3)])
    with pytest.raises(StoreUnavailable, match=r"nothing was written.*OOM"):
        put(store, key="k")
    leases = take(store, worker, 20)
    assert [lease.id for lease in leases] == ids
    assert store.exchange(worker, 0, [done(lease) for lease in leases], 5, ["default"]).refused == []
    assert states(store) == dict.fromkeys(ids, State.SUCCEEDED)
    assert store.renew(worker, MINUTE).alive
    assert store.prune(10**17, 10**17, 100) == 20
    server.ask("CONFIG", "SET", "maxmemory", "0")
    put(store)


def test_a_server_that_cannot_write_its_disk_refuses_and_nothing_is_half_done(
    server: RedisServer, store: Store
) -> None:
    put(store)
    server.ask("CONFIG", "SET", "min-replicas-to-write", "1")  # refuses as a full disk does: at the first write
    with pytest.raises(StoreUnavailable, match=r"nothing was written.*NOREPLICAS"):
        store.enqueue([Job(id=new_id(), task="t", due=0, key="k")])
    assert len(states(store)) == 1
    server.ask("CONFIG", "SET", "min-replicas-to-write", "0")
    put(store, key="k")


def test_after_a_failover_the_store_follows_and_what_the_replica_had_is_there(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "a", {"repl-diskless-sync-delay": "0"}) as first,
        Proxy(first.port) as address,
        RedisReplica(tmp_path / "b", first) as second,
    ):
        eventually(second.is_in_step)
        store = duly.store.open(f"redis://127.0.0.1:{address.port}?timeout=10")
        worker = register(store)
        ids = [put(store) for _ in range(10)]
        [lease] = take(store, worker)
        eventually(lambda: second.ask("DBSIZE") == first.ask("DBSIZE"))
        second.promote()
        first.ask("REPLICAOF", "127.0.0.1", str(second.port))  # it refuses writes from now on: READONLY
        threading.Timer(0.3, lambda: setattr(address, "target", second.port)).start()
        assert store.exchange(worker, 0, [done(lease)], 0, []).refused == []
        assert states(store) == dict.fromkeys(ids, State.WAITING) | {lease.id: State.SUCCEEDED}
        assert put(store) in states(store)
        store.close()


def test_sentinels_say_where_the_primary_is_and_are_asked_again_when_it_is_gone(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "a", {"repl-diskless-sync-delay": "0"}) as first,
        RedisReplica(tmp_path / "b", first) as second,
        RedisSentinel(tmp_path / "s", first) as sentinel,
    ):
        eventually(second.is_in_step)
        eventually(sentinel.knows_a_replica)
        hosts = f"127.0.0.1:1,127.0.0.1:{sentinel.port}"  # the first of them is not there
        store = duly.store.open(f"redis+sentinel://{hosts}/jobs?timeout=20")
        listener = store.listen("work")
        worker = register(store)
        ids = [put(store) for _ in range(3)]
        [lease] = take(store, worker)
        eventually(lambda: second.ask("DBSIZE") == first.ask("DBSIZE"))
        first.kill()
        assert set(states(store)) == {*ids, lease.id}
        assert store.exchange(worker, 0, [done(lease)], 0, []).refused == []
        assert states(store)[lease.id] == State.SUCCEEDED
        assert "role:master" in second.ask("INFO", "replication")
        listener.wait(5)
        eventually(lambda: (store.notify("work"), listener.wait(0.1))[1])  # type: ignore[func-returns-value]
        listener.close()
        store.close()


def test_sentinels_that_do_not_know_are_named(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "a") as server, RedisSentinel(tmp_path / "s", server) as sentinel:
        store = duly.store.open(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/job?timeout=0.2")
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1: .*cannot be reached.*knows no 'job'"):
            store.counts()


def test_a_server_that_loads_its_data_is_waited_for(server: RedisServer, store: Store) -> None:
    for _ in range(10):
        store.enqueue([Job(id=new_id(), task="t", due=0, args=b"x" * 2_000) for _ in range(1000)])
    server.ask("CONFIG", "SET", "key-load-delay", "50")  # µs a key, for tests like this one
    server.settings["key-load-delay"] = "20"
    server.stop()
    server.prepare()
    starter = threading.Thread(target=server.start)
    starter.start()
    assert store.counts()[0].ready == 10_000
    starter.join()


def test_a_password_that_is_missing_or_wrong_is_said_to_be_so(tmp_path: Path) -> None:
    with RedisServer(tmp_path, {"requirepass": "secret"}) as server:
        for url, said in (
            (server.url(), "NOAUTH"),
            (f"redis://:wrong@127.0.0.1:{server.port}", "password"),
            (f"redis://:secret@127.0.0.1:{server.port}/99", "database"),
        ):
            began = time.monotonic()
            with pytest.raises(StoreError, match=said) as caught:
                duly.store.open(url).counts()
            assert time.monotonic() - began < 1
            assert "wrong" not in str(caught.value).replace("WRONGPASS", "")
        store = duly.store.open(f"redis://:secret@127.0.0.1:{server.port}")
        assert "secret" not in store.url
        put(store)


def test_a_newer_layout_is_left_alone(server: RedisServer, store: Store) -> None:
    put(store)
    server.ask("HSET", "{duly}:meta", "version", "99")
    again = duly.store.open(server.url())
    with pytest.raises(StoreTooNew, match="layout 99"):
        put(again)


def test_who_only_looks_makes_no_store(server: RedisServer) -> None:
    looking = duly.store.open(server.url(), create=False)
    with pytest.raises(StoreUnavailable, match="there is no store at"):
        looking.counts()
    assert server.ask("DBSIZE") == ":0"


# -- helpers -----------------------------------------------------------------------------------------


def once(after: int = 0) -> Callable[[bytes], bool]:
    """True for one piece of data, the first or a later one."""
    left = [after]

    def watch(_: bytes) -> bool:
        left[0] -= 1
        return left[0] == -1

    return watch


def patiently(call: Callable[[], T]) -> T:
    """As a worker does."""
    end = time.monotonic() + 10
    while True:
        try:
            return call()
        except StoreUnavailable:
            assert time.monotonic() < end
