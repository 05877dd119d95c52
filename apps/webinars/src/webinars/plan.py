"""The plan: of all events, which are attended, where, and why the others are not. Pure; ``webinars plan`` shows
it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from webinars import links
from webinars.event import Event
from webinars.rules import Rules, door, judge


class Line(msgspec.Struct, frozen=True):
    """One event, and what is meant to happen to it."""

    event: Event
    taken: bool
    reason: str
    link: str = ""
    room: str = ""

    @property
    def provider(self) -> str:
        return (links.provider_of(self.link) or "generic") if self.link else ""


def make(events: Iterable[Event], rules: Rules) -> list[Line]:
    """A line for each event, by start. One room is entered once at a time: an event in several calendars, or invited
    to twice, is taken from where it was found first."""
    lines: list[Line] = []
    busy: dict[str, Event] = {}  # room to the last event taken there
    for event in sorted(events, key=lambda event: (event.start, event.end)):
        judgement = judge(event, rules)
        link = door(event) or ""
        line = Line(event, judgement.taken, judgement.reason, link, links.room(link) if link else "")
        other = busy.get(line.room)
        if line.taken and other is not None and other.end > event.start:
            line = msgspec.structs.replace(line, taken=False, reason=f"the same room as {other.title!r} at that time")
        elif line.taken:
            busy[line.room] = event
        lines.append(line)
    return lines
