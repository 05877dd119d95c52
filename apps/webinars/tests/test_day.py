"""A day and a night in a world whose clock is driven: what the calendar says happens once, or is reported as missed.

The calendar is an iCalendar file that changes while the day goes on; the engine is duly's with real tasks; only the
browser is not there: a visitor stands in for it that says how long it stayed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from written import calendar

from duly.testing import World
from webinars.ledger import Planned
from webinars.service import BROWSERS, DESK, Service
from webinars.settings import Settings
from webinars.verdict import Verdict, consequence
from webinars.visit import Report, Visit

EVENING = datetime(2026, 10, 24, 18, tzinfo=UTC)
"""Of the day before the clocks of Europe go back."""

LEAD = timedelta(minutes=2)


class Day:
    """The calendar file, the service, the world, and who went where."""

    def __init__(self, world: World, service: Service, file: Path) -> None:
        self.world, self.service, self._file = world, service, file
        self.events: dict[str, str] = {}
        self.went: list[tuple[str, int, datetime]] = []  # uid, attempt, when

    def put(self, uid: str, start: datetime, minutes: int = 30, link: str = "", zone: str = "") -> None:
        """Write an event, in place of an earlier one of that uid."""
        when = f";TZID={zone}:{start:%Y%m%dT%H%M%S}" if zone else f":{start:%Y%m%dT%H%M%SZ}"
        self.events[uid] = (
            f"UID:{uid}\nSUMMARY:Webinar {uid}\nORGANIZER:mailto:a@isc2.org\nDTSTART{when}\nDURATION:PT{minutes}M\n"
            f"LOCATION:{link or f'https://zoom.us/w/{uid}'}"
        )
        self.write()

    def drop(self, uid: str) -> None:
        del self.events[uid]
        self.write()

    def write(self) -> None:
        self._file.write_text(calendar(*self.events.values()))

    async def visit(self, planned: Planned, attempt: int, job: str) -> Visit:
        """Go in at the start and stay to the end."""
        now, event = self.service.now(), planned.event
        self.went.append((event.uid, attempt, now))
        joined = max(now, event.start)
        visit = Visit(attempt=attempt, job=job, opened=now, page_open=now, joined=joined, verdict=Verdict.JOINED)
        self.service.ledger.save_visit(planned, visit)  # what a crash leaves
        self.world.spend((event.end - now).total_seconds())
        visit.verdict, visit.detail = Verdict.ATTENDED, "the host ended it"
        visit.inside, visit.seen = (event.end - joined).total_seconds(), event.end
        return visit

    def times(self, uid: str) -> list[tuple[int, datetime]]:
        return [(attempt, when) for who, attempt, when in self.went if who == uid]

    def reports(self) -> dict[str, Report]:
        return {report.title.removeprefix("Webinar "): report for _, report in self.service.ledger.reports()}


@pytest.fixture
def day(tmp_path: Path, settings: Callable[..., Settings], request: pytest.FixtureRequest) -> Iterator[Day]:
    file = tmp_path / "calendar.ics"
    calendars = [{"name": "work", "kind": "ical", "path": str(file)}]
    chosen = settings(calendars=calendars, timezone="Europe/Berlin", times=getattr(request, "param", {}))
    holder: list[Day] = []

    async def visitor(planned: Planned, attempt: int, job: str) -> Visit:
        return await holder[0].visit(planned, attempt, job)

    service = Service(chosen, visitor=visitor)
    with World(seed=8, app=service.app, start=EVENING) as world:
        holder.append(Day(world, service, file))
        yield holder[0]


def at(hours: float) -> datetime:
    return EVENING + timedelta(hours=hours)


def close_to(when: datetime, wanted: datetime) -> bool:
    return timedelta(0) <= when - wanted < timedelta(seconds=1.5)


def test_a_day_of_thirty_webinars(day: Day) -> None:
    world = day.world
    for n in range(20):  # every half an hour; each overlaps the next by a quarter
        day.put(f"n{n}", at(3 + n / 2), minutes=45)
    day.put("first02", datetime(2026, 10, 25, 2, 10), zone="Europe/Berlin")  # that hour comes twice: the first one
    day.put("after03", datetime(2026, 10, 25, 3, 10), zone="Europe/Berlin")
    day.put("moved", at(4))
    day.put("deleted", at(14))
    day.put("twin", at(5.75), link="https://zoom.us/w/n5?pwd=other")  # the room of n5, while it goes on
    day.put("killed", at(15), minutes=60)
    day.put("asleep", at(17), minutes=20)
    day.put("slept-into", at(18), minutes=120)
    day.put("all-through", at(16.5), minutes=30)
    day.put("late", at(22))
    assert len(day.events) == 30

    first = world.worker(queues=(DESK, BROWSERS), concurrency=8)
    world.advance(hours=1.5)  # the first reading
    day.put("moved", at(20))
    day.drop("deleted")
    day.put("added", at(6.1))
    world.advance(hours=13.75)  # 15.25: "killed" goes on
    world.kill(first)
    second = world.worker(queues=(DESK, BROWSERS), concurrency=8)
    world.advance(hours=1.5)  # 16.75: "all-through" goes on
    world.pause(second)  # the machine sleeps
    world.advance(hours=2)  # 18.75
    world.resume(second)
    world.advance(hours=7)

    for n in range(20):
        [(attempt, when)] = day.times(f"n{n}")
        assert attempt == 1
        assert close_to(when, at(3 + n / 2) - LEAD)
    assert close_to(day.times("first02")[0][1], datetime(2026, 10, 25, 0, 8, tzinfo=UTC))
    assert close_to(day.times("after03")[0][1], datetime(2026, 10, 25, 2, 8, tzinfo=UTC))
    assert [close_to(when, at(20) - LEAD) for _, when in day.times("moved")] == [True]
    assert [close_to(when, at(6.1) - LEAD) for _, when in day.times("added")] == [True]
    assert day.times("deleted") == day.times("twin") == []

    assert [attempt for attempt, _ in day.times("killed")] == [1, 2]
    assert day.times("killed")[1][1] < at(15.25) + timedelta(seconds=15)  # rejoined when the lease had lapsed
    assert [attempt for attempt, _ in day.times("all-through")] == [1]
    assert day.times("asleep") == []
    assert close_to(day.times("slept-into")[0][1], at(18.75))

    reports = day.reports()
    assert set(reports) == set(day.events) - {"twin"}
    outcomes = {uid: report.outcome for uid, report in reports.items() if report.outcome != "attended"}
    assert outcomes == {"asleep": "missed", "killed": "attended in part", "slept-into": "attended in part"}
    assert "the machine was off or asleep" in reports["asleep"].reason
    assert reports["killed"].attempts == 2
    assert reports["slept-into"].lateness == pytest.approx(45 * 60, abs=2)
    waiting = [job for job in day.service.app.jobs(limit=500).jobs if job.id in set(world.live())]
    assert {job.task for job in waiting} <= {"webinars.read", "webinars.tidy"}
    states = Counter(state.name for state in world.states().values())
    assert states["FAILED"] == states["UNCERTAIN"] == 0


@pytest.mark.parametrize("day", [{"every": "1d"}], indirect=True)
def test_a_webinar_in_eleven_months_and_one_of_tomorrow(day: Day) -> None:
    day.put("near", at(23))
    day.put("far", at(24 * 335))
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=30.5)
    assert {planned.event.uid for planned in day.service.ledger.plan().values()} == {"near", "far"}
    day.world.advance(days=336)
    for uid, hours in (("near", 23), ("far", 24 * 335)):
        [(attempt, when)] = day.times(uid)
        assert attempt == 1
        assert close_to(when, at(hours) - LEAD)


def test_a_link_that_changes_reaches_the_job(day: Day) -> None:
    day.put("a", at(10), link="https://zoom.us/w/1?pwd=old")
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=1.5)
    day.put("a", at(10), link="https://zoom.us/w/2?pwd=new")
    day.world.advance(hours=1)
    [planned] = day.service.ledger.plan().values()
    assert planned.link == "https://zoom.us/w/2?pwd=new"
    jobs = day.service.app.jobs().jobs
    assert not any(b"pwd" in job.args or b"new" in job.args for job in jobs)
    day.world.advance(hours=10)
    assert len(day.times("a")) == 1


@pytest.mark.parametrize("damage", ["gone", "cut off", "empty", "most are gone"])
def test_a_reading_that_cannot_be_believed_cancels_nothing(day: Day, damage: str) -> None:
    for n in range(8):
        day.put(f"e{n}", at(5 + n))
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=1.5)
    if damage == "gone":
        day._file.unlink()
    elif damage == "cut off":
        day._file.write_text(day._file.read_text()[:600])
    elif damage == "empty":
        day._file.write_text(calendar())
    else:
        day._file.write_text(calendar(day.events["e7"]))
    day.world.advance(hours=1)
    known = day.service.ledger.known("work")
    assert known is not None
    assert known.problem
    day.world.advance(hours=16)
    assert sorted(uid for uid, _, _ in day.went) == [f"e{n}" for n in range(8)]
    told = [job for job in day.service.app.jobs(limit=500).jobs if job.task == "webinars.tell"]
    assert sum(b"was not believed" in job.args for job in told) == 1  # once, not each hour


def test_an_empty_calendar_is_accepted_by_a_person(day: Day) -> None:
    for n in range(3):
        day.put(f"e{n}", at(5 + n))
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=1.5)
    day._file.write_text(calendar())
    day.service.accept("work")
    day.world.advance(hours=12)
    assert day.went == []
    assert day.reports() == {}


def test_a_day_without_any_worker_is_reported(day: Day) -> None:
    day.put("a", at(3))
    worker = day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=1.5)
    day.world.stop(worker)
    day.world.advance(hours=20)
    assert day.reports() == {}
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(minutes=5)
    report = day.reports()["a"]
    assert (report.outcome, day.went) == ("missed", [])
    assert "no worker ran" in report.reason


def test_one_that_was_cancelled_by_hand_is_reported(day: Day) -> None:
    day.put("a", at(3))
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=1.5)
    [planned] = day.service.ledger.plan().values()
    day.service.app.cancel(planned.job)
    day.world.advance(hours=4)
    assert day.reports()["a"].reason == "the job was cancelled"


def test_one_that_takes_place_again_is_attended_and_reported_again(day: Day) -> None:
    day.put("a", at(3))
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=5)
    day.put("a", at(7))
    day.world.advance(hours=5)
    assert [close_to(when, at(hours) - LEAD) for (_, when), hours in zip(day.times("a"), (3, 7), strict=True)] == [
        True,
        True,
    ]
    reports = [report for _, report in day.service.ledger.reports()]
    assert [(report.start, report.outcome) for report in reports] == [(at(7), "attended"), (at(3), "attended")]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_follows_from_a_verdict(day: Day, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first visit ends so, later ones well: come again as long as it lasts, or leave it; tell a person, once."""
    whole = day.visit

    async def visit(planned: Planned, attempt: int, job: str) -> Visit:
        if attempt > 2:
            return await whole(planned, attempt, job)
        now = day.service.now()
        day.went.append((planned.event.uid, attempt, now))
        seen = Visit(attempt=attempt, job=job, opened=now, closed=now, verdict=verdict, detail="so it was")
        day.service.ledger.save_visit(planned, seen)
        return seen

    monkeypatch.setattr(day, "visit", visit)
    day.put("a", at(3), minutes=90)
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=5)
    follows = consequence(verdict)
    times = [when for _, when in day.times("a")]
    assert len(times) == (1 if follows.again is None else 3)
    if follows.again is not None:
        assert close_to(times[1], times[0] + timedelta(seconds=follows.again))
    told = [job.args for job in day.service.app.jobs(limit=500).jobs if job.task == "webinars.tell"]
    assert (
        sum(follows.text.encode() in args and b"so it was" in args and b"missed" not in args for args in told)
        == follows.ask
    )
    assert day.reports()["a"].outcome == ("missed" if follows.again is None else "attended")


def test_a_visit_that_breaks_is_tried_again_as_long_as_it_lasts(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = day.visit, True

    async def visit(planned: Planned, attempt: int, job: str) -> Visit:
        if broken:
            raise ZeroDivisionError("a mistake of ours")
        return await whole(planned, attempt, job)

    monkeypatch.setattr(day, "visit", visit)
    day.put("a", at(3), minutes=60)
    day.put("b", at(5), minutes=20)
    day.world.worker(queues=(DESK, BROWSERS), concurrency=2)
    day.world.advance(hours=3.05)
    broken = False
    day.world.advance(hours=1.5)
    assert len(day.times("a")) == 1
    assert day.reports()["a"].outcome == "attended"
    broken = True
    day.world.advance(hours=2)
    assert day.reports()["b"].outcome == "missed"
