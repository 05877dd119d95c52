"""A flood in one queue: priorities, pause and resume, and floods of jobs that cannot start."""

from __future__ import annotations

from duly.ids import new_id
from duly.job import Filter, Job, Limit, State, WorkerInfo
from duly.store import Store
from duly.store import open as open_store
from duly.testing.world import World

MINUTE = 60 * 1_000_000


def flood(store: Store, n: int, **fields: object) -> list[str]:
    jobs = [Job(**{"id": new_id(), "task": "t", "due": store.now(), "queue": "busy"} | fields) for _ in range(n)]
    return [answer.id for answer in store.enqueue(jobs)]


def memory() -> tuple[Store, int]:
    store = open_store("sqlite:///:memory:")
    return store, store.register(WorkerInfo(name="w", host="h", pid=1), 60 * MINUTE)


def test_priorities_hold_in_a_flood() -> None:
    store, worker = memory()
    flood(store, 5_000)
    ids = [flood(store, 1, priority=priority)[0] for priority in range(10)]
    leases = store.exchange(worker, 0, [], 10, ("busy",)).leases
    assert [lease.id for lease in leases[:9]] == ids[:0:-1]
    assert leases[9].priority == 0


def test_a_quiet_queue_is_in_each_batch_of_a_flood_of_one_key() -> None:
    """Whatever it takes to park 5,000 jobs of one key, the first reserve brings what is not held back."""
    store, worker = memory()
    store.set_limit(Limit(scope="key", name="t", concurrency=1))
    flood(store, 5_000, limit_key="acme")
    quiet = flood(store, 1, queue="quiet")
    turns = ("busy", "quiet")
    leases = store.exchange(worker, 0, [], 2, turns).leases
    assert [lease.queue for lease in leases] == ["busy", "quiet"]
    assert leases[1].id == quiet[0]
    later = flood(store, 1, queue="quiet")
    assert [lease.id for lease in store.exchange(worker, 0, [], 1, turns).leases] == later


def test_a_reserve_that_only_parks_says_that_there_is_more() -> None:
    store, worker = memory()
    store.set_limit(Limit(scope="key", name="t", concurrency=1))
    flood(store, 2_000, limit_key="acme")
    assert len(store.exchange(worker, 0, [], 1, ("busy",)).leases) == 1
    other = flood(store, 1, limit_key="other")
    answers = [store.exchange(worker, 0, [], 1, ("busy",)) for _ in range(5)]
    assert [len(answer.leases) for answer in answers] == [0, 0, 0, 1, 0]
    assert answers[3].leases[0].id == other[0]
    assert [answer.more for answer in answers] == [True, True, True, False, False]


def test_a_flood_of_expired_jobs_is_passed_in_a_few_steps() -> None:
    store, worker = memory()
    flood(store, 1_200, expires=store.now() + 1, priority=5)
    good = flood(store, 1)
    answers = []
    while not answers or answers[-1].more:
        answers.append(store.exchange(worker, 0, [], 1, ("busy",)))
    assert [lease.id for lease in answers[-1].leases] == good
    assert len(answers) <= 4


def test_a_job_under_a_rate_limit_does_not_hold_up_those_behind_it() -> None:
    store, worker = memory()
    store.set_limit(Limit(scope="task", name="slow", rate=1, per=MINUTE))
    now = store.now()
    store.enqueue([Job(id="a", task="t", due=now - 3), Job(id="b", task="slow", due=now - 2)])
    store.enqueue([Job(id="c", task="t", due=now - 1), Job(id="d", task="slow", due=now)])
    first = store.exchange(worker, 0, [], 10, ("default",)).leases
    second = store.exchange(worker, 0, [], 10, ("default",)).leases
    assert [[lease.id for lease in leases] for leases in (first, second)] == [["a", "c"], ["b"]]


def test_a_paused_queue_starts_nothing_and_goes_on_where_it_was() -> None:
    with World() as world:

        @world.app.task
        def work() -> None: ...

        world.takes(work.name, 1.0)
        for _ in range(50):
            work.apply_async(queue="busy")
        world.worker(queues=("busy", "quiet"), concurrency=2)
        world.advance(5)
        world.store.pause("busy")
        world.advance(5)
        held = [
            job for job in world.store.jobs(Filter(queues=("busy",)), limit=100).jobs if job.state == State.WAITING
        ]
        quiet = work.apply_async(queue="quiet")
        world.advance(3)
        assert quiet.state == "succeeded"
        assert {world.states()[job.id] for job in held} == {State.WAITING}
        assert 30 < len(held) < 48
        world.store.resume("busy")
        world.advance(60)
        assert set(world.states().values()) == {State.SUCCEEDED}
