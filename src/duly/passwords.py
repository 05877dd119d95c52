"""Passwords in the URLs of stores and brokers: what people are shown, and what is stored, has none."""

from __future__ import annotations

import re

_BEFORE_HOST = re.compile(r"(?<=://)([^/\s@:?#]*):[^\s?#]+(?=@)")  # up to the last @: a password may have one in it
_OPTION = re.compile(r"(?<=[?&])((?:ssl|sentinel_)?password)=[^&#\s]*")
_OPTIONS = re.compile(r"([?&])(?:(?:ssl|sentinel_)?password=[^&#\s]*(?:&|$))+")


def hidden(text: str) -> str:
    """For people: stars in the place of each password."""
    return _OPTION.sub(r"\1=********", _BEFORE_HOST.sub(r"\1:********", text))


def without(url: str) -> str:
    """The URL as it may be stored, for whoever can connect without them."""
    return _OPTIONS.sub(r"\1", _BEFORE_HOST.sub(r"\1", url)).rstrip("?&")
