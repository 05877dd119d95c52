"""How values look on a page: times, lengths, counts, and text that others wrote.

Jinja escapes HTML. Characters that show nothing or turn the line around are written as escapes here, once for all
templates (``_plain``), because what a task prints must not pass for something else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from duly.cli import times
from duly.cli.text import clean_lines, shorten
from duly.clock import from_micros
from duly.job import COUNT_CAP


@dataclass(frozen=True)
class Shown:
    """When and where a page is looked at."""

    now: int  # µs UTC
    zone: ZoneInfo
    base: str

    def time(self, instant: int | None, brief: bool = False) -> Markup:
        """An instant as a <time>: on the clock and how far away, or only (``brief``) how far away."""
        if instant is None:
            return Markup('<span class="none">–</span>')
        wall, away = times.short(instant, self.now, self.zone), times.relative(instant, self.now)
        text = away if brief else f"{wall} · {away}"
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            from_micros(instant).isoformat(), f"{times.full(instant, self.zone)} {self.zone.key}", text
        )

    def clock(self, instant: int) -> str:
        """Date and time of day, to the second."""
        return f"{from_micros(instant, self.zone):%Y-%m-%d %H:%M:%S}"

    def job(self, id: str) -> str:
        """The address of a job's page. Ids are anyone's texts, so they go into the query."""
        return f"{self.base}/job?id={quote(id, safe='')}"

    def jobs(self, *terms: str) -> str:
        """The address of the jobs that match a filter."""
        return f"{self.base}/jobs?q={quote(' '.join(terms), safe='')}"


def zone_named(name: str | None) -> ZoneInfo | None:
    """The zone of that name, if there is one."""
    try:
        return ZoneInfo(name) if name else None
    except Exception:  # an unknown name, a path outside the database, a folder: nothing a viewer may choose
        return None


def span(micros: float | None) -> str:
    """A length of time; a dash for none."""
    if micros is None:
        return "–"
    if math.isinf(micros):
        return "over a day"
    return "0" if 0 <= micros < 1 else times.span(round(micros))


def coded(text: str) -> Markup:
    """A text whose `commands` in backticks are shown as such."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:  # a backtick that is none of ours
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def count(number: int | None) -> str:
    """A count of the store, which stops at COUNT_CAP."""
    if number is None:
        return "–"
    return f"{COUNT_CAP:,}+" if number >= COUNT_CAP else f"{number:,}"


def rate(per_minute: float | None) -> str:
    """How many in a minute."""
    if per_minute is None:
        return "–"
    if per_minute and per_minute < 10:
        return f"{per_minute:.1f}/min"
    return f"{per_minute:,.0f}/min" if per_minute < 6_000 else f"{per_minute / 60:,.0f}/s"


def percent(part: float | None, digits: int = 1) -> str:
    """A share; never rounded up to 100 %, nor down to 0."""
    if part is None:
        return "–"
    least = 10.0**-digits
    value = part * 100
    if 0 < value < least:
        return f"<{least:g} %"
    if 100 - least < value < 100:
        return f">{100 - least:.{digits}f} %"
    return f"{value:.{digits}f}".removesuffix("." + "0" * digits) + " %"


def size(number: float | None) -> str:
    """Bytes for people."""
    if number is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("unreachable")


def short_id(id: str) -> str:
    """An id as far as it tells a job from others on a page: the end, for a UUIDv7 begins with its time."""
    return id if len(id) <= 13 else f"…{id[-12:]}"


STATE_MARKS = {
    "scheduled": "◷", "held": "‖", "queued": "•", "retrying": "↻", "running": "▶",
    "succeeded": "✓", "failed": "✗", "cancelled": "⊘", "uncertain": "?",
    "retry": "↻", "lost": "☠", "released": "↩", "postponed": "↻",
}  # fmt: skip
"""Before the name of a state, so that nobody has to tell colours apart."""


def state(name: str) -> Markup:
    return Markup('<span class="state s-{0}"><span aria-hidden="true">{1}</span> {0}</span>').format(
        name, STATE_MARKS.get(name, "")
    )


def _plain(value: Any) -> Any:
    """What Jinja is about to print."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return type(value)("\n".join(clean_lines(value)))  # an escape has no character that HTML knows


@cache
def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=PackageLoader("duly.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "span": span, "count": count, "rate": rate, "percent": percent, "size": size, "short_id": short_id,
        "state": state, "shorten": shorten, "coded": coded,
    }  # fmt: skip
    return made
