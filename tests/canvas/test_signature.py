"""Signatures: completing, changing and refusing them; when their jobs are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from canvas_kit import Here

from duly import Signature, StampingVisitor, TaskNotRegistered, chain, chord, chunks, group, signature
from duly.job import Filter
from duly.signature import maybe_signature
from duly.testing import World


@pytest.fixture
def kit(world: World) -> Here:
    return Here(world)


def test_what_it_is_made_of(kit: Here) -> None:
    sig = kit.add.signature((1,), {"y": 2}, queue="q", immutable=True)
    assert (sig.task, sig.name, sig.args, sig.kwargs) == (kit.add.name, kit.add.name, (1,), {"y": 2})
    assert (sig.options, sig.immutable, sig.subtask_type, sig.type) == ({"queue": "q"}, True, None, kit.add)
    assert repr(sig) == f"{kit.add.name}(1, y=2)"
    assert sig(3) == 3, "an immutable one takes no argument"
    assert kit.add.s(2)(1) == 3


def test_completing_and_changing(kit: Here) -> None:
    sig = kit.add.s(2, extra=1)
    more = sig.clone((1,), {"other": 2}, queue="q")
    assert (more.args, more.kwargs, more.options) == ((1, 2), {"extra": 1, "other": 2}, {"queue": "q"})
    assert (sig.args, sig.kwargs, sig.options) == ((2,), {"extra": 1}, {})
    assert kit.add.si(2).clone((1,)).args == (2,)
    assert sig.replace(args=(9,), kwargs={}).args == (9,)
    assert sig.set(queue="x", immutable=True) is sig
    assert (sig.options, sig.immutable) == ({"queue": "x"}, True)
    assert [one.task for one in kit.add.s().on_error(kit.boom.s()).flatten_links()] == [kit.add.name]
    linked = kit.add.s()
    linked.link(kit.double.s())
    assert [one.task for one in linked.flatten_links()] == [kit.add.name, kit.double.name]


def test_making_it_again(kit: Here) -> None:
    sig = signature("shop.add", (1,), {"y": 2}, {"queue": "q"}, immutable=True)
    assert sig == {
        "task": "shop.add", "args": (1,), "kwargs": {"y": 2}, "options": {"queue": "q"}, "subtask_type": None,
        "immutable": True,
    }  # fmt: skip
    assert signature(sig) is sig
    assert type(signature(dict(kit.add.s(1) | kit.add.s(2)))) is chain
    assert maybe_signature(None) is None
    assert isinstance(maybe_signature({"task": "x"}), Signature)
    with pytest.raises(TypeError, match="no signature"):
        signature({"name": "x"})
    with pytest.raises(TaskNotRegistered):
        _ = kit.app.signature("nobody.knows").type


def test_wrong_arguments_are_refused_at_the_call(kit: Here) -> None:
    for wrong, said in [
        (kit.add.s(1), "missing a required argument: 'y'"),
        (kit.add.s(1, 2) | kit.add.s(1, 2), "too many positional"),
        (kit.add.s("1", 2), "does not fit its annotation int"),
        (kit.add.s(1, 2) | kit.add.s("1"), "argument 'y' does not fit"),
        (kit.add.s(1, 2) | kit.add.s(z=1), "unexpected keyword argument 'z'|missing a required argument"),
        (kit.add.s(1, 2).set(kyeu="x"), "no option 'kyeu'"),
        (kit.add.s(1, 2).set(key="k") | kit.double.s(), "a job of a canvas has no key"),
    ]:
        with pytest.raises(TypeError, match=said):
            wrong.apply_async()
    assert kit.app.jobs().jobs == [], "nothing of a canvas that was refused is stored"


def test_wrong_canvases_are_refused(kit: Here) -> None:
    with pytest.raises(ValueError, match="empty chain"):
        chain().apply_async()
    with pytest.raises(TypeError, match=r"expected signatures, like task\.s"):
        group(kit.add, kit.add)
    with pytest.raises(TypeError, match="one iterable of them"):
        chain(5)
    with pytest.raises(ValueError, match="has no body"):
        chord([kit.add.s(1, 1)]).apply_async()
    with pytest.raises(ValueError, match="n=0"):
        chunks(kit.add, [(1, 1)], 0)
    with pytest.raises(TypeError, match="link or link_error='x'"):
        kit.add.apply_async((1, 2), link="x")
    with pytest.raises(TypeError, match="the body has to be a signature"):
        chord([kit.add.s(1, 1)], 5)
    with pytest.raises(TypeError, match="expected a task, its name"):
        signature(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="an empty group"):
        group().link(kit.add.s())
    with pytest.raises(TypeError, match="unsupported operand"):
        kit.add.s(1, 1) | 5


def test_a_limit_key_needs_all_arguments(kit: Here) -> None:
    @kit.app.task(limit_key=lambda x: x)
    def limited(x: int) -> None: ...

    with pytest.raises(TypeError, match="has a limit_key"):
        (kit.add.s(1, 1) | limited.s()).apply_async()
    assert limited.si(1).apply_async().id


def test_options_reach_the_jobs_they_are_for(kit: Here) -> None:
    chain(kit.add.s(1, 1), kit.double.s(), kit.double.s()).apply_async(
        queue="q", priority=3, countdown=60, headers={"a": 1}, task_id="end"
    )
    jobs = kit.app.jobs().jobs
    assert {(one.queue, one.priority, one.headers) for one in jobs} == {("q", 3, b'{"a":1}')}
    now = kit.app.now()
    assert sorted(one.due - now > 0 for one in jobs) == [False, False, True]
    assert jobs[0].id == "end"


def test_a_gatherer_runs_where_those_run_that_it_waits_for(kit: Here) -> None:
    @kit.app.task(queue="far", priority=5)
    def away(x: int) -> int:
        return x

    chord([chain(away.s(1), group(away.s(), away.s()))], kit.same.s()).apply_async()
    [one] = kit.app.jobs(Filter(task="duly.collect")).jobs
    assert (one.queue, one.priority) == ("far", 5)
    away.map([1]).apply_async()
    [one] = kit.app.jobs(Filter(task="duly.map")).jobs
    assert one.queue == "far"


def test_a_countdown_of_a_later_step_counts_from_the_end_of_the_one_before(kit: Here) -> None:
    kit.world.takes(kit.add.name, 100)
    result = (kit.add.s(1, 1) | kit.double.s().set(countdown=30, expires=60)).apply_async()
    kit.world.advance(129)
    assert result.state == "scheduled"
    kit.world.advance(2)
    assert result.get(timeout=0) == 4


def test_an_eta_of_a_later_step_is_an_instant(kit: Here) -> None:
    at = datetime.fromtimestamp(kit.app.now() / 1e6, UTC) + timedelta(seconds=500)
    result = (kit.add.s(1, 1) | kit.double.s().set(eta=at, expires=at + timedelta(seconds=10))).apply_async()
    kit.world.advance(499)
    assert result.state == "scheduled"
    kit.world.advance(2)
    assert result.get(timeout=0) == 4
    mixed = kit.add.s(1, 1) | kit.double.s().set(countdown=1, expires=at + timedelta(days=1))
    with pytest.raises(ValueError, match="give it as seconds too"):
        mixed.apply_async()


def test_a_group_that_is_skewed(kit: Here) -> None:
    group(kit.add.s(1, 1), kit.add.s(1, 2), kit.add.s(1, 3)).skew(1, 2).apply_async()
    now = kit.app.now()
    assert [round((one.due - now) / 1e6) for one in reversed(kit.app.jobs().jobs)] == [1, 2, 1]


def test_a_visitor_stamps_what_it_likes(kit: Here) -> None:
    class Visitor(StampingVisitor):
        def on_signature(self, sig: Signature[object], **headers: object) -> dict[str, object]:
            return {"name": sig.task.rpartition(".")[2], "trace": "t", "stamped_headers": ["name"]}

        def on_callback(self, sig: Signature[object], **headers: object) -> dict[str, object]:
            return {"called_back": True}

    sig = kit.where.s() | kit.where.s()
    sig.link(kit.where.s())
    sig.stamp(Visitor(), tenant="blue")
    kit.run(sig)
    assert [one["stamps"] for one in kit.seen] == [
        {"name": ["where"], "tenant": ["blue"]},
        {"name": ["where"], "tenant": ["blue"]},
        {"called_back": [True], "name": ["where"], "tenant": ["blue"]},
    ]


async def test_coroutines_call_them_too(kit: Here) -> None:
    result = await (kit.add.s(1) | kit.double.s()).adelay(1)
    kit.app.conf.task_always_eager = False
    import asyncio

    await asyncio.to_thread(kit.world.advance, 5)
    assert await result == 4


def test_a_canvas_that_is_called_is_stored(kit: Here) -> None:
    """A signature that is called runs its function here; a canvas has none, and is stored, as in Celery."""
    called = [
        chain(kit.add.s(1, 2), kit.double.s())(),
        chain(kit.add.s(2) | kit.double.s())(1),
        (kit.add.s(2) | kit.double.s())(1),
        chain(kit.add.si(1, 2), kit.double.s())(queue="slow"),
        group(kit.add.s(1, 2), kit.add.s(3, 4))(),
        chord([kit.add.s(1, 2), kit.add.s(3, 4)])(kit.total.s()),
        kit.add.chunks([(1, 2), (3, 4)], 1)(),
    ]
    kit.world.advance(2)
    assert [one.get(timeout=0) for one in called] == [6, 6, 6, 6, [3, 7], 10, [[3], [7]]]
