"""Serving the dashboard by itself: where it may listen, whom it asks, and uvicorn."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import uvicorn

from duly.errors import ConfigError
from duly.store.contract import Store
from duly.web.access import Access, read_users
from duly.web.app import build, by_access

if TYPE_CHECKING:
    from duly.app import Duly

TOKEN = "DULY_DASHBOARD_TOKEN"
READ_TOKEN = "DULY_DASHBOARD_READ_TOKEN"
SECRET = "DULY_DASHBOARD_SECRET"
MIN_SECRET = 16  # characters of a token or secret, so that nobody guesses it

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_LEAVE = 3  # seconds that open streams are given when the server stops


@dataclass(frozen=True)
class Where:
    """Where it listens, and who may look."""

    host: str
    port: int  # 0: any free one
    access: Access
    allow_hosts: tuple[str, ...] = ()  # further names it answers to, behind a proxy


def access_of(
    users: str | None, user_header: str | None, read_only: bool, environ: Mapping[str, str] = os.environ
) -> Access:
    """Who may look, from the options and the environment. Raises ConfigError."""
    for name in (TOKEN, READ_TOKEN, SECRET):
        if name in environ and len(environ[name]) < MIN_SECRET:
            raise ConfigError(f"{name} has {len(environ[name])} characters; give at least {MIN_SECRET}")
    try:
        known = read_users(Path(users).read_text(), users) if users else {}
    except OSError as exc:
        raise ConfigError(f"users file {users!r}: {exc.strerror}") from None
    if users and not known:
        raise ConfigError(f"users file {users!r} names nobody; `duly dashboard --add-user NAME` prints a line for it")
    access = Access(
        users=known, token=environ.get(TOKEN), read_token=environ.get(READ_TOKEN),
        user_header=user_header.lower() if user_header else None, read_only=read_only,
    )  # fmt: skip
    if SECRET in environ:
        access.secret = environ[SECRET].encode()
    return access


def check(where: Where) -> None:
    """Refuse to listen where strangers could look. Raises ConfigError."""
    if not is_loopback(where.host) and where.access.is_open:
        raise ConfigError(
            f"--host {where.host}: others could reach the dashboard there, and nobody would be asked who they are; "
            f"give --users FILE, or a token in {TOKEN} ({READ_TOKEN} for looking only), or stay on 127.0.0.1"
        )
    if not is_loopback(where.host) and where.access.user_header:
        raise ConfigError(
            f"--user-header on --host {where.host}: whoever reaches it there could send that header; "
            "let the dashboard listen on 127.0.0.1 and only the proxy reach it"
        )
    if where.access.user_header and not where.allow_hosts:
        raise ConfigError("--user-header needs --allow-host: the name by which the proxy is asked")


def is_loopback(host: str) -> bool:
    """Only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names(where: Where) -> Iterable[str] | None:
    """The names it answers to; None: any, because who looks is asked for each time."""
    if where.access.is_open or where.access.user_header:
        return {*_LOCAL_NAMES, where.host, *where.allow_hosts}
    return None


def serve(store: Store, app: Duly | None, zone: ZoneInfo, where: Where, ready: Callable[[str], None]) -> None:
    """Serve until TERM or Ctrl-C. ``ready`` is told the address once it listens. Raises ConfigError."""
    check(where)
    listening = bind(where.host, where.port)
    port = listening.getsockname()[1]
    site = build(store, app, zone, by_access(where.access), where.access, names(where))
    config = uvicorn.Config(
        site, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_LEAVE,
        server_header=False, forwarded_allow_ips="127.0.0.1",
    )  # fmt: skip
    server = uvicorn.Server(config)
    shown = f"[{where.host}]" if ":" in where.host else where.host
    ready(f"http://{shown}:{port}/")
    server.run(sockets=[listening])


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises ConfigError."""
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as exc:
        raise ConfigError(
            f"the dashboard cannot listen on {host}:{port}: {exc.strerror or exc}; choose with --host and --port"
        ) from None
    return listening
