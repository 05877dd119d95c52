"""Who asks, and what they may do.

A *viewer* has a name, for the audit trail, and may change things or only look. Who a request comes from is found by
what it shows: a session cookie from the login form, a bearer token or a user and password (for programs), or a
header set by a proxy that has asked already. ``Access`` with none of these lets everybody in, which ``server.py``
allows on loopback only.

Passwords are kept as scrypt hashes. Sessions are not kept at all: a cookie is a name and an end, signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from duly.errors import ConfigError

SESSION = 12 * 3600
"""Seconds a login lasts."""

MAX_FAILURES = 5
"""Wrong logins from one address within FAILURE_SPAN seconds after which it has to wait."""

FAILURE_SPAN = 60.0

_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_ROLES = ("change", "read")


@dataclass(frozen=True)
class Viewer:
    """Somebody who looks at the dashboard."""

    name: str
    may_change: bool


@dataclass(frozen=True)
class User:
    """A line of the users file: ``name:role:hash``; the role is *change* or *read*."""

    name: str
    role: str
    password: str  # as hash_password gives it


@dataclass
class Access:
    """How viewers are told apart. Without users, tokens and a header everybody may look and change."""

    users: Mapping[str, User] = field(default_factory=dict)
    token: str | None = None  # lets look and change
    read_token: str | None = None  # lets look
    user_header: str | None = None  # in lower case; set by a proxy in front
    read_only: bool = False  # nobody may change anything
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _failures: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_open(self) -> bool:
        """Nobody is asked who they are."""
        return not (self.users or self.token or self.read_token or self.user_header)

    def viewer(self, headers: Mapping[str, str], session: str | None) -> Viewer | None:
        """Who sent a request with these headers and this session cookie; None: nobody we know."""
        if self.is_open:
            return self._limited(Viewer("anybody", True))
        found = self._by_header(headers) or self._by_session(session) or self._by_credentials(headers)
        return None if found is None else self._limited(found)

    def login(self, name: str, password: str, address: str) -> Viewer | None:
        """The viewer of a name and password, or of a token given as the password. None: wrong, or too many wrong
        ones from this address."""
        if self.must_wait(address):
            return None
        found = self._check(name, password)
        if found is None:
            with self._lock:
                self._failures[address].append(time.monotonic())
        return None if found is None else self._limited(found)

    def must_wait(self, address: str) -> bool:
        """Too many wrong logins came from this address just now."""
        with self._lock:
            failures = self._failures[address]
            while failures and failures[0] < time.monotonic() - FAILURE_SPAN:
                failures.popleft()
            if not failures:
                del self._failures[address]
            return len(failures) >= MAX_FAILURES

    def _limited(self, viewer: Viewer) -> Viewer:
        return Viewer(viewer.name, viewer.may_change and not self.read_only)

    # -- by what a request shows -------------------------------------------------------------------

    def _by_header(self, headers: Mapping[str, str]) -> Viewer | None:
        name = headers.get(self.user_header) if self.user_header else None
        if not name:
            return None
        user = self.users.get(name)
        return Viewer(name, user is None or user.role == "change")

    def _by_session(self, session: str | None) -> Viewer | None:
        text = self.unsign(session)
        if text is None:
            return None
        end, _, who = text.partition("|")
        kind, _, name = who.partition(":")
        if int(end) < time.time():
            return None
        if kind == "token":  # the token may have been changed since
            token = {"change": self.token, "read": self.read_token}.get(name.partition(":")[0])
            right = token is not None and hmac.compare_digest(name.partition(":")[2], _short(token))
            return _of_token(name.partition(":")[0]) if right else None
        user = self.users.get(name)
        return None if user is None else Viewer(user.name, user.role == "change")

    def _by_credentials(self, headers: Mapping[str, str]) -> Viewer | None:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._check("", rest.strip())
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            return self._check(name, password)
        return None

    def _check(self, name: str, password: str) -> Viewer | None:
        for role, token in (("change", self.token), ("read", self.read_token)):
            if token and hmac.compare_digest(token.encode(), password.encode()):
                return _of_token(role)
        user = self.users.get(name)
        if user is not None and _is_password(password, user.password):
            return Viewer(user.name, user.role == "change")
        return None

    # -- sessions ------------------------------------------------------------------------------------

    def session(self, viewer: Viewer) -> str:
        """The cookie of a viewer who has logged in."""
        if viewer.name in self.users:
            who = f"user:{viewer.name}"
        else:
            role = "read" if viewer.name == "read token" else "change"
            who = f"token:{role}:{_short((self.read_token if role == 'read' else self.token) or '')}"
        return self.sign(f"{int(time.time()) + SESSION}|{who}")

    def sign(self, text: str) -> str:
        """``text`` in a form that :meth:`unsign` reads, and nobody else can make."""
        body = base64.urlsafe_b64encode(text.encode()).decode()
        return f"{body}.{self._mac(body)}"

    def unsign(self, signed: str | None) -> str | None:
        """What was signed; None for anything else."""
        body, _, mac = (signed or "").partition(".")
        if not mac or not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            return None
        return base64.urlsafe_b64decode(body).decode()

    def _mac(self, body: str) -> str:
        return hmac.new(self.secret, body.encode(), hashlib.sha256).hexdigest()


def _of_token(role: str) -> Viewer:
    return Viewer("token" if role == "change" else "read token", role == "change")


def _short(token: str) -> str:
    """Enough of a token's hash to tell that it is another one now."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def hash_password(password: str) -> str:
    """A password as the users file keeps it."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)
    return f"scrypt${salt.hex()}${digest.hex()}"


def _is_password(password: str, hashed: str) -> bool:
    _, salt, digest = hashed.split("$")
    made = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_SCRYPT)
    return hmac.compare_digest(made, bytes.fromhex(digest))


def read_users(text: str, where: str) -> dict[str, User]:
    """The users of a file: a line each, ``name:role:hash``; empty lines and those with # are skipped.

    Raises ConfigError that names the line.
    """
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = line.strip().split(":")
        if len(parts) != 3 or not parts[0]:
            raise ConfigError(f"{where}:{number}: expected name:role:hash; `duly dashboard --add-user` prints these")
        name, role, password = parts
        if role not in _ROLES:
            raise ConfigError(f"{where}:{number}: role {role!r} of {name}: expected change or read")
        kind, *rest = password.split("$")
        if kind != "scrypt" or len(rest) != 2 or not all(_is_hex(one) for one in rest):
            raise ConfigError(f"{where}:{number}: the hash of {name} is none; `duly dashboard --add-user` makes one")
        users[name] = User(name, role, password)
    return users


def _is_hex(text: str) -> bool:
    try:
        return bool(bytes.fromhex(text))
    except ValueError:
        return False
