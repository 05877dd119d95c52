"""How a visit ended, and what follows from it: nothing more to do, try again, or ask a person."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Verdict(enum.StrEnum):
    JOINED = "joined"  # inside, and still there
    ATTENDED = "attended"  # was inside until the end
    ENDED = "ended"  # was over before we were inside
    WAITING = "waiting for host"
    DENIED = "denied"
    REMOVED = "removed"
    LOGIN = "log-in needed"
    CAPTCHA = "CAPTCHA"
    STUCK = "stuck"
    NOT_FOUND = "not found"
    UNREACHABLE = "unreachable"
    BROKEN = "browser broke"
    UNABLE = "unable"
    TOO_LATE = "too late"
    CANCELLED = "cancelled"


class Consequence(NamedTuple):
    """``again``: seconds until the next try, as long as the event lasts; None: there is none."""

    again: float | None
    ask: bool  # a person can help, and is told at once
    text: str


_CONSEQUENCES = {
    Verdict.JOINED: Consequence(5, False, "the visit was cut short"),
    Verdict.ATTENDED: Consequence(None, False, "attended to its end"),
    Verdict.ENDED: Consequence(None, False, "it was already over"),
    Verdict.WAITING: Consequence(None, False, "the host did not start it"),
    Verdict.DENIED: Consequence(None, True, "the host did not let us in"),
    Verdict.REMOVED: Consequence(None, True, "the host removed us"),
    Verdict.LOGIN: Consequence(120, True, "a log-in is needed"),
    Verdict.CAPTCHA: Consequence(300, True, "a CAPTCHA asks for a human"),
    Verdict.STUCK: Consequence(120, True, "the way in was not found"),
    Verdict.NOT_FOUND: Consequence(60, True, "there is no such page"),
    Verdict.UNREACHABLE: Consequence(20, False, "the site did not answer"),
    Verdict.BROKEN: Consequence(10, False, "the browser ended"),
    Verdict.UNABLE: Consequence(60, True, "it could not be begun"),  # no browser, a secret that is missing
    Verdict.TOO_LATE: Consequence(None, False, "it could be started only after its end"),
    Verdict.CANCELLED: Consequence(None, False, "it was cancelled"),
}


def consequence(verdict: Verdict) -> Consequence:
    return _CONSEQUENCES[verdict]
