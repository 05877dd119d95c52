"""GroupResult and ResultSet, and an AsyncResult's way through its canvas."""

from __future__ import annotations

import asyncio
import threading

import pytest
from canvas_kit import Here

from duly import AsyncResult, GroupResult, IncompleteStream, JobCancelled, ResultSet, chain, chord, group
from duly.testing import World


@pytest.fixture
def kit(world: World) -> Here:
    return Here(world)


def test_a_group_before_and_after(kit: Here) -> None:
    result = group(kit.add.s(i, i) for i in range(3))()
    assert (len(result), result.completed_count(), result.waiting(), result.ready()) == (3, 0, True, False)
    with pytest.raises(TimeoutError, match="3 of 3 jobs have not ended"):
        result.get(timeout=0)
    kit.world.advance(5)
    assert (result.completed_count(), result.waiting(), result.ready(), result.successful()) == (3, False, True, True)
    assert (result.failed(), result.join(), [one.get() for one in result]) == (False, [0, 2, 4], [0, 2, 4])
    assert result[1].get() == 2
    assert list(result.children) == result.results


def test_a_group_with_a_failure(kit: Here) -> None:
    result = group(kit.add.s(1, 1), kit.boom.s(), kit.add.s(2, 2))()
    kit.world.advance(5)
    assert (result.completed_count(), result.ready(), result.successful(), result.failed()) == (2, True, False, True)
    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=1)
    first, error, last = result.get(propagate=False)
    assert (first, type(error), last) == (2, ValueError, 4)
    with pytest.raises(ValueError, match="boom"):
        result.maybe_throw()
    heard: list[object] = []
    assert result.get(propagate=False, callback=lambda id, value: heard.append((id, value))) == []
    assert [id for id, _ in heard] == [one.id for one in result]


def test_get_raises_as_soon_as_one_has_failed(kit: Here) -> None:
    result = group(kit.boom.s(), kit.add.s(1, 1).set(countdown=3600))()
    kit.world.advance(5)
    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=1)
    with pytest.raises(TimeoutError, match="1 of 2 jobs"):
        result.get(timeout=0, propagate=False)


def test_a_group_is_restored_by_its_id(kit: Here) -> None:
    result = group(kit.add.s(i, i) for i in range(3)).apply_async(task_id="mine")
    assert result.save() is result
    again = kit.app.GroupResult("mine")
    assert again == result == GroupResult.restore("mine", kit.app)
    kit.world.advance(5)
    assert again is not None
    assert again.get() == [0, 2, 4]
    assert kit.app.GroupResult("nobody's") is None
    again.delete()
    assert kit.app.GroupResult("mine") is None


def test_a_group_is_cancelled(kit: Here) -> None:
    result = group(kit.add.s(i, i).set(countdown=60) for i in range(3))()
    assert result.cancel() == 3
    assert result.cancel() == 0
    with pytest.raises(JobCancelled):
        result.get(timeout=1)


def test_whoever_waits_for_a_group_is_woken(kit: Here) -> None:
    kit.app.conf.task_always_eager = False
    result = group(kit.add.s(i, i) for i in range(3))()
    got: list[object] = []
    waiter = threading.Thread(target=lambda: got.append(result.get(timeout=20)))
    waiter.start()
    kit.world.advance(5)
    waiter.join(20)
    assert got == [[0, 2, 4]]


async def test_a_group_is_awaited(kit: Here) -> None:
    result = await group(kit.add.s(i, i) for i in range(3)).aapply_async()
    waiting = asyncio.ensure_future(result.aget(timeout=20))  # type: ignore[attr-defined]
    await asyncio.to_thread(kit.world.advance, 5)
    assert await waiting == [0, 2, 4]
    assert await result == [0, 2, 4]
    with pytest.raises(TimeoutError):
        await group(kit.add.s(1, 1).set(countdown=60))().aget(timeout=0)


def test_results_as_they_come(kit: Here) -> None:
    result = group(kit.add.s(1, 1).set(countdown=2), kit.add.s(2, 2).set(countdown=1), kit.boom.s())()
    kit.world.advance(5)
    assert {(id, str(one["result"]), one["status"]) for id, one in result.iter_native(timeout=5)} == {
        (result[0].id, "2", "succeeded"), (result[1].id, "4", "succeeded"), (result[2].id, "boom", "failed"),
    }  # fmt: skip
    with pytest.raises(TimeoutError):
        list(group(kit.add.s(1, 1).set(countdown=60))().iter_native(timeout=0.01))


def test_a_result_set_of_any_results(kit: Here) -> None:
    one, two = kit.add.delay(1, 1), kit.boom.delay()
    results = ResultSet([one])
    results.add(two)
    results.add(two)
    assert len(results) == 2
    assert results.waiting()
    kit.world.advance(5)
    assert (results.completed_count(), results.ready(), results.failed()) == (1, True, True)
    with pytest.raises(ValueError, match="boom"):
        results.get(timeout=1)
    results.discard(two)
    assert results.get(timeout=1) == [2]
    with pytest.raises(KeyError):
        results.remove(two.id)
    results.forget()
    assert one.state == "unknown"
    results.clear()
    assert results.get() == []


def test_the_way_through_a_canvas(kit: Here) -> None:
    last = chain(kit.add.s(1, 1), group(kit.add.s(1), kit.add.s(2)), kit.total.s()).apply_async()
    assert last.parent is not None
    [first] = {one.parent.id for one in last.parent}
    root = kit.app.AsyncResult(first)
    with pytest.raises(IncompleteStream):
        list(root.iterdeps())
    assert len(list(root.iterdeps(intermediate=True))) == 1
    kit.world.advance(5)
    assert (last.root_id, root.root_id, root.parent) == (first, first, None)
    assert [one.id for one in root.children] == [one.id for one in last.parent]
    assert [value for _, value in root.collect()] == [2, 3, 4, 7]
    assert root.get_leaf() == 7
    lone = kit.add.delay(1, 2)
    assert (lone.parent, lone.children, lone.root_id) == (None, [], lone.id)


def test_a_canvas_called_in_a_task_has_it_as_parent(kit: Here) -> None:
    ids: list[str] = []

    @kit.app.task
    def caller() -> None:
        ids.append((kit.where.s() | kit.where.s()).delay().id)

    call = caller.delay()
    kit.world.advance(5)
    first, second = kit.seen
    assert (first["parent_id"], first["root_id"], second["parent_id"]) == (call.id, call.id, first["id"])
    parent = kit.app.AsyncResult(first["id"]).parent
    assert isinstance(parent, AsyncResult)
    assert parent.id == call.id


def test_retrying_the_step_that_failed_goes_on_from_there(kit: Here) -> None:
    broken = [True]

    @kit.app.task
    def fragile(xs: list[int]) -> int:
        if broken:
            raise OSError("no network")
        return sum(xs)

    header = group(kit.add.s(i, i) for i in range(3))
    result = chord(header, fragile.s() | kit.double.s() | kit.note.s()).apply_async()
    kit.world.advance(5)
    with pytest.raises(OSError, match="no network"):
        result.get(timeout=0)
    broken.clear()
    step = result.parent.parent  # type: ignore[union-attr]
    assert isinstance(step, AsyncResult)
    assert step.retry() == "retried"
    assert result.state == "held"
    kit.world.history.reopen(step.id)
    kit.world.advance(5)
    assert result.successful()
    assert kit.seen == [[12]]


def test_a_result_that_was_pruned_is_told(kit: Here) -> None:
    last = (kit.add.s(1, 1) | kit.boom.s()).apply_async()
    kit.world.advance(5)
    [first] = [last.parent]
    assert isinstance(first, AsyncResult)
    assert first.forget()
    last.retry()
    kit.world.history.reopen(last.id)
    kit.world.advance(5)
    with pytest.raises(Exception, match="1 of 1 results that this job is to get are no longer in the store"):
        last.get(timeout=0)
