"""What a ``redis://`` URL says."""

from __future__ import annotations

import difflib
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from duly.errors import ConfigError
from duly.passwords import hidden

SCHEMES = ("redis", "rediss", "unix")
_OPTIONS = ("prefix", "timeout")
_DRIVERS = ("db", "username", "password", "client_name", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile",
            "ssl_cert_reqs", "ssl_check_hostname")  # fmt: skip


class Place(msgspec.Struct, frozen=True):
    """Where a store is."""

    driver: str  # the URL as the driver takes it
    prefix: str  # of every key; the braces make it one hash slot
    timeout: float  # seconds to wait for the server


def parse(url: str) -> Place:
    """The place of a ``redis://``, ``rediss://`` or ``unix://`` URL. Raises ConfigError."""
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in _OPTIONS and name not in _DRIVERS:
            known = (*_OPTIONS, *_DRIVERS)
            guess = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {guess[0]!r}?" if guess else ";"
            raise ConfigError(f"store {hidden(url)!r}: no option {name!r}{hint} known: {', '.join(known)}")
    prefix, timeout = options.pop("prefix", ""), options.pop("timeout", "5")
    if re.search(r"[{}\s]", prefix):
        raise ConfigError(f"store {hidden(url)!r}: prefix={prefix!r} has a brace or a blank in it; letters will do")
    if not re.fullmatch(r"\d+(\.\d+)?", timeout) or float(timeout) == 0:
        raise ConfigError(f"store {hidden(url)!r}: timeout={timeout!r}; it takes a number of seconds")
    _check_address(url, base, options.get("db"))
    driver = base + ("?" + urlencode(options) if options else "")
    return Place(driver, "{duly:" + prefix + "}" if prefix else "{duly}", float(timeout))


def _check_address(url: str, base: str, database: str | None) -> None:
    parts = urlsplit(base)
    try:
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"store {hidden(url)!r}: its port is no number from 0 to 65535") from error
    if database is None and parts.scheme != "unix":
        database = parts.path.strip("/")
    if database and not database.isdecimal():
        raise ConfigError(f"store {hidden(url)!r}: the database {database!r} is no number")


def address(connection: Any) -> str:
    """Where a connection of the driver leads, as people write it."""
    path = getattr(connection, "path", None)
    return str(path) if path else f"{connection.host}:{connection.port}"
