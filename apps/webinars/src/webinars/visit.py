"""What is noted of a webinar: visits (one for each attempt) and the report that they add up to."""

from __future__ import annotations

from datetime import datetime

import msgspec

from webinars.verdict import Verdict


class Moment(msgspec.Struct, frozen=True):
    """Something that happened, and what the screen looked like."""

    at: datetime
    what: str
    screenshot: str = ""  # a file of the webinar's folder


class Visit(msgspec.Struct):
    """One attempt. It is written while it goes on, so that what a crash leaves is true."""

    attempt: int
    opened: datetime  # when the browser was asked to open the page
    job: str = ""
    link: str = ""  # redacted
    provider: str = ""
    verdict: Verdict = Verdict.WAITING
    detail: str = ""
    page_open: datetime | None = None  # when the first page was there
    joined: datetime | None = None  # when we were inside for the first time
    seen: datetime | None = None  # the last time we were seen inside
    inside: float = 0.0  # seconds inside
    reconnects: int = 0
    closed: datetime | None = None  # when the visit ended; None: it goes on, or was cut short
    recording: str = ""  # a file of the webinar's folder
    moments: list[Moment] = []


class Report(msgspec.Struct, frozen=True):
    """What became of a webinar. ``by`` is said wherever this is shown: a machine was there, not a person."""

    title: str
    calendar: str
    start: datetime
    end: datetime
    outcome: str  # "attended", "attended in part", "missed"
    reason: str
    link: str  # redacted
    provider: str
    joined: datetime | None
    lateness: float | None  # seconds from the start to being inside; negative: inside before it
    inside: float  # seconds
    attempts: int
    reconnects: int
    moments: tuple[Moment, ...]
    recordings: tuple[str, ...]
    made: datetime
    by: str = "attended by machine"

    @property
    def missed(self) -> bool:
        return self.outcome == "missed"
