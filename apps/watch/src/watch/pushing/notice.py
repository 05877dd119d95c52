"""What is told, and to which address."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

TITLE = 200  # bytes; phones show fewer
BODY = 1_200  # bytes; the whole has to fit 4,096 bytes of FCM and 3,993 of Web Push, JSON escapes included


class Address(msgspec.Struct, frozen=True):
    """Where somebody is reached."""

    value: str
    """A token, an endpoint, an e-mail address or a URL."""
    keys: Mapping[str, str] = {}
    """What belongs to it: ``p256dh`` and ``auth`` of a browser, ``token`` of a protected ntfy topic."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One post, for one subscriber."""

    key: str
    """The same for each attempt to tell of this post, at most 32 letters, digits, ``-`` and ``_``: what is shown
    under a key replaces what was shown under it, so that a person sees one notice though two were sent."""
    title: str
    body: str
    url: str
    unsubscribe: str = ""
    """Where one click ends it."""
    ttl: int = 86_400
    """Seconds for which the provider should try."""
    to: str = ""
    """Makes the key the subscriber's own where all the world shares one space of names (Message-ID)."""


def notice(
    *, key: str, title: str, body: str, url: str, unsubscribe: str = "", ttl: int = 86_400, to: str = ""
) -> Notice:
    """A notice with its texts in one line each, cut to what every provider takes."""
    return Notice(
        key=key, title=cut(title, TITLE), body=cut(body, BODY), url=url, unsubscribe=unsubscribe, ttl=ttl, to=to
    )


def cut(text: str, size: int) -> str:
    """In one line, without control characters, at most ``size`` bytes in UTF-8; an ellipsis says that there was
    more."""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    if len(line.encode()) <= size:
        return line
    return line.encode()[: size - 3].decode(errors="ignore").rstrip() + "…"
