"""What visits add up to: one report for each webinar, which is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webinars.concluding import JobEnd, conclude
from webinars.event import Event
from webinars.ledger import Planned
from webinars.verdict import Verdict
from webinars.visit import Visit

START = datetime(2026, 11, 26, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVENT = Event(calendar="c", uid="u", title="T", start=START, end=START + HOUR, links=("https://zoom.us/w/1?pwd=x",))
PLANNED = Planned(event=EVENT, link=EVENT.links[0], room="r", provider="zoom", reason="", folder="f", job="j")
DONE = JobEnd("succeeded")


def visit(
    verdict: Verdict, minutes: float = 0, joined: float = 0, left: float = 60, attempt: int = 1, detail: str = ""
) -> Visit:
    """Times in minutes after the start."""
    return Visit(
        attempt=attempt, verdict=verdict, opened=START - timedelta(minutes=2),
        page_open=START - timedelta(minutes=1.9),
        joined=START + timedelta(minutes=joined) if minutes else None, inside=minutes * 60,
        closed=START + timedelta(minutes=left), detail=detail,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("visits", "end", "outcome", "reason"),
    [
        ([visit(Verdict.ATTENDED, 59)], DONE, "attended", "inside for 59 min"),
        ([visit(Verdict.ATTENDED, 30, left=31, detail="the host ended it")], DONE, "attended", "the host ended it"),
        ([visit(Verdict.ATTENDED, 39, joined=20)], DONE, "attended", "inside for 39 min"),  # the host came late
        ([visit(Verdict.ATTENDED, 20, left=60)], DONE, "attended in part", "inside for 20 min"),
        ([visit(Verdict.JOINED, 20), visit(Verdict.ATTENDED, 10, attempt=2)], DONE, "attended in part", "30 min"),
        ([visit(Verdict.JOINED, 20), visit(Verdict.ENDED, attempt=2)], DONE, "attended in part", "when we came back"),
        ([visit(Verdict.REMOVED, 20)], DONE, "attended in part", "the host removed us"),
        ([visit(Verdict.LOGIN, detail="no account")], DONE, "missed", "a log-in is needed: no account"),
        (
            [visit(Verdict.JOINED, 20)],
            JobEnd("failed", "its worker died three times"),
            "attended in part",
            "died three",
        ),
        ([], JobEnd("failed", "no Chromium found"), "missed", "no Chromium found"),
        ([], JobEnd("cancelled"), "missed", "the job was cancelled"),
        ([], JobEnd("unknown"), "missed", "no longer in the store"),
    ],
)
def test_outcomes(visits: list[Visit], end: JobEnd, outcome: str, reason: str) -> None:
    final = visits[-1] if visits and end is DONE else None
    report = conclude(PLANNED, visits, final, end, START + 2 * HOUR)
    assert report.outcome == outcome
    assert reason in report.reason
    assert report.by == "attended by machine"
    assert "pwd" not in report.link


def test_one_that_came_late_itself_attended_in_part() -> None:
    late = visit(Verdict.ATTENDED, 20, joined=40)
    late.page_open = START + timedelta(minutes=39)
    report = conclude(PLANNED, [late], late, DONE, START + 2 * HOUR)
    assert (report.outcome, report.lateness) == ("attended in part", 40 * 60)


def test_the_jobs_result_counts_more_than_the_file() -> None:
    seen, final = visit(Verdict.JOINED, 5), visit(Verdict.ATTENDED, 58)
    report = conclude(PLANNED, [seen], final, DONE, START + 2 * HOUR)
    assert (report.attempts, report.inside, report.outcome) == (1, 58 * 60, "attended")
