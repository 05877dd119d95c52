"""The checker finds what it is there to find: a history that keeps every promise, and ways to break each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from chaos_checker import Checker, Report
from chaos_log import Event, Log, answer, parse

from duly.job import Attempt, Flag, JobView, State

SECOND = 1_000_000
START = 1_000 * SECOND


class Story:
    """A history in the making: events a tenth of a second apart, and the store at the end."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.jobs: dict[str, JobView] = {}
        self.attempts: dict[str, list[Attempt]] = {}

    def tell(self, what: str, pid: int = 10, at: float | None = None, **facts: Any) -> Event:
        mono = len(self.events) / 10 if at is None else at
        self.events.append(Event(what, START + round(mono * SECOND), mono, pid, facts))
        return self.events[-1]

    def body(self, job: str, attempt: int = 1, pid: int = 10, end: bool = True, **facts: Any) -> None:
        facts = {"due": START, "parent": 1, "serial": f"s-{job}"} | facts
        self.tell("start", pid, job=job, attempt=attempt, **facts)
        if end:
            self.tell("end", pid, job=job, attempt=attempt, how="ok")

    def store(self, id: str, task: str = "noop", state: State = State.SUCCEEDED, **facts: Any) -> None:
        """A job as the store has it; by default it succeeded in its first attempt."""
        error = facts.pop("error", None)
        facts = {
            "attempt": 1, "retries": 0, "lost": 0, "flags": 0, "key": None,
            "result": json.dumps(answer(f"s-{id}")).encode() if state == State.SUCCEEDED else None,
            "error": json.dumps({"type": error}).encode() if error else None,
        } | facts  # fmt: skip
        empty = dict.fromkeys(JobView.__struct_fields__)
        values = empty | {"id": id, "task": f"chaos_tasks.{task}", "state": state, "due": START} | facts
        self.jobs[id] = JobView(**(values | {"args": json.dumps([[f"s-{id}"], {}]).encode()}))
        self.attempts[id] = [self.attempt(facts["attempt"], state.name.lower())]

    @staticmethod
    def attempt(number: int, outcome: str) -> Attempt:
        return Attempt(
            attempt=number, outcome=outcome, worker="w@h", slot=0, started=START, finished=START + 100 * SECOND,
            error=None, log=None,
        )  # fmt: skip

    def report(self, fences: dict[int, int] | None = None, forgetful: bool = False) -> Report:
        events = sorted(self.events, key=lambda event: event.mono)
        return Checker(events, self.jobs, self.attempts, fences or {}, forgetful=forgetful).report()


@pytest.fixture
def story() -> Story:
    """Job a is called, runs and succeeds; job b is killed in its body and runs again."""
    story = Story()
    for job in "ab":
        story.tell("ack", job=job, task="chaos_tasks.noop", serial=f"s-{job}", not_before=START)
        story.store(job)
    story.body("a")
    story.body("b", pid=11, end=False)
    story.tell("kill", victim=11, role="executor")
    story.body("b", attempt=2, pid=12)
    story.jobs["b"] = msgspec.structs.replace(story.jobs["b"], attempt=2, lost=1)
    story.attempts["b"] = [story.attempt(1, "lost"), story.attempt(2, "succeeded")]
    return story


def test_a_history_that_keeps_every_promise(story: Story) -> None:
    report = story.report()
    assert report.problems == []
    assert dict(report.repeats) == {"cut short (short): executor killed": 1}


def test_a_body_that_ended_and_was_not_settled_is_counted(story: Story) -> None:
    story.body("c", pid=21)
    story.tell("kill", victim=21, role="executor")
    story.body("c", attempt=2, pid=22)
    story.store("c", attempt=2, lost=1)
    story.attempts["c"].insert(0, story.attempt(1, "lost"))
    report = story.report()
    assert report.problems == []
    assert report.repeats["finished and not yet settled (short): executor killed"] == 1


@pytest.mark.parametrize(
    ("killed_after", "forgetful", "problems"), [(0.5, True, 0), (0.5, False, 1), (10.0, True, 1)]
)
def test_only_what_was_just_given_out_is_forgotten_by_a_server_that_is_killed(
    story: Story, killed_after: float, forgetful: bool, problems: int
) -> None:
    story.body("c", pid=21)
    story.tell("server", at=story.events[-1].mono + killed_after, how="killed")
    story.tell("start", 22, at=50.0, job="c", attempt=1, due=START, parent=1, serial="s-c")
    story.tell("end", 22, at=50.1, job="c", attempt=1, how="ok")
    story.store("c")
    assert len(story.report(forgetful=forgetful).problems) == problems


def lose(story: Story) -> None:
    del story.jobs["a"], story.attempts["a"]


def double(story: Story) -> None:
    story.store("c")
    story.jobs["c"] = msgspec.structs.replace(story.jobs["c"], args=story.jobs["a"].args)


def spoil(story: Story) -> None:
    story.jobs["a"] = msgspec.structs.replace(story.jobs["a"], result=b'"something else"')


def hang(story: Story) -> None:
    story.store("c", state=State.RUNNING)


def fail(story: Story) -> None:
    story.body("c")
    story.store("c", state=State.FAILED, error="StaleLease")


def vanish(story: Story) -> None:
    story.store("c", state=State.CANCELLED)


def hurry(story: Story) -> None:
    story.body("c", due=START + 60 * SECOND)
    story.store("c")


def forget_the_countdown(story: Story) -> None:
    story.tell("ack", job="c", task="chaos_tasks.noop", serial="s-c", not_before=START + 60 * SECOND)
    story.body("c")
    story.store("c")


def repeat(story: Story) -> None:
    story.body("a", pid=13)


def claim(story: Story) -> None:
    story.store("c")  # succeeded, and never ran


def overlap(story: Story) -> None:
    story.tell("beat", 11, job="b", attempt=1)  # the killed one still runs, after the second began


def overlap_with_a_key(story: Story) -> None:
    for job, pid in (("c", 31), ("d", 32)):
        story.body(job, pid=pid, end=False, key="solo1")
        story.store(job, "keyed")
    for job, pid in (("c", 31), ("d", 32)):
        story.tell("end", pid, job=job, attempt=1, how="ok")


def begin_again(story: Story) -> None:
    story.jobs["b"] = msgspec.structs.replace(story.jobs["b"], task="chaos_tasks.once", flags=int(Flag.AT_MOST_ONCE))


def step_again(story: Story) -> None:
    for value in ("x", "y"):
        story.tell("step", job="a", attempt=1, key="charge", value=value)
        story.tell("recorded", job="a", attempt=1, key="charge", value=value)


def run_the_cancelled(story: Story) -> None:
    story.tell("cancel", job="c", verdict="prevented", attempt=0, terminate=False)
    story.body("c")
    story.store("c")


def bring_back_the_cancelled(story: Story) -> None:
    story.body("c", pid=31)
    story.tell("cancel", job="c", verdict="signalled", attempt=1, terminate=False)
    story.body("c", attempt=2, pid=32)
    story.store("c", attempt=2)


def run_the_moved_early(story: Story) -> None:
    story.tell("move", job="c", verdict="moved", due=START + 60 * SECOND)
    story.body("c")
    story.store("c")


def count_wrongly(story: Story) -> None:
    story.attempts["b"][1] = story.attempt(1, "succeeded")


def lose_history(story: Story) -> None:
    del story.attempts["b"][0]
    story.jobs["b"] = msgspec.structs.replace(story.jobs["b"], lost=2)


def date_wrongly(story: Story) -> None:
    story.attempts["a"][0] = msgspec.structs.replace(story.attempts["a"][0], finished=START)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lose, "is not in the store"),
        (double, "made two jobs"),
        (spoil, "its result is"),
        (hang, "is running"),
        (fail, "failed:"),
        (vanish, "nobody asked for it"),
        (hurry, "before its due"),
        (forget_the_countdown, "before the time it was called for"),
        (repeat, "nothing was done to it"),
        (claim, "no body of it came to its end"),
        (overlap, "two bodies at once"),
        (overlap_with_a_key, "solo1: two bodies at once"),
        (begin_again, "is at-most-once and began 2 times"),
        (step_again, "different values"),
        (run_the_cancelled, "was cancelled before it began"),
        (bring_back_the_cancelled, "came back"),
        (run_the_moved_early, "was moved and started before"),
        (count_wrongly, "does not count upwards"),
        (lose_history, "has not its 2 losses"),
        (date_wrongly, "ran outside of its times"),
    ],
)
def test_a_broken_promise_is_found(story: Story, harm: Callable[[Story], None], said: str) -> None:
    harm(story)
    assert any(said in problem for problem in story.report().problems), story.report().problems


def test_frozen_bodies_may_overlap(story: Story) -> None:
    story.tell("freeze", victims=[11], worker=1, at=0.35)
    story.tell("thaw", victims=[11], worker=1, at=0.95)
    overlap(story)
    assert story.report().problems == []


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Any) -> None:
    log = Log(tmp_path / "log")
    log.write("one")
    with open(tmp_path / "log", "ab") as file:
        file.write(b'\n{"what": "tw')
    log.write("three")
    events, torn = parse((tmp_path / "log").read_bytes())
    assert [event.what for event in events] == ["one", "three"]
    assert torn == 1
