"""A Redis Cluster: whichever node the URL names, and wherever the slot goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.servers.redis import RedisCluster, RedisServer

import duly.store
from duly.errors import StoreUnavailable
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Outcome, WorkerInfo
from duly.store import Store


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def open_at(node: RedisServer, prefix: str, timeout: float = 10) -> Store:
    return duly.store.open(f"{node.url()}?prefix={prefix}&timeout={timeout}")


def put(store: Store, **fields: object) -> str:
    id = new_id()
    store.enqueue([Job(**{"id": id, "task": "t", "due": 0} | fields)])  # type: ignore[arg-type]
    return id


def ids(store: Store) -> set[str]:
    return {one.id for one in store.jobs(Filter(), limit=1000).jobs}


def run_all(store: Store) -> set[str]:
    worker = store.register(WorkerInfo(name="w", host="h", pid=1), 60_000_000)
    leases = store.exchange(worker, 0, [], 100, ["default"]).leases
    outcomes = [Outcome(lease=lease, kind=Kind.SUCCEEDED, started=1, finished=2) for lease in leases]
    assert store.exchange(worker, 0, outcomes, 0, []).refused == []
    return {lease.id for lease in leases}


def move_slot(cluster: RedisCluster, prefix: str, source: RedisServer, target: RedisServer) -> Callable[[], None]:
    """Begin to move a slot; what is given ends it."""
    slot = source.ask("CLUSTER", "KEYSLOT", f"{{duly:{prefix}}}").lstrip(":")
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))

    def keys() -> list[str]:
        said = source.ask("CLUSTER", "GETKEYSINSLOT", slot, "100").splitlines()
        return [line for line in said[1:] if not line.startswith("$")]

    def end() -> None:
        for key in keys():
            assert "OK" in source.ask("MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000")
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(target))

    source.ask("MIGRATE", "127.0.0.1", str(target.port), keys()[0], "0", "5000")  # half of it is on its way
    return end


@pytest.mark.parametrize("node", range(3))
def test_any_node_leads_to_the_store(cluster: RedisCluster, node: int) -> None:
    prefix = cluster.prefix_on(1)
    store = open_at(cluster.nodes[node], prefix)
    listener = store.listen("work")
    id = put(store)
    assert listener.wait(5), "a wake-up did not come across the cluster"
    assert id in ids(store)
    assert id in run_all(store)
    listener.close()
    store.close()


def test_a_slot_on_its_way_to_another_node_is_waited_for_and_followed(cluster: RedisCluster) -> None:
    prefix = cluster.prefix_on(1)
    store, impatient = open_at(cluster.nodes[1], prefix), open_at(cluster.nodes[1], prefix, 0.3)
    before = {put(store, due=9 * 10**15) for _ in range(5)} | ids(store)
    end = move_slot(cluster, prefix, cluster.nodes[1], cluster.nodes[2])
    with pytest.raises(StoreUnavailable, match="moving its keys"):
        put(impatient)
    threading.Timer(0.5, end).start()
    before.add(put(store))
    assert ids(store) == ids(open_at(cluster.nodes[0], prefix)) == before
    move_slot(cluster, prefix, cluster.nodes[2], cluster.nodes[1])()
    assert ids(store) == before


def test_a_node_that_dies_is_followed_by_its_replica(cluster: RedisCluster) -> None:
    prefix = cluster.prefix_on(0)
    primary, other, _, replica = cluster.nodes
    stores = [open_at(primary, prefix, 30), open_at(other, prefix, 30)]
    kept = {put(store) for store in stores}
    assert ids(stores[0]) == ids(stores[1]) == kept
    end = time.monotonic() + 20
    while replica.ask("DBSIZE") != primary.ask("DBSIZE"):
        assert time.monotonic() < end
        time.sleep(0.01)
    primary.kill()
    for store in stores:  # also the one whose URL names the dead node
        assert ids(store) == kept
    assert run_all(stores[0]) == kept
