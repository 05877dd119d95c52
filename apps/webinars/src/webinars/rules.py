"""Which events are webinars, and why: shown by ``webinars plan`` before anything happens.

A meeting with colleagues is no webinar: a machine must not sit in it. So an event is taken only for a reason, and
every reason can be said in a few words. The user's own rules come first, ``leave`` before ``take``.
"""

from __future__ import annotations

import fnmatch
import re

import msgspec

from webinars import links
from webinars.errors import SettingsError
from webinars.event import Event

DEFAULT_ORGANISERS = ("isc2.org", "brighttalk.com")
DEFAULT_TITLE = re.compile(r"\b(webinars?|webcasts?|web seminar|brighttalk)\b|\bISC2\b|\(ISC\)\s?[2²]", re.IGNORECASE)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fits an event if everything that it names fits."""

    title: str | None = None  # regular expression, upper and lower case alike
    organiser: str | None = None  # like "*@isc2.org", or a part of it
    host: str | None = None  # domain of a link, subdomains included
    calendar: str | None = None  # name of a calendar in the settings

    def __post_init__(self) -> None:
        if not self.text():
            raise ValueError("a rule has to name something: title, organiser, host or calendar")
        try:
            re.compile(self.title or "")
        except re.error as error:
            raise ValueError(f"title = {self.title!r} is no regular expression: {error}") from None

    def text(self) -> str:
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)

    def fits(self, event: Event) -> bool:
        return (
            (self.title is None or re.search(self.title, event.title, re.IGNORECASE) is not None)
            and (self.organiser is None or _like(event.organiser, self.organiser))
            and (self.calendar is None or event.calendar == self.calendar)
            and (self.host is None or any(links.under(links.host_of(link), self.host) for link in event.links))
        )


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    take: tuple[Rule, ...] = ()
    leave: tuple[Rule, ...] = ()
    defaults: bool = True  # the built-in reasons, after yours

    def check(self, calendars: list[str]) -> None:
        """Raises SettingsError for a rule about a calendar that does not exist."""
        for rule in (*self.take, *self.leave):
            if rule.calendar is not None and rule.calendar not in calendars:
                raise SettingsError(
                    f"a rule names the calendar {rule.calendar!r}; there are: {', '.join(calendars) or 'none'}"
                )


class Judgement(msgspec.Struct, frozen=True):
    """Whether an event is attended, and the reason in a few words."""

    taken: bool
    reason: str


def judge(event: Event, rules: Rules) -> Judgement:
    """Decide about one event."""
    if event.all_day:
        return Judgement(False, "all day: no time to join at")
    if event.declined:
        return Judgement(False, "you declined it")
    for rule in rules.leave:
        if rule.fits(event):
            return Judgement(False, f"your rule: leave {rule.text()}")
    reason = _reason(event, rules)
    if reason is None:
        return Judgement(False, "nothing says it is a webinar")
    if door(event) is None:
        return Judgement(False, f"{reason}, but there is no link")
    return Judgement(True, reason)


def door(event: Event) -> str | None:
    """The link to go to: the first of a known host, else the first."""
    return next((link for link in event.links if links.provider_of(link)), next(iter(event.links), None))


def _reason(event: Event, rules: Rules) -> str | None:
    for rule in rules.take:
        if rule.fits(event):
            return f"your rule: take {rule.text()}"
    if not rules.defaults:
        return None
    for organiser in DEFAULT_ORGANISERS:
        if re.search(rf"[@.]{re.escape(organiser)}\b", event.organiser):
            return f"organised by {organiser}"
    for link in event.links:
        if links.WEBINAR.search(link):
            return f"a webinar's address at {links.host_of(link)}"
    match = DEFAULT_TITLE.search(event.title)
    if match and any(links.provider_of(link) for link in event.links):
        return f"the title says {match[0]}"
    return None


def _like(text: str, pattern: str) -> bool:
    text, pattern = text.lower(), pattern.lower()
    if any(sign in pattern for sign in "*?["):
        return any(fnmatch.fnmatchcase(word.strip("<>"), pattern) for word in text.split())
    return pattern in text
