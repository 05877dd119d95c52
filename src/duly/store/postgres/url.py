"""What a ``postgresql://`` URL says."""

from __future__ import annotations

import difflib
import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from duly.errors import ConfigError
from duly.passwords import without

_OWN = ("schema", "timeout", "listen")
_LIBPQ = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "target_session_attrs",
    "connect_timeout",
    "application_name",
)
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")

_DEFAULTS: dict[str, str] = {
    "application_name": "duly",
    "connect_timeout": "5",  # seconds
    "keepalives_idle": "10",  # seconds; a peer that vanished is noticed within half a minute
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",  # ms
    "client_encoding": "utf8",
}


class Place(msgspec.Struct, frozen=True):
    """Where a store is, and how it is reached."""

    conninfo: str  # as libpq takes it
    listen: str | None  # the same for the connection that hears wake-ups; None: as conninfo
    schema: str
    timeout: float  # seconds to go on trying to reach the server
    name: str  # the URL without its passwords: for people, and for who can connect without


def parse(url: str) -> Place:
    """Raises ConfigError."""
    parts = urlsplit(url)
    options = {"schema": "duly", "timeout": "10"}
    rest: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        (options if name in _OWN else rest)[name] = value
    if not _SCHEMA.fullmatch(options["schema"]):
        raise ConfigError(
            f"store {_shown(parts)}: schema={options['schema']!r}; it takes up to 40 small letters, digits and _, "
            "beginning with a letter"
        )
    if not re.fullmatch(r"\d+(\.\d+)?", options["timeout"]):
        raise ConfigError(f"store {_shown(parts)}: timeout={options['timeout']!r}; it takes a number of seconds")
    conninfo = _conninfo(parts, rest)
    listen = options.get("listen")
    return Place(
        conninfo=conninfo,
        listen=None if listen is None else parse(listen).conninfo,
        schema=options["schema"],
        timeout=float(options["timeout"]),
        name=_shown(parts),
    )


def _conninfo(parts: SplitResult, options: dict[str, str]) -> str:
    bare = parts._replace(scheme="postgresql", query="", fragment="").geturl()
    try:
        for name in options:
            conninfo_to_dict(f"postgresql:///?{urlencode({name: ''})}")
    except psycopg.ProgrammingError:
        known = [*_OWN, *_LIBPQ]
        guess = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        raise ConfigError(
            f"store {_shown(parts)}: no option {name!r}{hint} Known: {', '.join(known)}, and what else libpq knows"
        ) from None
    try:
        stated = conninfo_to_dict(bare) | conninfo_to_dict(**options)
    except (psycopg.ProgrammingError, ValueError) as error:
        raise ConfigError(
            f"store {_shown(parts)}: {str(error).strip()}; a store is postgresql://user:password@host:5432/database"
        ) from None
    several = {"target_session_attrs": "read-write"} if "," in str(stated.get("host", "")) else {}
    said = {name: str(value) for name, value in stated.items() if value is not None}
    return make_conninfo("", **{**_DEFAULTS, **several, **said})


def _shown(parts: SplitResult) -> str:
    """The URL without its passwords. With its options: another schema is another store."""
    return without(parts._replace(scheme="postgresql").geturl())
