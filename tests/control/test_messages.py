"""Messages to workers in the store, and what the store adds for control."""

from __future__ import annotations

import msgspec
from control_kit import LEASE, job, put, register, reserve

from duly.bindings import Binding
from duly.clock import MICROS
from duly.control import Control
from duly.job import Limit
from duly.messages import Reply, TimeLimit
from duly.store.contract import Store
from duly.testing.clock import START, ManualClock


def test_a_message_is_for_the_workers_named_and_answered_once(store: Store) -> None:
    a, b = register(store, "a"), register(store, "b")
    listener = store.listen("control")
    ids = store.send_control([a, b], "ping", b"{}", MICROS)
    assert listener.wait(5)
    listener.close()
    [message] = store.controls(a)
    assert (message.id, message.method, message.args, message.expires) == (ids[0], "ping", b"{}", START + MICROS)
    replies = store.listen("replies")
    store.answer_control(message.id, b'"pong"')
    assert replies.wait(5)
    replies.close()
    store.answer_control(message.id, b'"second"')
    assert store.controls(a) == []
    assert len(store.controls(b)) == 1
    assert store.control_replies(ids) == [Reply(ids[0], a, b'"pong"'), Reply(ids[1], b, None)]


def test_a_message_that_expired_is_not_obeyed(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    store.send_control([worker], "shutdown", b"{}", 2 * MICROS)
    clock.advance(2)
    assert store.controls(worker) == []


def test_old_messages_go(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    [old] = store.send_control([worker], "ping", b"{}", MICROS)
    clock.advance(3600)
    store.send_control([worker], "ping", b"{}", MICROS)
    assert len(store.control_replies([old])) == 1
    clock.advance(2)
    store.send_control([worker], "ping", b"{}", MICROS)
    store.prune(0, 0, 1)
    assert store.control_replies([old]) == []


def test_time_limits_are_kept_until_they_are_taken_back(store: Store) -> None:
    store.set_time_limit(TimeLimit(task="t", soft=1.5, hard=0))
    store.set_time_limit(TimeLimit(task="a", hard=2))
    assert store.time_limits() == [TimeLimit(task="a", hard=2), TimeLimit(task="t", soft=1.5, hard=0)]
    store.set_time_limit(TimeLimit(task="t"))
    assert store.time_limits() == [TimeLimit(task="a", hard=2)]


def test_the_registry_follows_a_worker_that_changes(store: Store) -> None:
    worker = register(store, "a", ("default",), slots=2)
    store.update_worker(worker, ("default", "crawl"), 3)
    [info] = store.workers()
    assert (info.queues, info.slots, info.name) == (("default", "crawl"), 3, "a")


def test_jobs_before_one_are_those_a_worker_takes_first(store: Store) -> None:
    id = put(store, priority=3)
    put(store, priority=3, due=START + 1)  # later
    put(store, priority=2)
    put(store, queue="other", priority=9)
    put(store, priority=9, due=START + MICROS)  # not due
    before = {put(store, priority=9), put(store, priority=3, due=START - 1)}
    assert store.ahead(id) == len(before)
    worker = register(store)
    assert {lease.id for lease in reserve(store, worker, want=2)} == before
    assert store.ahead("unknown") == 0


def test_destinations_are_names_and_globs(store: Store) -> None:
    for name in ("w1", "w2", "mail"):
        register(store, name)
    nodes = lambda *wanted: [worker.name for worker in Control(lambda: store).nodes(wanted or None)]  # noqa: E731
    assert nodes() == ["mail", "w1", "w2"]
    assert nodes("w1") == nodes("w1@h") == ["w1"]
    assert nodes("w*") == nodes("w?@*") == ["w1", "w2"]
    assert nodes("mail", "w2") == ["mail", "w2"]
    assert nodes("w1@elsewhere") == []


def test_the_store_answers_without_workers(store: Store, clock: ManualClock) -> None:
    inspect = Control(lambda: store).inspect()
    assert inspect.registered() == inspect.active() == inspect.scheduled() == {}
    later = job(due=START + 60 * MICROS, args=b'[[1],{"x":2}]', priority=7)
    store.enqueue([later])
    [entry] = inspect.scheduled()["store"]
    assert entry["eta"] == "2027-01-15T08:01:00+00:00"
    assert entry["request"]["args"] == [1]
    assert entry["request"]["kwargs"] == {"x": 2}
    found = {"store": {later.id: ["scheduled", entry["request"]]}}
    assert inspect.query_task(later.id) == inspect.query_task([later.id]) == found
    assert inspect.query_task(later.id, "nobody") == found
    msgspec.json.encode(inspect.scheduled())


def test_tasks_are_shown_with_the_rate_in_force(store: Store) -> None:
    register(store, tasks=("add", "sub"))
    inspect = Control(lambda: store).inspect()
    assert inspect.registered() == {"w1@h": ["add", "sub"]}
    store.set_limit(Limit(scope="task", name="add", rate=10, per=60 * MICROS))
    assert inspect.registered("rate_limit") == inspect.registered() == {"w1@h": ["add [rate_limit=10/m]", "sub"]}


def test_queues_are_shown_with_what_leads_to_them(store: Store) -> None:
    register(store, queues=("video", "more"))
    bindings = [Binding("video", "media", "topic", "video.#"), Binding("video", "other", "direct", "v")]
    video, more = Control(lambda: store, bindings=lambda: bindings).inspect().active_queues()["w1@h"]
    assert (video["name"], video["exchange"]["name"], video["exchange"]["type"]) == ("video", "media", "topic")
    assert (video["routing_key"], [one["routing_key"] for one in video["bindings"]]) == ("video.#", ["video.#", "v"])
    assert (more["exchange"]["name"], more["routing_key"], more["bindings"]) == ("more", "more", [])


def test_what_is_sensitive_is_hidden(store: Store) -> None:
    put(store, due=START + 60 * MICROS, args=b'[["me","hunter2"],{}]', options=b'{"sensitive":["password",1]}')
    inspect = Control(lambda: store).inspect()
    assert inspect.scheduled()["store"][0]["request"]["args"] == ["me", "•••"]
    assert inspect.scheduled(safe=True)["store"][0]["request"]["args"] == "('me', '•••')"


def test_what_a_seat_holds_is_active_or_reserved(store: Store) -> None:
    worker = register(store, "w1", slots=2, pool="process")
    ids = [put(store, due=START - 10 + n) for n in range(4)]
    assert len(reserve(store, worker, want=3, slot=0)) == 3
    assert len(reserve(store, worker, want=1, slot=1)) == 1
    inspect = Control(lambda: store).inspect()
    assert {request["id"] for request in inspect.active()["w1@h"]} == {ids[0], ids[3]}
    assert [request["id"] for request in inspect.reserved()["w1@h"]] == ids[1:3]
    assert Control(lambda: store).inspect("other").active() == {}


def test_nobody_to_ask_gives_nothing_at_once(store: Store, clock: ManualClock) -> None:
    assert Control(lambda: store, clock).ping() == {}
    register(store)
    clock.advance(LEASE / MICROS)
    assert Control(lambda: store, clock).ping() == {}
