"""Chains, groups and chords, in each other in every way: what comes out, in a store and run by the caller."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from canvas_kit import Here

from duly import ChordError, GroupResult, Signature, chain, chord, chunks, group, signature, xmap, xstarmap
from duly.job import Filter


def test_a_chain_hands_each_result_to_the_next(here: Here) -> None:
    assert here.run(here.add.s(1, 2) | here.double.s() | here.add.s(10)) == 16
    assert here.run(chain(here.add.s(1, 2), here.double.s(), here.add.s(10))) == 16
    assert here.run(chain([here.add.s(1, 2), here.double.s()]) | here.add.s(10)) == 16
    assert here.run(chain(step for step in (here.add.s(1, 2), here.double.s()))) == 6
    assert here.run(chain(here.add.s(1), here.double.s()).delay(4)) == 10


def test_an_immutable_step_takes_no_result(here: Here) -> None:
    assert here.run(here.add.s(1, 2) | here.add.si(5, 5) | here.double.s()) == 20
    assert here.run(chain(here.add.s(1, 2), here.double.signature((7,), immutable=True))) == 14


def test_chains_in_chains_are_one(here: Here) -> None:
    inner = here.double.s() | here.double.s()
    assert here.run(here.add.s(1, 1) | inner | here.add.s(1)) == 9
    assert here.run(chain(chain(here.add.s(1, 1)), chain(here.double.s(), chain(here.double.s())))) == 8


def test_a_group_gives_a_list_in_order(here: Here) -> None:
    result = group(here.add.s(i, i) for i in range(5))()
    assert isinstance(result, GroupResult)
    assert here.run(result) == [0, 2, 4, 6, 8]
    assert here.run(group(here.add.s(1), here.add.s(2)).delay(10)) == [11, 12]
    assert here.run(group()) == []
    assert here.run(group([here.add.s(1, 1)])) == [2]
    assert here.run(group(group(here.add.s(1, 1), here.add.s(2, 2)), here.add.s(3, 3))) == [2, 4, 6]


def test_a_chord_hands_the_list_to_its_body(here: Here) -> None:
    header = [here.add.s(i, i) for i in range(4)]
    assert here.run(chord(header)(here.total.s())) == 12
    assert here.run(chord(header, here.total.s())) == 12
    assert here.run(group(header) | here.total.s()) == 12
    assert here.run(group(header) | here.total.s() | here.double.s()) == 24
    assert here.run(chord(header, here.add.si(1, 1))) == 2
    assert here.run(chord([], here.total.s())) == 0
    assert here.run(chord([here.add.s(1, 1)], here.same.s())) == [2]
    assert here.run(chord((here.add.s(i, i) for i in range(3)), here.total.s())) == 6


def test_groups_in_chains_are_chords(here: Here) -> None:
    two = group(here.add.s(1), here.add.s(2))
    assert here.run(chain(here.add.s(1, 1), two, here.total.s())) == 7
    assert here.run(here.add.s(1, 1) | two | here.total.s() | here.double.s()) == 14
    assert here.run(here.add.s(1, 1) | two) == [3, 4]
    assert here.run(chain(two.clone((10,)), group(here.total.s(), here.total.s()), here.total.s())) == 46
    assert here.run(chain(group(here.add.s(1, 1)), here.double.s())) == 4, "a group of one is that one, in a chain"


def test_what_ends_in_a_group_is_one_element_of_a_header(here: Here) -> None:
    splits = chain(here.add.s(1, 1), group(here.add.s(1), here.add.s(2)))
    assert here.run(chord([splits, here.add.s(5, 5)], here.same.s())) == [[3, 4], 10]
    assert here.run(group(splits, here.add.s(5, 5))) == [[3, 4], 10]
    assert here.run(chord([chord([splits], here.same.s()), splits], here.same.s())) == [[[3, 4]], [3, 4]]


def test_bodies_of_every_kind(here: Here) -> None:
    header = [here.add.s(1, 1), here.add.s(2, 2)]
    assert here.run(chord(header, here.total.s() | here.double.s())) == 12
    assert here.run(chord(header, group(here.total.s(), here.same.s()))) == [6, [2, 4]]
    assert here.run(chord(header, chord([here.total.s(), here.total.s()], here.total.s()))) == 12
    assert here.run(chord(header, group(here.total.s(), here.total.s())) | here.total.s()) == 12


def test_maps_and_chunks(here: Here) -> None:
    assert here.run(here.double.map([1, 2, 3])) == [2, 4, 6]
    assert here.run(xmap(here.double.s(), range(3))) == [0, 2, 4]
    assert here.run(here.add.starmap(zip(range(3), range(3), strict=True))) == [0, 2, 4]
    assert here.run(xstarmap(here.add, [(1, 2)])) == [3]
    assert here.run(here.add.chunks(zip(range(5), range(5), strict=True), 2)) == [[0, 2], [4, 6], [8]]
    assert here.run(chunks(here.add, [(1, 1)], 10)()) == [[2]]
    assert here.run(chord(here.add.chunks([(1, 1), (2, 2)], 1), here.same.s())) == [[2], [4]]
    assert here.run(here.add.chunks([(1, 1), (2, 2)], 1) | here.same.s()) == [[2], [4]]


def test_a_map_of_an_async_task(here: Here) -> None:
    @here.app.task
    async def triple(x: int) -> int:
        return 3 * x

    assert here.run(triple.map([1, 2])) == [3, 6]
    assert here.run(here.add.s(1, 1) | triple.s() | here.double.s()) == 12


def test_results_keep_their_types(here: Here) -> None:
    from datetime import date

    @here.app.task
    def birthday(year: int) -> date:
        return date(year, 2, 3)

    @here.app.task
    def decade(day: date) -> str:
        return f"{day.year // 10 * 10}s"

    @here.app.task
    def oldest(days: list[date]) -> date:
        return min(days)

    assert here.run(birthday.s(1987) | decade.s()) == "1980s"
    assert here.run(group(birthday.s(1987), birthday.s(1970)) | oldest.s()) == date(1970, 2, 3)
    assert here.run(birthday.s(1987) | here.same.s()) == date(1987, 2, 3)


def test_results_that_are_needed_are_kept_though_the_task_ignores_them(here: Here) -> None:
    @here.app.task(ignore_result=True)
    def quiet(x: int) -> int:
        return x + 1

    assert here.run(quiet.s(1) | here.double.s()) == 4
    assert here.run(quiet.s(1) | here.double.si(7) | quiet.s()) is None


# -- failure -------------------------------------------------------------------------------------


def test_a_chain_fails_with_the_error_of_its_step(here: Here) -> None:
    with pytest.raises(ValueError, match="boom"):
        here.run(here.add.s(1, 1) | here.boom.s() | here.note.s() | here.note.s())
    assert here.seen == []


def test_a_chord_fails_with_chord_error(here: Here) -> None:
    with pytest.raises(ChordError, match=r"Dependency \S+ raised ValueError: boom") as caught:
        here.run(chord([here.add.s(1, 1), here.boom.s()], here.note.s()))
    if not here.app.conf.task_always_eager:  # where the error goes through no store again
        assert isinstance(caught.value.__cause__, ValueError)
    assert here.seen == []


def test_an_error_goes_through_nested_canvases(here: Here) -> None:
    inner = chord([here.add.s(1, 1), here.boom.s()], here.same.s())
    with pytest.raises(ChordError):
        here.run(chord([inner | here.same.s(), here.add.s(1, 1)], here.note.s()))
    with pytest.raises(ValueError, match="boom"):
        here.run(chain(inner, here.double.s(), here.double.s()))


def test_callbacks(here: Here) -> None:
    assert here.run(here.add.s(1, 2).set(link=here.note.s("own"))) == 3
    sig = here.add.s(2, 2)
    sig.link(here.double.s() | here.note.s())
    sig.link(here.note.si("fixed"))
    here.run(sig)
    here.run(here.add.apply_async((1, 2), link=[here.note.s(), here.note.s(5)]))
    with pytest.raises(ValueError, match="boom"):
        here.run(here.boom.apply_async(link=here.note.s("never")))
    assert sorted(map(str, here.seen)) == sorted(map(str, [[3, "own"], [8], ["fixed"], [3], [3, 5]]))


def test_callbacks_of_a_chain_follow_its_last_step(here: Here) -> None:
    sig = here.add.s(1, 1) | here.double.s()
    sig.link(here.note.s())
    assert here.run(sig) == 4
    assert here.run(sig.apply_async(link=here.note.s("too"))) == 4
    assert sorted(map(str, here.seen)) == ["[4, 'too']", "[4]", "[4]"]


def test_an_errback_gets_the_id_or_the_request_the_error_and_the_traceback(here: Here) -> None:
    sig = here.boom.s(1)
    sig.link_error(here.tell_id.s())
    assert sig.link_error(here.tell_error.s()) == here.tell_error.s()
    result = sig.apply_async()
    with pytest.raises(ValueError, match="boom"):
        here.run(result)
    [id, (request, task, exc, traceback)] = sorted(here.seen, key=lambda one: isinstance(one, tuple))
    assert (id, request, task) == (result.id, result.id, "boom")
    assert (type(exc), str(exc)) == (ValueError, "boom")
    assert "raise ValueError" in traceback


def test_an_errback_with_arguments_of_its_own(here: Here) -> None:
    @here.app.task
    def mail(id: str, to: str) -> None:
        here.seen.append((id, to))

    result = here.boom.s().on_error(mail.s("ann")).on_error(here.note.si("fixed")).delay()
    with pytest.raises(ValueError, match="boom"):
        here.run(result)
    assert sorted(here.seen, key=str) == sorted([(result.id, "ann"), ["fixed"]], key=str)


def test_success_calls_no_errback(here: Here) -> None:
    sig = (here.add.s(1, 1) | here.double.s()).on_error(here.tell_id.s() | here.note.s())
    assert here.run(sig) == 4
    assert here.seen == []
    assert here.app.jobs(Filter(states=("held", "queued"))).jobs == []


def test_the_errback_of_a_chain_is_told_of_the_step_that_failed(here: Here) -> None:
    sig = here.add.s(1, 1) | here.boom.s() | here.double.s() | here.double.s()
    with pytest.raises(ValueError, match="boom"):
        here.run(sig.on_error(here.tell_error.s()))
    [(_, task, exc, _)] = here.seen
    assert (task, str(exc)) == ("boom", "boom")


def test_the_errback_of_a_chords_body_gets_a_chord_error(here: Here) -> None:
    sig = chord([here.add.s(1, 1), here.boom.s(), here.boom.s()], here.total.s())
    sig.link_error(here.tell_error.s())
    with pytest.raises(ChordError):
        here.run(sig)
    [(_, task, exc, _)] = here.seen
    assert task == "total"
    assert isinstance(exc, ChordError)


def test_the_errback_of_a_group_is_called_for_each_that_fails(here: Here) -> None:
    sig = group(here.boom.s(1), here.add.s(1, 1), here.boom.s(2))
    sig.link_error(here.tell_id.s())
    result = sig.apply_async()
    with pytest.raises(ValueError, match="boom"):
        here.run(result)
    assert sorted(here.seen) == sorted([result[0].id, result[2].id])


# -- where a job stands --------------------------------------------------------------------------


def test_a_request_knows_its_canvas(here: Here) -> None:
    result = chord([here.where.s(), here.where.s()], here.where.s() | here.where.s()).apply_async()
    here.run(result)
    by_id = {one["id"]: one for one in here.seen}
    first, second, body, last = here.seen
    assert {one["root_id"] for one in here.seen} == {first["id"]}
    assert (first["parent_id"], first["group_index"], second["group_index"]) == (None, 0, 1)
    assert first["group"] == second["group"] is not None
    assert first["chord"] == second["chord"] in by_id
    assert body["parent_id"] == second["id"]
    assert (last["id"], last["parent_id"], last["group"]) == (result.id, body["id"], None)
    assert result.parent.id == body["id"]
    assert isinstance(result.parent.parent, GroupResult)
    assert [one.id for one in result.parent.parent] == [first["id"], second["id"]]


def test_ids_may_be_chosen(here: Here) -> None:
    assert (here.add.s(1, 1) | here.double.s()).apply_async(task_id="last").id == "last"
    assert chord([here.add.s(1, 1)], here.total.s()).apply_async(task_id="body").id == "body"
    assert group(here.add.s(1, 1), here.add.s(1, 2)).apply_async(task_id="both").id == "both"
    frozen = here.add.s(1, 1)
    assert frozen.freeze("mine").id == "mine" == frozen.id
    assert here.run(frozen | here.double.s()) == 4
    with pytest.raises(ValueError, match="given twice"):
        (frozen | frozen.set(immutable=True)).apply_async()


def test_stamps(here: Here) -> None:
    sig = chord([here.where.s()], here.where.s().set(headers={"own": 1}))
    sig.stamp(tenant="blue", ids=[1, 2])
    here.run(sig)
    assert [one["stamps"] for one in here.seen] == [{"tenant": ["blue"], "ids": [1, 2]}] * 2


# -- signatures as data --------------------------------------------------------------------------


def canvases(here: Here) -> list[Signature[Any]]:
    return [
        here.add.s(1, 2),
        here.add.si(1, 2),
        here.add.s(1, 2).set(queue="default", countdown=1) | here.double.s(),
        chain(here.add.s(1, 1), group(here.add.s(1), here.add.s(2)), here.total.s()),
        chord([here.add.s(1, 1), here.add.s(2, 2)], here.total.s() | here.double.s()),
        here.double.map([1, 2]),
        here.add.starmap([(1, 2)]),
        here.add.chunks([(1, 1), (2, 2)], 1),
    ]


def test_a_signature_goes_through_json_and_pickle(here: Here) -> None:
    for sig in canvases(here):
        wanted = here.run(sig)
        for again in (json.loads(json.dumps(sig)), pickle.loads(pickle.dumps(sig))):
            back = signature(again, app=here.app)
            assert type(back) is type(sig)
            assert here.run(back) == wanted, sig


def test_a_signature_may_be_an_argument(here: Here) -> None:
    @here.app.task
    def caller(callback: dict[str, Any]) -> str:
        return signature(callback, app=here.app).apply_async((5,)).id

    id = here.run(caller.s(here.double.s() | here.note.s()))
    assert here.seen == [[10]]
    assert id


def test_calling_leaves_a_signature_as_it_was(here: Here) -> None:
    for sig in canvases(here):
        before = json.dumps(sig)
        here.run(sig)
        here.run(sig)
        assert json.dumps(sig) == before
