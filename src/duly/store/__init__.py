"""Stores: where jobs live. ``open(url)`` gives one."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator

from duly.clock import SYSTEM, Clock
from duly.errors import ConfigError
from duly.passwords import hidden
from duly.store.contract import Listener, Store

__all__ = ["Listener", "Store", "load", "open"]

_REDIS = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
_SCHEMES = ("sqlite", "postgresql", "postgres", *_REDIS)


def open(url: str, *, clock: Clock = SYSTEM, create: bool = True) -> Store:  # noqa: A001 - store.open(url) reads as it should
    """The store of a URL: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db`` or
    ``sqlite:///:memory:`` (this process only).

    Options follow a ``?``: ``synchronous=NORMAL`` gives up the last commits at a loss of power for speed,
    ``timeout=SECONDS`` (10) is how long to wait for another process's lock, or for a server.

    ``postgresql://user:password@host:5432/database`` is a store on a server (``duly[postgres]``).

    ``create=False`` is for those who only look: the first use then raises StoreUnavailable if there is no store.

    Raises ConfigError for a URL that names no known store; nothing is opened before the first use.
    """
    scheme, separator, _ = url.partition("://")
    if scheme == "sqlite" and separator:
        from duly.store.sqlite import SqliteStore

        return SqliteStore(url, clock=clock, create=create)
    if scheme in ("postgresql", "postgres") and separator:
        with _extra("postgres", "psycopg"):
            from duly.store.postgres import PostgresStore
        return PostgresStore(url, clock=clock, create=create)
    if scheme in _REDIS and separator:
        with _extra("redis", "redis", "hiredis"):
            from duly.store.redis import RedisStore
        return RedisStore(url, clock=clock, create=create)
    guess = difflib.get_close_matches(scheme, _SCHEMES, n=1, cutoff=0.5)
    hint = f"; did you mean {guess[0]}://?" if guess else ""
    raise ConfigError(
        f"store {hidden(url)!r}: there is no such kind of store{hint or '.'} A store is sqlite:///path/to/file.db "
        "(three slashes: relative to the working directory; four: absolute), postgresql://user@host/database, or "
        "redis://host:6379/0"
    )


@contextlib.contextmanager
def _extra(name: str, *libraries: str) -> Iterator[None]:
    """Imports that need the libraries of an extra. Raises ConfigError that says how to get them."""
    try:
        yield
    except ImportError as error:
        if not any((error.name or "").startswith(library) for library in libraries):
            raise
        raise ConfigError(f'this kind of store needs the {error.name} package: pip install "duly[{name}]"') from error


def load() -> None:
    """Import what ``open`` will need. For whoever may fork: a child forked while another thread imports it would wait
    for that thread for ever."""
    import duly.store.sqlite  # noqa: F401
