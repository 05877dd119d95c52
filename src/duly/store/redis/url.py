"""What a ``redis://`` URL says, and one that names Sentinels."""

from __future__ import annotations

import difflib
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from duly.errors import ConfigError
from duly.passwords import hidden

_SENTINEL = re.compile(
    r"(rediss?)\+sentinel://(?:(?P<user>[^/]*)@)?(?P<hosts>[^/@]*)(?:/(?P<service>[^/]*))?(?P<rest>/.*)?"
)
_SENTINEL_PORT = 26379
_OPTIONS = ("prefix", "timeout")
_SENTINELS = ("sentinel_username", "sentinel_password")
_DRIVERS = ("db", "username", "password", "client_name", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile",
            "ssl_cert_reqs", "ssl_check_hostname")  # fmt: skip


class Sentinels(msgspec.Struct, frozen=True):
    """Who knows which server is the primary."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    username: str | None
    password: str | None


class Place(msgspec.Struct, frozen=True):
    """Where a store is."""

    driver: str  # the URL as the driver takes it
    prefix: str  # of every key; the braces make it one hash slot
    timeout: float  # seconds to wait for the server
    sentinels: Sentinels | None = None  # the driver's URL has no address then


def parse(url: str) -> Place:
    """The place of a ``redis://``, ``rediss://``, ``unix://`` or ``redis+sentinel://`` URL. Raises ConfigError."""
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    by_sentinel = "+sentinel:" in base
    known = (*_OPTIONS, *_DRIVERS, *(_SENTINELS if by_sentinel else ()))
    for name in options:
        if name not in known:
            guess = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {guess[0]!r}?" if guess else ";"
            raise ConfigError(f"store {hidden(url)!r}: no option {name!r}{hint} known: {', '.join(known)}")
    prefix, timeout = options.pop("prefix", ""), options.pop("timeout", "5")
    if re.search(r"[{}\s]", prefix):
        raise ConfigError(f"store {hidden(url)!r}: prefix={prefix!r} has a brace or a blank in it; letters will do")
    if not re.fullmatch(r"\d+(\.\d+)?", timeout) or float(timeout) == 0:
        raise ConfigError(f"store {hidden(url)!r}: timeout={timeout!r}; it takes a number of seconds")
    sentinels = None
    if by_sentinel:
        base, sentinels = _sentinels(url, base, options)
    _check_address(url, base, options.get("db"))
    driver = base + ("?" + urlencode(options) if options else "")
    return Place(driver, "{duly:" + prefix + "}" if prefix else "{duly}", float(timeout), sentinels)


def _sentinels(url: str, base: str, options: dict[str, str]) -> tuple[str, Sentinels]:
    """What is left for the driver, and who is to be asked for the address."""
    found = _SENTINEL.fullmatch(base)
    hosts = found["hosts"].split(",") if found else []
    addresses = [re.fullmatch(r"(\[.+\]|[^:]+)(?::(\d{1,5}))?", host) for host in hosts]
    if found is None or not found["service"] or not all(addresses):
        raise ConfigError(
            f"store {hidden(url)!r}: expected redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT].../SERVICE[/DB]"
            ", the hosts being those of the Sentinels, and SERVICE what they call the primary"
        )
    pairs = tuple((one[1].strip("[]"), int(one[2] or _SENTINEL_PORT)) for one in addresses if one)
    user = f"{found['user']}@" if found["user"] else ""
    sentinels = Sentinels(
        pairs, found["service"], options.pop("sentinel_username", None), options.pop("sentinel_password", None)
    )
    return f"{found[1]}://{user}primary{found['rest'] or ''}", sentinels


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
