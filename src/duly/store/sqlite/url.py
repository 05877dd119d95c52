"""What a ``sqlite://`` URL says."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, unquote

from duly.errors import ConfigError

DURABILITY = {
    "FULL": "every acknowledged job survives a loss of power (SQLite WAL, synchronous=FULL)",
    "NORMAL": "a loss of power may undo the last moments' commits (SQLite WAL, synchronous=NORMAL)",
}


def parse(url: str) -> tuple[str, str, float]:
    """Path, synchronous and timeout (seconds) of a ``sqlite://`` URL. Raises ConfigError.

    Links are followed: the wake-ups are beside the file, and there is one place beside it.
    """
    rest = url.removeprefix("sqlite://")
    place, _, query = rest.partition("?")
    if not place.startswith("/") or len(place) < 2:
        raise ConfigError(
            f"store {url!r}: needs a path: sqlite:///relative.db (three slashes) or sqlite:////absolute.db (four)"
        )
    path = unquote(place[1:])
    options = {"synchronous": "FULL", "timeout": "10"}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in options:
            raise ConfigError(f"store {url!r}: no option {name!r}; known: {', '.join(options)}")
        options[name] = value
    synchronous = options["synchronous"].upper()
    if synchronous not in DURABILITY:
        raise ConfigError(f"store {url!r}: synchronous={synchronous}; it can be {' or '.join(DURABILITY)}")
    if not re.fullmatch(r"\d+(\.\d+)?", options["timeout"]):
        raise ConfigError(f"store {url!r}: timeout={options['timeout']!r}; it takes a number of seconds")
    return path if path == ":memory:" else os.path.realpath(path), synchronous, float(options["timeout"])
