"""What a provider is: where its doors are, what its screens mean, and which steps lead inside. All of it is data.

There is no script of steps in an order, because sites change it: a consent dialog comes first, or later, or twice.
The visit looks at the page, again and again; what it sees is a sign, or it takes the first step whose element is
there. A user's recipe (``recipe.py``) is the same data in TOML.
"""

from __future__ import annotations

import enum
import re
from typing import Literal

import msgspec

from webinars import links


class Screen(enum.StrEnum):
    """What a page means. The first of these that a sign is found for counts."""

    CAPTCHA = "captcha"
    REMOVED = "removed"
    DENIED = "denied"
    MOVED = "moved"  # what is seen is a link to another room
    DISCONNECTED = "disconnected"
    ENDED = "ended"
    NOT_FOUND = "not found"
    ASKED = "asked"  # whether somebody is there; never answered, only noted
    INSIDE = "inside"
    LOGIN = "login"
    WAITING = "waiting"


When = Literal["way", "inside", "disconnected"]
Do = Literal["click", "fill", "check", "choose"]

PERSONAL = ("name", "first_name", "last_name", "email", "company", "job_title", "country", "phone")
SECRET = ("passcode", "username", "password")


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something to do when an element is visible: ``see`` is a selector of Playwright.

    ``value`` for fill and choose: a text in which {name}, {email}, ... stand for what the settings say; a step whose
    value is not known is not taken. Fields that hold something are left alone.
    """

    name: str
    see: str
    do: Do = "click"
    value: str = ""
    times: int = 1  # at most so often in one visit
    when: When = "way"

    def __post_init__(self) -> None:
        if self.do in ("fill", "choose") and not self.value:
            raise ValueError(f"step {self.name!r}: {self.do} needs a value, like {{email}}")
        for word in re.findall(r"{(\w+)}", self.value):
            if word not in PERSONAL + SECRET:
                raise ValueError(
                    f"step {self.name!r}: nobody knows {{{word}}}; known: {', '.join(PERSONAL + SECRET)}"
                )

    @property
    def secret(self) -> bool:
        """Whether what it fills in must not be seen."""
        return any(f"{{{word}}}" in self.value for word in SECRET)


class Sign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a screen is recognised by: a visible element, a regular expression in the visible text, or in the
    address."""

    screen: Screen
    see: str | None = None
    text: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.see, self.text, self.url)) != 1:
            raise ValueError(f"a sign of {self.screen.value!r} needs one of: see, text, url")
        if self.screen is Screen.MOVED and self.see is None:
            raise ValueError("a sign of 'moved' needs see: the link to follow")
        try:
            re.compile(self.text or self.url or "")
        except re.error as error:
            raise ValueError(f"sign of {self.screen.value!r}: {error}") from None

    def __str__(self) -> str:
        return next(f"{kind} {value}" for kind in ("see", "text", "url") if (value := getattr(self, kind)))


class Provider:
    """A host of webinars. Subclasses declare; they have no behaviour but ``address``.

    ``player``: a <video> that moves forward means inside, one that ended means the end. Without it a sign has to say
    so.
    """

    name: str = "generic"
    player: bool = True
    steps: tuple[Step, ...] = ()
    signs: tuple[Sign, ...] = ()

    def fits(self, link: str) -> bool:
        return links.provider_of(link) == self.name

    def address(self, link: str) -> str:
        """The page to open for a link."""
        return link
