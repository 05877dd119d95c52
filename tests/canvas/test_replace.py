"""self.replace: a job that goes on as a canvas."""

from __future__ import annotations

import pytest
from canvas_kit import Here

from duly import ChordError, Task, chain, chord, group


def test_a_job_goes_on_as_whatever_it_says(here: Here) -> None:
    kinds = {
        "one": lambda: here.add.s(1, 1),
        "chain": lambda: here.add.s(1, 1) | here.double.s(),
        "group": lambda: group(here.add.s(1, 1), here.add.s(2, 2)),
        "chord": lambda: chord([here.add.s(1, 1), here.add.s(2, 2)], here.total.s()),
        "body": lambda: chord([here.add.s(1, 1)], group(here.total.s(), here.total.s())),
        "map": lambda: here.double.map([1, 2]),
        "chunks": lambda: here.add.chunks([(1, 1), (2, 2)], 1),
    }

    @here.app.task(bind=True)
    def become(self: Task[..., object], what: str) -> None:
        self.replace(kinds[what]())

    wanted = {
        "one": 2, "chain": 4, "group": [2, 4], "chord": 6, "body": [2, 2], "map": [2, 4], "chunks": [[2], [4]],
    }  # fmt: skip
    for what, value in wanted.items():
        result = become.delay(what)
        assert here.run(result) == value, what
        assert here.run(become.s(what) | here.same.s()) == value, what
        assert here.run(chord([become.s(what), here.add.s(0, 0)], here.same.s())) == [value, 0], what


def test_a_replacement_may_replace_itself_again(here: Here) -> None:
    @here.app.task(bind=True)
    def countdown(self: Task[..., object], n: int) -> str:
        if n:
            self.replace(countdown.s(n - 1))
        return "go"

    assert here.run(countdown.s(5)) == "go"


def test_links_of_both_are_followed(here: Here) -> None:
    @here.app.task(bind=True)
    def become(self: Task[..., object]) -> None:
        self.replace(here.add.s(1, 1).set(link=here.note.s("its")))

    here.run(become.s().set(link=here.note.s("mine")))
    assert sorted(here.seen) == [[2, "its"], [2, "mine"]]


def test_its_failure_is_the_jobs(here: Here) -> None:
    @here.app.task(bind=True)
    def become(self: Task[..., object]) -> None:
        self.replace(chain(here.boom.s(), here.note.s()))

    with pytest.raises(ValueError, match="boom"):
        here.run(become.s().on_error(here.tell_id.s()) | here.note.s())
    with pytest.raises(ChordError):
        here.run(chord([become.s()], here.note.s()))
    assert len(here.seen) == 1


def test_a_replacement_that_cannot_be_made_fails_the_job(here: Here) -> None:
    @here.app.task(bind=True)
    def become(self: Task[..., object]) -> None:
        self.replace(here.add.s(1))

    with pytest.raises(TypeError, match="missing a required argument: 'y'"):
        here.run(become.s())


def test_wrong_uses_are_told(here: Here) -> None:
    with pytest.raises(RuntimeError, match="outside of a job"):
        here.add.replace(here.add.s(1, 1))

    @here.app.task(bind=True)
    def become(self: Task[..., object]) -> None:
        self.replace(here.add)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="expected a signature"):
        here.run(become.s())
