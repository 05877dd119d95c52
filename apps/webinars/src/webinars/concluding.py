"""What became of a webinar: visits, the job's end and the plan, added up to one report. Pure.

Every webinar that was planned gets exactly one: attended, attended in part, or missed with the reason.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from webinars import links
from webinars.instants import span_text
from webinars.ledger import Planned
from webinars.verdict import Verdict, consequence
from webinars.visit import Report, Visit

PART = 0.8
"""Less than this share of the time that one could be inside is attended in part."""


class JobEnd(msgspec.Struct, frozen=True):
    """How the attend job ended: its state, and the error's text if it has one."""

    state: str
    error: str = ""


def conclude(planned: Planned, visits: list[Visit], final: Visit | None, end: JobEnd, now: datetime) -> Report:
    """``final`` is the visit that the job gave as its result: what the ledger holds of that attempt may be older."""
    visits = [visit for visit in visits if final is None or visit.attempt != final.attempt]
    visits += [final] if final is not None else []
    event = planned.event
    joined = min((visit.joined for visit in visits if visit.joined), default=None)
    inside = sum(visit.inside for visit in visits)
    outcome, reason = _outcome(planned, visits, inside, end)
    return Report(
        title=event.title,
        calendar=event.calendar,
        start=event.start,
        end=event.end,
        outcome=outcome,
        reason=reason,
        link=links.redacted(planned.link),
        provider=planned.provider,
        joined=joined,
        lateness=(joined - event.start).total_seconds() if joined else None,
        inside=inside,
        attempts=len(visits),
        reconnects=sum(visit.reconnects for visit in visits),
        moments=tuple(moment for visit in visits for moment in visit.moments),
        recordings=tuple(visit.recording for visit in visits if visit.recording),
        made=now,
    )


def _outcome(planned: Planned, visits: list[Visit], inside: float, end: JobEnd) -> tuple[str, str]:
    last = visits[-1] if visits else None
    if last is None:
        return "missed", _never(planned, end)
    if not any(visit.joined for visit in visits):
        return "missed", _why(last, inside, end)
    if last.verdict is Verdict.ATTENDED and inside >= PART * _length(planned, visits):
        return "attended", f"inside for {span_text(timedelta(seconds=inside))}; {last.detail or 'to its end'}"
    return "attended in part", f"inside for {span_text(timedelta(seconds=inside))}; {_why(last, inside, end)}"


def _length(planned: Planned, visits: list[Visit]) -> float:
    """Seconds that one could be inside: from the start, or from when the host opened if we were there by then."""
    first, last = visits[0], visits[-1]
    start = planned.event.start
    in_time = first.page_open is not None and first.page_open <= start
    begin = max(start, first.joined) if in_time and first.joined else start
    return (min(planned.event.end, last.closed or planned.event.end) - begin).total_seconds()


def _why(last: Visit, inside: float, end: JobEnd) -> str:
    if end.state == "failed":
        return end.error or "the job failed"
    if end.state == "cancelled":
        return "the job was cancelled"
    if end.state == "succeeded" and last.verdict is Verdict.ENDED and inside > 0:
        return "it was over when we came back"
    text = consequence(last.verdict).text
    return f"{text}: {last.detail}" if last.detail and last.detail != text else text


def _never(planned: Planned, end: JobEnd) -> str:
    """No browser was ever opened."""
    if not planned.job:
        return "no job was stored for it"
    if end.state == "failed":
        return end.error or "the job failed before a browser was opened"
    if end.state == "cancelled":
        return "the job was cancelled"
    if end.state == "unknown":
        return "its job is no longer in the store"
    return "no browser was opened"
