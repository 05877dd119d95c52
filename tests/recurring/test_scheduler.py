"""What a tick makes: ahead, on time, late, after downtime, across a change of clocks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

import duly.store
from duly import scheduler
from duly.clock import MICROS, from_micros, to_micros
from duly.errors import ConfigError
from duly.job import Filter, Flag, Job, Schedule, State
from duly.scheduler import Scheduler, job_of, stored_rule
from duly.schedules import Rule, cron, every
from duly.store import Store
from duly.testing.clock import START, ManualClock

MINUTE = 60 * MICROS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def store(clock: ManualClock, store_of: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[Store]:
    store = duly.store.open(store_of(request.param), clock=clock)
    yield store
    store.close()


def put(store: Store, rule: Rule, name: str = "s", **fields: Any) -> None:
    scheduler.put(store, Schedule(name=name, rule=stored_rule(rule), task="t", **fields))


def dues(store: Store, name: str = "s") -> list[int]:
    """Seconds from START of the waiting jobs."""
    jobs = store.jobs(Filter(states=("scheduled", "queued")), limit=10_000).jobs
    mine = {one.job for one in store.occurrences(name, 10_000)}
    return sorted((job.due - START) // MICROS for job in jobs if job.id in mine)


def test_occurrences_are_made_a_minute_ahead_and_ticks_need_not_be_on_time(store: Store, clock: ManualClock) -> None:
    put(store, every(10))
    assert dues(store) == [10, 20, 30, 40, 50, 60]
    clock.advance(37)
    Scheduler(store).tick()
    assert dues(store) == [10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_a_tick_says_when_the_next_one_has_something_to_do(store: Store, clock: ManualClock) -> None:
    ticker = Scheduler(store)
    assert ticker.tick() is None
    put(store, every(3600))
    again = ticker.tick()
    assert again == START + 3600 * MICROS - scheduler.NEAR
    clock.set(again)
    assert dues(store) == []
    ticker.tick()
    assert dues(store) == [3600]


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({"catch_up": "none"}, []),
        ({"catch_up": "last"}, [3000]),
        ({"catch_up": "all"}, [600, 1200, 1800, 2400, 3000]),
        ({"catch_up": "all", "deadline": 25 * MINUTE}, [2400, 3000]),
        ({"catch_up": "last", "deadline": 5 * MINUTE}, []),
        ({"catch_up": "last", "deadline": 10 * MINUTE}, [3000]),
    ],
)
def test_catching_up_after_a_downtime(
    store: Store, clock: ManualClock, options: dict[str, Any], made: list[int]
) -> None:
    put(store, every(600), **options)
    clock.advance(3500)  # nobody ticked
    Scheduler(store).tick()
    assert dues(store) == made
    Scheduler(store).tick()
    clock.advance(100)
    Scheduler(store).tick()
    assert dues(store) == [*made, 3600]


def test_an_occurrence_is_not_missed_while_it_is_only_a_little_late(store: Store, clock: ManualClock) -> None:
    put(store, every(600), catch_up="none")
    clock.advance(604)
    Scheduler(store).tick()
    assert dues(store) == [600]


def test_catching_up_on_much_is_done_in_bounded_ticks(store: Store, clock: ManualClock) -> None:
    put(store, every(1), catch_up="all")
    clock.advance(2000)
    ticks = 1
    ticker = Scheduler(store)
    while (again := ticker.tick()) is not None and again <= clock.now():
        ticks += 1
    assert dues(store) == list(range(1, 2061))
    assert ticks > 3


def test_jitter_is_within_bounds_drawn_by_lot_and_the_same_for_all(store: Store, clock: ManualClock) -> None:
    one = Schedule(name="s", rule=stored_rule(every(60)), task="t", jitter=30 * MICROS)
    delays = [job_of(one, START + n * MINUTE).due - START - n * MINUTE for n in range(500)]
    assert all(0 <= delay <= 30 * MICROS for delay in delays)
    assert len(set(delays)) > 490
    assert 12 * MICROS < sum(delays) / 500 < 18 * MICROS
    assert delays[7] == job_of(msgspec.structs.replace(one, revision=4), START + 7 * MINUTE).due - START - 7 * MINUTE


@pytest.mark.parametrize("policy", ["none", "last", "all"])
def test_with_jitter_what_is_not_due_yet_was_not_missed(store: Store, clock: ManualClock, policy: str) -> None:
    put(store, every(60), catch_up=policy, jitter=1800 * MICROS)
    clock.advance(3600)
    Scheduler(store).tick()
    late = clock.now() - scheduler.GRACE
    due = [job.due for job in store.jobs(Filter(), limit=1000).jobs]
    all_dues = [job_of(store.schedules()[0], START + n * MINUTE).due for n in range(1, 62)]
    assert sorted(x for x in due if x >= late) == sorted(x for x in all_dues if x >= late)
    assert len([x for x in due if x < late]) == {"none": 0, "last": 1}.get(policy, sum(x < late for x in all_dues))


def test_expiry_and_overlap_reach_the_job(store: Store) -> None:
    put(store, every(40), expires_after=5 * MICROS, overlap="queue", flags=2, limit_key="k", priority=4, queue="q")
    (job,) = store.jobs(Filter()).jobs
    assert (job.expires, job.flags) == (START + 45 * MICROS, int(Flag.NO_OVERLAP_QUEUE) | 2)
    assert (job.priority, job.queue) == (4, "q")


def test_a_change_makes_what_is_ahead_anew(store: Store, clock: ManualClock) -> None:
    put(store, every(20))
    put(store, every(20), args=b"[[2],{}]")
    assert dues(store) == [20, 40, 60]
    assert {job.args for job in store.jobs(Filter(states=("scheduled",))).jobs} == {b"[[2],{}]"}
    put(store, every(25))
    assert dues(store) == [25, 50]


def test_a_restart_after_downtime_declares_the_same_and_catches_up(store: Store, clock: ManualClock) -> None:
    said = [Schedule(name="s", rule=stored_rule(every(600)), task="t")]
    scheduler.declare(store, "app", said)
    clock.advance(3500)
    scheduler.declare(store, "app", said)
    assert dues(store) == [3000]


def test_what_a_pause_leaves_out_is_not_made_up_for(store: Store, clock: ManualClock) -> None:
    put(store, every(20), catch_up="all")
    scheduler.pause(store, "s")
    clock.advance(110)
    Scheduler(store).tick()
    assert dues(store) == []
    scheduler.resume(store, "s")
    assert dues(store) == [120, 140, 160]
    scheduler.pause(store, "s")
    scheduler.resume(store, "s")
    assert dues(store) == [120, 140, 160]


def test_run_now_runs_beside_the_rule_even_while_paused(store: Store, clock: ManualClock) -> None:
    put(store, every(20), jitter=MICROS)
    clock.advance(20)  # the very microsecond of an occurrence
    ids = {scheduler.run_now(store, "s") for _ in range(2)}
    scheduler.pause(store, "s")
    ids.add(scheduler.run_now(store, "s"))
    jobs = store.jobs(Filter(ids=tuple(ids))).jobs
    assert len(jobs) == 3
    assert all(job.state == State.WAITING and 0 <= clock.now() - job.due < 10 for job in jobs)
    scheduler.resume(store, "s")
    assert store.schedules()[0].next == START + 100 * MICROS


def test_unknown_names_are_refused_with_the_near_one(store: Store) -> None:
    put(store, every(20), name="report")
    for change in (scheduler.pause, scheduler.resume, scheduler.remove, scheduler.run_now, scheduler.find):
        with pytest.raises(ConfigError, match="no schedule 'reprot'; did you mean 'report'"):
            change(store, "reprot")


def test_a_broken_rule_is_said_once_and_stops_nobody(
    store: Store, caplog: pytest.LogCaptureFixture, clock: ManualClock
) -> None:
    for name, rule in (("a", b'{"kind":"moon"}'), ("b", b"not json")):
        store.put_schedule(Schedule(name=name, rule=rule, task="t", next=START))
    put(store, every(20), name="good")
    ticker = Scheduler(store)
    with caplog.at_level(logging.ERROR, "duly.scheduler"):
        ticker.tick()
        said = len(caplog.records)
        again = ticker.tick()
    assert said == len(caplog.records) == 2
    assert again is not None
    assert again > clock.now()
    assert dues(store, "good") == [20, 40, 60]


def test_the_night_the_clocks_go_forward_and_the_night_they_go_back(tmp_path: Path) -> None:
    paris = ZoneInfo("Europe/Paris")
    for begin, wanted in (
        (datetime(2027, 3, 27, 12, tzinfo=UTC), ["2027-03-28T03:00+02:00", "2027-03-29T02:30+02:00"]),
        (datetime(2027, 10, 30, 12, tzinfo=UTC), ["2027-10-31T02:30+02:00", "2027-11-01T02:30+01:00"]),
    ):
        clock = ManualClock(to_micros(begin, UTC))
        store = duly.store.open("sqlite:///:memory:", clock=clock)
        put(store, cron("30 2 * * *", tz="Europe/Paris"))
        for _ in range(40 * 60):
            clock.advance(60)
            Scheduler(store).tick()
        made = [from_micros(one.nominal, paris).isoformat(timespec="minutes") for one in store.occurrences("s")]
        assert made[::-1] == wanted
        store.close()


def test_ids_are_unlike_for_unlike_occurrences() -> None:
    one = Schedule(name="s", rule=b"{}", task="t", revision=1)
    others = [(one, START), (one, START + 1), (msgspec.structs.replace(one, revision=2), START),
              (msgspec.structs.replace(one, name="r"), START)]  # fmt: skip
    jobs: list[Job] = [job_of(schedule, nominal) for schedule, nominal in others]
    assert len({job.id for job in jobs}) == 4
    assert jobs[0].id == job_of(one, START).id
    assert jobs[0].id[14] == "8"


@pytest.mark.parametrize("catch_up", ["last", "none", "all"])
def test_a_clock_that_was_ahead_for_a_moment_stops_no_schedule(
    store: Store, clock: ManualClock, catch_up: Any
) -> None:
    put(store, every(60), catch_up=catch_up, deadline=MINUTE)
    ticker = Scheduler(store)
    ticker.tick()
    clock.set(START + 400 * 86_400 * MICROS)
    for _ in range(3):
        ticker.tick()
    clock.set(START + 60 * MICROS)
    for other in (ticker, Scheduler(store)):
        other.tick()
        clock.advance(60)
        other.tick()
    assert set(dues(store)) >= {120, 180}
