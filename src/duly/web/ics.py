"""What is ahead as a calendar (RFC 5545): for phones and mail programs that subscribe to an address."""

from __future__ import annotations

from collections.abc import Iterable

from duly.clock import MICROS, from_micros
from duly.web.timeline import Item

_LEAST = 60 * MICROS  # µs that an entry lasts at least, or calendars show nothing


def calendar(items: Iterable[Item], now: int, name: str) -> str:
    """An entry for each item."""
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//duly//dashboard//EN", "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{_text(name)}", "REFRESH-INTERVAL;VALUE=DURATION:PT15M",
    ]  # fmt: skip
    for item in items:
        lines += _entry(item, now)
    lines.append("END:VCALENDAR")
    return "".join(_folded(line) for line in lines)


def _entry(item: Item, now: int) -> list[str]:
    uid = item.job or f"{item.schedule}-{item.at}"
    facts = [f"queue {item.lane}", item.text, f"schedule {item.schedule}" if item.schedule else f"job {item.job}"]
    return [
        "BEGIN:VEVENT",
        f"UID:{_text(uid)}@duly",
        f"DTSTAMP:{_instant(now)}",
        f"DTSTART:{_instant(item.at)}",
        f"DTEND:{_instant(item.at + max(item.length, _LEAST))}",
        f"SUMMARY:{_text(item.task)}",
        f"DESCRIPTION:{_text(chr(10).join(fact for fact in facts if fact)[:1000])}",
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def _instant(instant: int) -> str:
    return f"{from_micros(instant):%Y%m%dT%H%M%SZ}"


def _text(value: str) -> str:
    """Escaped as values of the type TEXT are; control characters have no place there."""
    plain = "".join(one for one in value if one == "\n" or one.isprintable())
    return plain.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> str:
    """At most 75 bytes a line; what goes on begins with a space."""
    parts: list[bytes] = []
    rest = line.encode("utf-8", "replace")
    while len(rest) > (most := 74 if parts else 75):
        cut = most
        while rest[cut] & 0xC0 == 0x80:  # not inside a character
            cut -= 1
        parts.append(rest[:cut])
        rest = rest[cut:]
    parts.append(rest)
    return "\r\n ".join(part.decode() for part in parts) + "\r\n"
