"""``Filter`` and the pages of ``jobs``: exactly the jobs meant, each once, in order."""

from __future__ import annotations

import itertools
import random

import pytest

from duly.job import STATE_NAMES, Change, Filter, Kind
from duly.store.contract import Order, Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    SECOND,
    T0,
    Base,
    everything,
    finish,
    job,
    put,
    reserve,
    settle,
    take,
    verdicts,
)
from duly.testing.conformance.managing import one_of_each


def found(store: Store, **fields: object) -> set[str]:
    return {view.id for view in everything(store, Filter(**fields))}  # type: ignore[arg-type]


class Selecting(Base):
    """What a filter says is what is shown, cancelled, moved or retried; never more."""

    # -- filters ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", STATE_NAMES)
    def test_states_by_their_names(self, store: Store, worker: int, name: str) -> None:
        ids = one_of_each(store, worker)
        assert found(store, states=(name,)) == {ids[name]}
        [seen] = store.jobs(Filter(states=(name,))).jobs
        assert seen.state_name(store.now()) == name

    def test_several_states(self, store: Store, worker: int) -> None:
        ids = one_of_each(store, worker)
        for names in itertools.combinations(STATE_NAMES, 3):
            assert found(store, states=names) == {ids[name] for name in names}
        assert found(store, states=STATE_NAMES) == set(ids.values())

    def test_scheduled_becomes_queued_at_its_due(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store, due=T0 + SECOND)
        clock.set(T0 + SECOND - 1)
        assert (found(store, states=("scheduled",)), found(store, states=("queued",))) == ({id}, set())
        clock.set(T0 + SECOND)
        assert (found(store, states=("scheduled",)), found(store, states=("queued",))) == (set(), {id})

    def test_a_job_to_be_run_again_is_retrying_before_and_after_its_due(
        self, store: Store, worker: int, clock: ManualClock
    ) -> None:
        id = put(store)
        assert settle(store, worker, take(store, worker), Kind.RETRY, due=T0 + SECOND)
        for _ in range(2):
            assert found(store, states=("retrying",)) == {id}
            assert found(store, states=("scheduled", "queued")) == set()
            clock.advance(2)

    def test_ids(self, store: Store) -> None:
        a, b, _ = put(store), put(store), put(store)
        assert found(store, ids=(a, b, a, "no such job")) == {a, b}

    def test_how_the_id_begins(self, store: Store) -> None:
        for id in ("abc1", "abc2", "abd", "ABC3", "ab%", "ab_c", "ab*"):
            put(store, id=id)
        assert found(store, id_prefix="abc") == {"abc1", "abc2"}
        assert found(store, id_prefix="ab%") == {"ab%"}
        assert found(store, id_prefix="ab_") == {"ab_c"}
        assert found(store, id_prefix="ab*") == {"ab*"}
        assert found(store, id_prefix="abc1") == {"abc1"}
        assert found(store, id_prefix="x") == set()

    def test_queues(self, store: Store) -> None:
        a, b, _ = put(store, queue="a"), put(store, queue="b"), put(store, queue="c")
        assert found(store, queues=("a", "b", "nobody")) == {a, b}
        assert found(store, queues=("A",)) == set()

    def test_a_task_by_its_name(self, store: Store) -> None:
        a = put(store, task="mod.a")
        put(store, task="mod.ab")
        put(store, task="MOD.A")
        assert found(store, task="mod.a") == {a}

    def test_tasks_by_a_glob_of_star_and_question_mark(self, store: Store) -> None:
        ids = {name: put(store, task=name) for name in ("mod.a", "mod.ab", "mod.sub.a", "other", "modxa")}

        def names(glob: str) -> set[str]:
            chosen = found(store, task=glob)
            return {name for name, id in ids.items() if id in chosen}

        assert names("*") == set(ids)
        assert names("mod.*") == {"mod.a", "mod.ab", "mod.sub.a"}
        assert names("mod.?") == {"mod.a"}
        assert names("mod?a") == {"mod.a", "modxa"}
        assert names("*.a") == {"mod.a", "mod.sub.a"}
        assert names("mod") == set()

    @pytest.mark.parametrize("odd", ["a[1]", "a%", "a_", "a\\", "a'", 'a"', "a[!b]", "a]", "a{b}", "ä"])
    def test_only_star_and_question_mark_mean_something(self, store: Store, odd: str) -> None:
        id = put(store, task=odd)
        for other in ("a1", "ab", "a", "axx", "a1]"):
            put(store, task=other)
        assert found(store, task=odd) == {id}
        assert found(store, task=odd[:-1] + "?") >= {id}
        assert id in found(store, task=odd + "*")

    def test_due_from_is_inclusive_and_due_before_exclusive(self, store: Store) -> None:
        ids = [put(store, due=T0 + i) for i in range(5)]
        assert found(store, due_from=T0 + 1, due_before=T0 + 3) == set(ids[1:3])
        assert found(store, due_from=T0 + 3) == set(ids[3:])
        assert found(store, due_before=T0 + 1) == set(ids[:1])
        assert found(store, due_from=T0 + 3, due_before=T0 + 3) == set()

    def test_a_key_of_live_and_finished_jobs(self, store: Store, worker: int) -> None:
        done, live = finish(store, worker, key="k"), put(store, key="k")
        put(store, key="other")
        put(store)
        assert found(store, key="k") == {done, live}
        assert found(store, key="none") == set()

    def test_every_field_must_match(self, store: Store) -> None:
        id = put(store, queue="a", task="t1", due=T0 + 5, key="k")
        put(store, queue="b", task="t1", due=T0 + 5)
        put(store, queue="a", task="t2", due=T0 + 5)
        put(store, queue="a", task="t1", due=T0 + 9)
        all_of = {
            "ids": (id,), "queues": ("a",), "task": "t1", "due_from": T0, "due_before": T0 + 6, "key": "k",
            "states": ("scheduled",),
        }  # fmt: skip
        assert found(store, **all_of) == {id}
        for field, wrong in {
            "ids": ("x",), "queues": ("b",), "task": "t3", "due_from": T0 + 6, "due_before": T0 + 5, "key": "x",
            "states": ("queued",),
        }.items():  # fmt: skip
            assert found(store, **all_of | {field: wrong}) == set(), field

    def test_an_empty_filter_is_every_job(self, store: Store, worker: int) -> None:
        ids = set(one_of_each(store, worker).values())
        assert found(store) == ids

    @pytest.mark.parametrize("field", ["ids", "states", "queues"])
    def test_an_empty_list_is_no_job_at_all(self, store: Store, worker: int, field: str) -> None:
        """``Filter(ids=())`` comes from code that found nothing to cancel. It must not cancel all."""
        id = put(store)
        nothing = Filter(**{field: ()})  # type: ignore[arg-type]
        assert store.jobs(nothing).jobs == []
        assert store.cancel(nothing) == []
        assert store.move(nothing, Change(priority=9)) == []
        assert [lease.id for lease in reserve(store, worker)] == [id]
        assert store.retry(nothing) == []

    def test_cancel_move_and_retry_touch_only_what_matches(self, store: Store, worker: int) -> None:
        a, b = put(store, queue="a"), put(store, queue="b")
        assert verdicts(store.move(Filter(queues=("a",)), Change(due=T0 + 9))) == {a: "moved"}
        assert verdicts(store.cancel(Filter(task="t", due_from=T0 + 1))) == {a: "prevented"}
        assert verdicts(store.retry(Filter(states=("cancelled",)))) == {a: "retried"}
        assert [lease.id for lease in reserve(store, worker, 9, ("b",))] == [b]

    def test_filters_with_very_many_values(self, store: Store) -> None:
        ids = [e.id for e in store.enqueue([job() for _ in range(10)])]
        many = (*ids, *(f"no such job {i}" for i in range(40_000)))
        assert found(store, ids=many) == set(ids)
        assert len([r for r in store.results(many) if r]) == 10
        assert store.forget(many) == 0
        answers = verdicts(store.cancel(Filter(ids=many)))
        assert [answers[id] for id in ids] == ["prevented"] * 10
        assert list(answers.values()).count("unknown") == 40_000

    # -- order and pages -------------------------------------------------------------------------

    def test_newest_is_by_creation(self, store: Store, clock: ManualClock) -> None:
        ids = []
        for i in range(6):
            ids.append(put(store, due=T0 + 60 * SECOND - i, priority=i, id=f"{(i * 5) % 7}"))
            clock.advance(1)
        assert [v.id for v in everything(store, order="newest")] == ids[::-1]

    def test_due_is_the_earliest_first(self, store: Store) -> None:
        rnd = random.Random(3)
        batch = [job(due=T0 + rnd.randrange(10**6), priority=rnd.randrange(10)) for _ in range(50)]
        store.enqueue(batch)
        assert [v.due for v in everything(store, order="due", limit=7)] == sorted(one.due for one in batch)

    @pytest.mark.parametrize("order", ["newest", "due"])
    @pytest.mark.parametrize("limit", [1, 3, 7, 20, 21, 100])
    def test_pages_are_the_whole_in_pieces(self, store: Store, order: Order, limit: int) -> None:
        """With rows that are equal in what they are ordered by."""
        store.enqueue([job(due=T0 + i // 7) for i in range(20)])
        store.enqueue([job(queue="other") for i in range(5)])
        which = Filter(queues=("default",))
        whole = [v.id for v in store.jobs(which, order=order, limit=100).jobs]
        assert len(set(whole)) == 20
        assert [v.id for v in everything(store, which, limit, order=order)] == whole

    @pytest.mark.parametrize("order", ["newest", "due"])
    @pytest.mark.parametrize("seed", range(5))
    def test_pages_skip_and_repeat_nothing_while_rows_change(
        self, store: Store, worker: int, clock: ManualClock, order: Order, seed: int
    ) -> None:
        rnd = random.Random(seed)
        kept = [put(store, due=T0 + rnd.randrange(4)) for _ in range(40)]
        gone = [finish(store, worker) for _ in range(20)]
        clock.advance(1)
        seen: list[str] = []
        after = None
        while True:
            page = store.jobs(Filter(), order=order, after=after, limit=5)
            seen += [v.id for v in page.jobs]
            after = page.after
            if after is None:
                break
            put(store, due=T0 + rnd.randrange(4))
            store.forget([rnd.choice(gone)])
            reserve(store, worker, 2)
            store.cancel(Filter(ids=(rnd.choice(kept),)))
        assert len(seen) == len(set(seen)), "repeated"
        assert set(kept) <= set(seen), "skipped"

    def test_the_last_page_may_vanish_before_it_is_asked_for(self, store: Store, worker: int) -> None:
        ids = [finish(store, worker) for _ in range(4)]
        page = store.jobs(Filter(), limit=2)
        assert page.after is not None
        store.forget(ids)
        page = store.jobs(Filter(), after=page.after, limit=2)
        assert (page.jobs, page.after) == ([], None)

    def test_no_jobs_no_page(self, store: Store) -> None:
        page = store.jobs(Filter())
        assert (page.jobs, page.after) == ([], None)
