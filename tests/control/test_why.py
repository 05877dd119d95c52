"""``duly why``: a test for each sentence."""

from __future__ import annotations

import re
import shlex

import msgspec
import pytest
from control_kit import LEASE, put, register, reserve, settle

from duly.clock import MICROS
from duly.doctor import examine
from duly.errors import JobUnknown
from duly.job import ErrorInfo, Filter, Flag, Gate, Job, Kind, Limit, Progress
from duly.store.contract import Store
from duly.testing.clock import START, ManualClock
from duly.why import span, why

MINUTE = 60 * MICROS
BOOM = msgspec.json.encode(ErrorInfo(type="ValueError", message="boom\nand more"))


def test_unknown(store: Store) -> None:
    with pytest.raises(JobUnknown, match="no job 'x'"):
        why(store, "x")


def test_not_due(store: Store) -> None:
    id = put(store, due=START + 192 * MINUTE)
    assert why(store, id) == (
        f"It is not due yet: in 3 h 12 min, at 11:12:00 UTC; `duly move --eta now {id}` starts it at once."
    )


def test_retrying(store: Store) -> None:
    id, worker = put(store), register(store)
    settle(store, worker, reserve(store, worker)[0], Kind.RETRY, due=START + 30 * MICROS, error=BOOM)
    assert why(store, id) == (
        "It is being retried in 30 s, at 08:00:30 UTC after ValueError: boom (attempt 1 asked for another run)."
    )


def test_held_at_a_gate(store: Store) -> None:
    worker = register(store)
    members = [Job(id=f"m{i}", task="t", due=START, gates=(("g", i),)) for i in range(3)]
    errback = Job(id="errback", task="t", due=START, after="g", flags=int(Flag.ON_FAILURE))
    store.enqueue([*members, Job(id="body", task="t", due=START, after="g"), errback], [Gate("g", 3)])
    settle(store, worker, reserve(store, worker, 1)[0], Kind.SUCCEEDED)
    assert why(store, "body") == "It waits for 2 of 3 jobs: m1, which is queued, and others."
    settle(store, worker, reserve(store, worker, 1)[0], Kind.FAILED, error=BOOM)
    assert why(store, "body") == (
        "It waits for 1 of 3 jobs: m2, which is queued; m1 did not succeed, so it will fail unless `duly retry` "
        "mends that."
    )
    assert why(store, "errback") == "It waits for the failure of 1 of 3 jobs: m2, which is queued."


def test_paused(store: Store, clock: ManualClock) -> None:
    id = put(store)
    register(store)
    store.pause("default")
    clock.advance(5)
    assert why(store, id) == "Queue 'default' is paused since 08:00:00 UTC; `duly control resume default` goes on."


def test_no_worker(store: Store) -> None:
    assert why(store, put(store, queue="crawl")) == (
        "No worker is alive; start one that serves queue 'crawl': `duly -A APP worker -Q crawl`."
    )


def test_nobody_serves_the_queue(store: Store) -> None:
    id = put(store, queue="crawl")
    register(store, "w1", ("default", "craw"))
    register(store, "w2", ("mail",))
    assert why(store, id) == (
        "No live worker serves queue 'crawl' (w2@h serves mail; w1@h serves default, craw) (did you mean 'craw'?); "
        f"`duly control add_consumer crawl` makes them, or `duly move --to-queue QUEUE {id}`."
    )


def test_nobody_registers_the_task(store: Store) -> None:
    id = put(store, task="tasks.add")
    register(store, tasks=("tasks.ad", "other"))
    assert why(store, id) == (
        "No worker that serves queue 'default' (w1@h) registers task 'tasks.add' (did you mean 'tasks.ad'?); "
        "start one whose app has it, or restart them with the code that has it."
    )


def test_rate_limit(store: Store) -> None:
    store.set_limit(Limit(scope="task", name="t", rate=10, per=MINUTE))
    worker = register(store, slots=5)
    first, second, third = put(store), put(store), put(store)
    assert [lease.id for lease in reserve(store, worker, want=5)] == [first]
    assert why(store, second) == "Task t: rate limit 10/m until 08:00:06."
    reserve(store, worker, want=5)
    assert why(store, third) == "Task t: rate limit 10/m until 08:00:06, after those before it."


def test_a_key_that_is_full(store: Store) -> None:
    store.set_limit(Limit(scope="key", name="t", concurrency=3))
    worker = register(store, slots=9)
    ids = [put(store, limit_key="acme") for _ in range(4)]
    assert len(reserve(store, worker, want=9)) == 3
    assert why(store, ids[3]) == "Key 'acme' of task t: 3 of 3 running; it starts when one ends."


def test_a_queue_that_is_full(store: Store) -> None:
    store.set_limit(Limit(scope="queue", name="default", concurrency=1))
    worker = register(store, slots=9)
    put(store)
    id = put(store)
    reserve(store, worker, want=9)
    assert why(store, id) == "Queue default: 1 of 1 running; it starts when one ends."


def test_parked_though_there_is_room(store: Store, clock: ManualClock) -> None:
    store.set_limit(Limit(scope="task", name="t", rate=10, per=MINUTE))
    worker = register(store, slots=5, lease=3600 * MICROS)
    put(store)
    id = put(store)
    reserve(store, worker, want=5)
    reserve(store, worker, want=5)
    clock.advance(60)
    assert why(store, id) == ("It is parked in lane task:t, which has room again; a worker takes it out in a moment.")


def test_its_turn(store: Store, clock: ManualClock) -> None:
    worker = register(store, slots=2)
    for _ in range(2):
        put(store)
    assert len(reserve(store, worker, want=2)) == 2
    for _ in range(12):
        put(store)
    id = put(store, due=START + 1)
    clock.advance(4)
    assert why(store, id) == (
        "It waits its turn: due for 3 s, 12 jobs before it and 2 of 2 slots busy; "
        "more workers, or a higher priority for it, would help."
    )
    urgent = put(store, priority=9)
    assert why(store, urgent) == "It waits its turn: due for 4 s, 0 jobs before it and 2 of 2 slots busy."


def test_about_to_start(store: Store) -> None:
    register(store, slots=2)
    assert why(store, put(store)) == (
        "It is about to start: due for 0 ms, no job before it, and 2 of 2 slots are free."
    )


def test_running(store: Store, clock: ManualClock) -> None:
    id, worker = put(store), register(store)
    [lease] = reserve(store, worker)
    clock.advance(4)
    assert why(store, id) == "It is running on w1@h for 4 s."
    store.save_progress(lease, msgspec.json.encode(Progress(done=3, total=10, note="pages")))
    assert why(store, id) == "It is running on w1@h for 4 s (progress 3/10, pages)."
    clock.advance(LEASE / MICROS)
    assert "gives no sign of life" in why(store, id)


def test_asked_to_cancel(store: Store, clock: ManualClock) -> None:
    id, worker = put(store), register(store)
    reserve(store, worker)
    store.cancel(Filter(ids=(id,)))
    clock.advance(2)
    assert why(store, id) == (
        f"It was asked to cancel and has not stopped yet: running on w1@h for 2 s; "
        f"`duly cancel --terminate {id}` kills it."
    )


def test_expired(store: Store, clock: ManualClock) -> None:
    id = put(store, expires=START + MICROS)
    clock.advance(61)
    assert why(store, id) == "It expired 1 min ago, before it could start; the next worker that sees it cancels it."
    register_and_look = register(store)
    reserve(store, register_and_look)
    assert why(store, id) == (
        f"It was cancelled 0 ms ago: expired before it could start; `duly retry {id}` runs it all the same."
    )


def test_cancelled_by_whom(store: Store, clock: ManualClock) -> None:
    plain = put(store)
    store.cancel(Filter(ids=(plain,)))
    assert why(store, plain) == f"It was cancelled 0 ms ago, on request; `duly retry {plain}` runs it all the same."
    id = put(store, key="k")
    put(store, key="k", on_conflict="replace")
    clock.advance(90)
    assert why(store, id).startswith("It was cancelled 1 min 30 s ago: replaced by job ")


def test_succeeded_and_failed(store: Store, clock: ManualClock) -> None:
    worker = register(store, lease=10**12)
    good, bad = put(store), put(store)
    first, second = reserve(store, worker, want=2)
    settle(store, worker, first, Kind.SUCCEEDED, started=START, finished=START + 2 * MICROS)
    settle(store, worker, second, Kind.FAILED, error=BOOM)
    clock.advance(3602)
    assert why(store, good) == "It succeeded 1 h ago after 2 s."
    assert why(store, bad) == f"It failed 1 h ago with ValueError: boom; `duly retry {bad}` runs it again."


def test_uncertain(store: Store, clock: ManualClock) -> None:
    id, worker = put(store, flags=int(Flag.AT_MOST_ONCE)), register(store)
    reserve(store, worker)
    clock.advance(20)
    store.rescue(3)
    assert why(store, id).startswith(
        "Nobody knows: its worker died while it ran, 0 ms ago, and it may run at most once"
    )


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (-5, "0 ms"),
        (999_000, "999 ms"),
        (59 * MICROS, "59 s"),
        (60 * MICROS, "1 min"),
        (61 * MICROS, "1 min 1 s"),
        (192 * MINUTE, "3 h 12 min"),
        (1440 * MINUTE, "1 d"),
        (1501 * MINUTE, "1 d 1 h"),
    ],
)
def test_spans(micros: int, text: str) -> None:
    assert span(micros) == text


def test_the_limit_is_the_cause_before_anything_was_parked(store: Store) -> None:
    store.set_limit(Limit(scope="task", name="t", rate=1, per=MINUTE))
    register(store, slots=5)
    first, _, third = put(store), put(store), put(store)
    assert why(store, third) == "Task t: rate limit 1/m, after those before it."
    assert "about to start" in why(store, first)


@pytest.mark.parametrize("name", ["two words", "a;b", "$(x)", "it's", "-x"])
def test_a_hint_can_be_pasted_whatever_the_names(store: Store, name: str) -> None:
    id = put(store, queue=name, id=name)
    register(store)
    store.pause(name)
    for said in (why(store, id), str(examine(store, ManualClock()))):
        for command in re.findall(r"`(duly [^`]*)`", said):
            assert {name, "ID", "APP", "QUEUE", "default"} & set(shlex.split(command)), command
    assert name in shlex.split(re.findall(r"`(.*)`", why(store, id))[0])
    store.resume(name)
    assert shlex.split(re.findall(r"`([^`]*)`", why(store, id))[0])[-1] == name
