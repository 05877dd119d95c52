"""``results``, ``counts``, ``due_counts``, ``effects`` and the audit trail."""

from __future__ import annotations

import msgspec

from duly.job import COUNT_CAP, Filter, Kind, QueueCount, State
from duly.messages import Action
from duly.store.contract import Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import BOOM, SECOND, T0, Base, finish, job, put, reserve, settle, take


class Looking(Base):
    """What callers and people are shown."""

    def test_results_come_in_the_order_asked_with_none_for_the_unknown(self, store: Store, worker: int) -> None:
        failed, done = finish(store, worker, Kind.FAILED), finish(store, worker)
        waiting = put(store, due=T0 + SECOND)
        answer = store.results([done, "no such job", waiting, failed, done])
        assert [one.id if one else None for one in answer] == [done, None, waiting, failed, done]
        assert answer[0] == answer[4]
        assert answer[3] is not None
        assert (answer[3].state, answer[3].error, answer[3].attempt) == (State.FAILED, BOOM, 1)
        assert answer[2] is not None
        assert (answer[2].state, answer[2].due, answer[2].attempt) == (State.WAITING, T0 + SECOND, 0)
        assert answer[2].state_name(T0) == "scheduled"
        assert store.results([]) == []

    def test_results_are_there_when_the_settle_returned(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        [running] = store.results([id])
        assert running is not None
        assert (running.state, running.result) == (State.RUNNING, None)
        assert settle(store, worker, lease, result=b"42")
        [done] = store.results([id])
        assert done is not None
        assert (done.state, done.result, done.error) == (State.SUCCEEDED, b"42", None)

    def test_large_values_are_kept(self, store: Store, worker: int) -> None:
        big = b'"' + b"x" * 3_000_000 + b'"'
        id = put(store, args=big)
        lease = take(store, worker)
        assert lease.args == big
        assert settle(store, worker, lease, result=big, log=big)
        assert store.results([id])[0].result == big  # type: ignore[union-attr]

    def test_counts_of_every_queue_with_live_jobs(self, store: Store, worker: int, clock: ManualClock) -> None:
        assert store.counts() == []
        put(store, queue="a", due=T0 - 5)
        put(store, queue="a", due=T0 - 9, priority=3)
        put(store, queue="a", due=T0 + SECOND)
        put(store, queue="b", due=T0 + 2 * SECOND)
        put(store, queue="c")
        take(store, worker, queue="c")
        finish(store, worker)
        counts = sorted(store.counts(), key=lambda count: count.queue)
        assert counts == [
            QueueCount(queue="a", ready=2, scheduled=1, running=0, oldest=T0 - 9),
            QueueCount(queue="b", ready=0, scheduled=1, running=0, oldest=None),
            QueueCount(queue="c", ready=0, scheduled=0, running=1, oldest=None),
        ]
        clock.advance(1)
        assert next(c for c in store.counts() if c.queue == "a") == QueueCount(
            queue="a", ready=3, scheduled=0, running=0, oldest=T0 - 9
        )

    def test_counts_include_jobs_to_be_run_again(self, store: Store, worker: int) -> None:
        put(store)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + SECOND)
        assert store.counts() == [QueueCount(queue="default", ready=0, scheduled=1, running=0, oldest=None)]

    def test_counts_stop_at_the_cap(self, store: Store, worker: int) -> None:
        store.enqueue([job(due=T0 - i % 3) for i in range(COUNT_CAP + 10)])
        store.enqueue([job(due=T0 + SECOND) for _ in range(COUNT_CAP + 10)])
        store.enqueue([job(queue="small")])
        assert sorted(store.counts(), key=lambda count: count.queue) == [
            QueueCount(queue="default", ready=COUNT_CAP, scheduled=COUNT_CAP, running=0, oldest=T0 - 2),
            QueueCount(queue="small", ready=1, scheduled=0, running=0, oldest=T0),
        ]
        reserve(store, worker, 100)
        assert next(c.running for c in store.counts() if c.queue == "default") == 100

    def test_due_counts_by_queue_and_span(self, store: Store, worker: int) -> None:
        edges = [T0 + n * SECOND for n in (1, 2, 3, 5)]
        assert store.due_counts(edges) == {}
        put(store, queue="a", due=T0)  # before the first edge
        put(store, queue="a", due=edges[0])  # an edge belongs to the span that it begins
        put(store, queue="a", due=edges[0] + 7, priority=5)
        put(store, queue="a", due=edges[1])
        put(store, queue="b", due=edges[3] - 1)
        put(store, queue="b", due=edges[3])  # the last edge is outside
        put(store, queue="c", due=T0)
        assert store.due_counts(edges) == {"a": [2, 1, 0], "b": [0, 0, 1]}
        assert settle(store, worker, take(store, worker, queue="c"), Kind.RETRY, due=edges[2] + 1)
        assert store.due_counts(edges)["c"] == [0, 0, 1]
        store.cancel(Filter(queues=("a", "b", "c")))
        assert store.due_counts(edges) == {}
        assert store.due_counts([]) == store.due_counts([T0]) == {}

    def test_due_counts_stop_at_the_cap(self, store: Store) -> None:
        ahead = T0 + SECOND
        store.enqueue([job(due=ahead, priority=i % 3) for i in range(COUNT_CAP + 10)])
        assert store.due_counts([T0, ahead + 1, ahead + 2]) == {"default": [COUNT_CAP, 0]}
        assert store.due_counts([T0, ahead + 1, ahead + 2], 7) == {"default": [7, 0]}

    def test_effects_of_a_job_by_key(self, store: Store, worker: int) -> None:
        id = put(store)
        lease = take(store, worker)
        store.save_effect(lease, "b", b"2")
        store.save_effect(lease, "a", b"1")
        assert store.effects(id) == [("a", b"1"), ("b", b"2")]
        assert store.effects("no such job") == []

    def test_the_audit_trail_newest_first(self, store: Store) -> None:
        assert store.actions() == []
        said = [Action(at=T0 + n, who="ann", verb="cancel", what=f"job {n}", updated=T0) for n in range(5)]
        ids = [store.record_action(action) for action in said]
        assert ids == sorted(set(ids))
        assert [action.what for action in store.actions()] == [f"job {n}" for n in (4, 3, 2, 1, 0)]
        page = store.actions(limit=2)
        assert [action.id for action in page] == [ids[4], ids[3]]
        assert [action.id for action in store.actions(before=page[-1].id, limit=9)] == [ids[2], ids[1], ids[0]]

    def test_a_line_of_the_audit_trail_says_how_far_it_came(self, store: Store) -> None:
        line = Action(at=T0, who="ann", verb="retry", what="state:failed", total=9, state="running", updated=T0)
        id = store.record_action(line)
        later = msgspec.structs.replace(line, id=id, done=4, seen=5, state="failed", updated=T0 + SECOND)
        assert store.record_action(later) == id
        assert store.actions() == [later]

    def test_old_lines_of_the_audit_trail_are_pruned(self, store: Store) -> None:
        for at in (T0, T0 + SECOND):
            store.record_action(Action(at=at, who="ann", verb="pause", what="queue a", updated=at))
        store.prune(0, T0 + 1, 100)
        assert [action.at for action in store.actions()] == [T0 + SECOND]

    def test_looking_changes_nothing(self, store: Store, worker: int) -> None:
        id = put(store)
        take(store, worker)
        for _ in range(2):
            store.jobs(Filter())
            store.counts()
            store.due_counts([T0, T0 + SECOND])
            store.effects(id)
            store.actions()
            store.results([id])
            store.workers()
            store.attempts(id)
            store.rollups(0, 2**60)
            store.next_due(["default"])
        [seen] = store.results([id])
        assert seen is not None
        assert seen.state == State.RUNNING
