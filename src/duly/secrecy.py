"""What a task declares ``sensitive`` is not shown to people: its arguments are hidden where jobs are looked at.

Numbers stay as they are stored, digit for digit: nothing is decoded that does not have to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from duly.job import Options

HIDDEN = "•••"
"""Stands for a value that is not shown. Posted back in an edited payload it means the stored value."""

HIDDEN_JSON = msgspec.Raw(msgspec.json.encode(HIDDEN))

_options = msgspec.json.Decoder(Options).decode

call_of = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
"""Stored arguments as they are stored, one by one. Raises MsgspecError for what are none."""


class HasArguments(Protocol):
    """A job or a schedule."""

    @property
    def args(self) -> bytes: ...
    @property
    def options(self) -> bytes | None: ...


def sensitive(options: bytes | None) -> Sequence[str | int]:
    """Names and positions of the arguments that are not shown."""
    if options is None:
        return ()
    try:
        return _options(options).sensitive
    except msgspec.MsgspecError:  # written by a newer release
        return ()


def visible(one: HasArguments) -> bytes:
    """The stored arguments with what is sensitive hidden: JSON, unless what is stored is none."""
    names = sensitive(one.options)
    if not names:
        return one.args
    try:
        args, kwargs = call_of(one.args)
    except msgspec.MsgspecError:
        return msgspec.json.encode(HIDDEN)
    shown = [HIDDEN_JSON if at in names else value for at, value in enumerate(args)]
    named = {name: HIDDEN_JSON if name in names else value for name, value in kwargs.items()}
    return msgspec.json.encode([shown, named])
