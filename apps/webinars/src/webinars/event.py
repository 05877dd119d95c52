"""The noun of this application: an event of a calendar, whatever calendar it came from."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec

DEFAULT_LENGTH = timedelta(hours=1)
"""For events that do not say how long they take."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One occurrence of one event.

    ``uid`` names the occurrence for good: it is the same after the event was moved, renamed or given another link.
    """

    calendar: str  # the name it has in the settings
    uid: str  # unique in its calendar
    title: str
    start: datetime  # aware, UTC
    end: datetime  # aware, UTC, after start
    links: tuple[str, ...] = ()  # where it may take place, the most trustworthy first
    organiser: str = ""  # address and name, as far as known
    passcode: str = ""
    all_day: bool = False
    declined: bool = False

    @property
    def id(self) -> str:
        """A short name: key of its job, last part of its folder's name."""
        return digest(self.calendar, self.uid)

    @property
    def revision(self) -> str:
        """Changes with anything that matters for attending, so that the job of a changed event is edited."""
        return digest(self.title, self.start.isoformat(), self.end.isoformat(), *self.links, self.passcode)


def digest(*parts: str) -> str:
    """Twelve hex digits that tell texts apart."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()
