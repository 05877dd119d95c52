"""The future: what is in a window, how much that is, when the clocks change; as SVG and as a calendar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from test_web_pages import add_schedule
from web_kit import HOUR, SECOND, put

from duly.clock import from_micros, to_micros
from duly.ids import new_id
from duly.job import COUNT_CAP, Job
from duly.schedules import cron, every
from duly.store import open as open_store
from duly.store.contract import Store
from duly.testing.clock import START, ManualClock
from duly.web.drawing import draw
from duly.web.ics import calendar
from duly.web.show import Shown
from duly.web.timeline import BINS, COUNTED, ITEMS, LANE_ITEMS, clock_changes, columns, ticks, timeline

BERLIN, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite:///:memory:", clock=ManualClock())
    yield opened
    opened.close()


def at(text: str, zone: ZoneInfo = UTC) -> int:
    return to_micros(datetime.fromisoformat(text), zone)


def test_jobs_retries_and_occurrences_are_in_their_lanes(store: Store) -> None:
    put(store, "attend", ahead=600, queue="webinars")
    add_schedule(store, "each", every(900), queue="mail")
    add_schedule(store, "off", every(900), queue="mail")
    store.pause_schedule("off")
    it = timeline(store, {"attend": 3600e6}, {"webinars": 2}, START, START + HOUR, UTC)
    lanes = {lane.name: lane for lane in it.lanes}
    assert [(item.kind, item.length) for item in lanes["webinars"].items] == [("waiting", 3600 * SECOND)]
    kinds = [item.kind for item in lanes["mail"].items]
    assert kinds.count("occurrence") == kinds.count("withheld") >= 3
    assert sum(lanes["mail"].planned) == kinds.count("occurrence"), "a paused schedule makes nothing"
    assert it.complete
    assert [item.at for item in it.items] == sorted(item.at for item in it.items)


def test_an_occurrence_that_has_its_job_is_there_once(store: Store) -> None:
    from duly.scheduler import Scheduler

    add_schedule(store, "each", every(20))
    Scheduler(store).tick()
    it = timeline(store, {}, {}, START, START + 600 * SECOND, UTC)
    instants = [item.at for item in it.items]
    assert len(instants) == len(set(instants))
    assert {item.kind for item in it.items} == {"waiting", "occurrence"}


def test_where_more_is_due_than_there_are_slots(store: Store) -> None:
    for _ in range(3):
        put(store, "attend", ahead=600, queue="webinars")
    [lane] = timeline(store, {"attend": 600e6}, {"webinars": 2}, START, START + HOUR, UTC).lanes
    edges = columns(START, START + HOUR)
    over = lane.over()
    assert over
    for i in over:
        assert edges[i + 1] >= START + 600 * SECOND
        assert edges[i] <= START + 1200 * SECOND
    assert max(lane.load) == pytest.approx(3)
    assert sum(lane.load) * (edges[1] - edges[0]) == pytest.approx(3 * 600 * SECOND, rel=0.01)
    [enough] = timeline(store, {"attend": 600e6}, {"webinars": 3}, START, START + HOUR, UTC).lanes
    assert enough.over() == []


def test_many_jobs_are_densities_that_miss_none(store: Store) -> None:
    n = ITEMS * 3
    store.enqueue([Job(id=new_id(), task="t", due=START + SECOND + i * 1000, queue=f"q{i % 2}") for i in range(n)])
    it = timeline(store, {}, {}, START, START + 10 * SECOND, UTC)
    assert not it.complete
    assert sum(sum(lane.stored) for lane in it.lanes) == n
    assert all(lane.dense for lane in it.lanes)
    few = timeline(store, {}, {}, START + SECOND, START + SECOND + 50_000, UTC)
    assert few.complete
    assert not any(lane.dense for lane in few.lanes)
    assert LANE_ITEMS >= 25


def test_a_huge_window_of_a_quick_schedule_is_extrapolated(store: Store) -> None:
    add_schedule(store, "each", every(1))
    year = 365 * 24 * HOUR
    [lane] = timeline(store, {}, {}, START, START + year, UTC).lanes
    assert lane.total == pytest.approx(365 * 86_400, rel=0.02)
    assert len([n for n in lane.planned if n > 1]) == BINS


def test_counts_that_stop_are_told(store: Store) -> None:
    store.enqueue([Job(id=new_id(), task="t", due=START + SECOND) for _ in range(COUNT_CAP + 5)])
    [lane] = timeline(store, {}, {}, START, START + 10 * SECOND, UTC).lanes
    assert lane.capped
    assert lane.total == lane.cap == COUNTED // BINS
    assert f"{lane.cap:,}+ due" in draw(
        timeline(store, {}, {}, START, START + 10 * SECOND, UTC), Shown(START, UTC, "")
    )


def test_a_rule_that_cannot_be_read_hides_no_other(store: Store) -> None:
    from duly.job import Schedule

    store.put_schedule(Schedule(name="odd", rule=b'{"kind":"from the future"}', task="t", next=START + SECOND))
    add_schedule(store, "each", every(900))
    it = timeline(store, {}, {}, START, START + HOUR, UTC)
    assert it.unplanned == ["odd"]
    assert it.items


def test_changes_of_the_clocks() -> None:
    found = clock_changes(at("2026-01-01"), at("2027-01-01"), BERLIN)
    assert [(from_micros(one.at).isoformat(), one.text) for one in found] == [
        ("2026-03-29T01:00:00+00:00", "clocks go forward 1 h"),
        ("2026-10-25T01:00:00+00:00", "clocks go back 1 h"),
    ]
    assert clock_changes(at("2026-01-01"), at("2027-01-01"), UTC) == []
    [half] = clock_changes(at("2026-04-01"), at("2026-04-10"), ZoneInfo("Australia/Lord_Howe"))
    assert half.text == "clocks go back 30 min"


def test_ticks_are_on_the_clocks_of_the_zone() -> None:
    found = ticks(at("2026-07-01T10:20"), at("2026-07-01T11:20"), BERLIN)
    assert [text for _, text in found][:2] == ["12:20", "12:25"] or found[0][1] == "12:20"
    days = ticks(at("2026-10-24", BERLIN), at("2026-10-28", BERLIN), BERLIN, 4)
    assert all(from_micros(instant, BERLIN).hour == 0 for instant, _ in days)
    for seconds in (60, 3600, 86_400, 86_400 * 30, 86_400 * 365, 86_400 * 1000):
        assert 1 <= len(ticks(START, START + seconds * SECOND, BERLIN)) <= 14


def test_the_drawing_is_well_formed_and_every_mark_is_a_link(store: Store) -> None:
    from xml.etree import ElementTree

    ids = [put(store, "at<t>end&", ([f'"{n}"'], {}), 60 * n, queue="we<b") for n in range(1, 9)]
    svg = draw(timeline(store, {"at<t>end&": 300e6}, {}, START, START + HOUR, BERLIN), Shown(START, BERLIN, "/ops"))
    root = ElementTree.fromstring(str(svg))
    links = [element for element in root.iter() if element.tag.endswith("}a")]
    assert {link.attrib["href"] for link in links} == {f"/ops/job?id={id}" for id in ids}
    assert all("at<t>end&" in link.attrib["aria-label"] for link in links)
    bars = [element for element in root.iter() if "bar " in element.attrib.get("class", "")]
    boxes = [tuple(float(bar.attrib[name]) for name in ("x", "y", "width", "height")) for bar in bars]
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:i]:
            assert x >= x2 + w2 - 0.2 or x2 >= x + w - 0.2 or y >= y2 + h2 or y2 >= y + h, "no bar lies on another"


def test_no_line_of_the_calendar_is_too_long(store: Store) -> None:
    for n in range(130, 150):  # where a line ends with the last that fits, and just after
        put(store, "t" * n, ahead=600)
    text = calendar(timeline(store, {}, {}, START, START + HOUR, UTC).items, START, "duly")
    assert max(len(line.encode()) for line in text.split("\r\n")) == 75
    assert all(f"SUMMARY:{'t' * n}\r\n" in text.replace("\r\n ", "") for n in range(130, 150))


def test_the_calendar_has_an_entry_for_each(store: Store) -> None:
    put(store, "attend", (["a;b,c\\d\n" + "é" * 80], {}), 600)
    add_schedule(store, "nightly", cron("0 3 * * *", tz="UTC"))
    items = timeline(store, {"attend": 3600e6}, {}, START, START + 24 * HOUR, UTC).items
    text = calendar(items, START, "duly")
    assert text.count("BEGIN:VEVENT") == text.count("END:VEVENT") == len(items) == 2
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    unfolded = text.replace("\r\n ", "")
    assert re.search(r"DTEND:\d{8}T\d{6}Z", unfolded)
    assert "a\\;b\\,c" in unfolded
