"""The settings of an installation: environment variables ``WATCH_...``.

Each field of Environment is one: ``folder`` is ``WATCH_FOLDER``. A variable with that beginning which is none of them
is refused, so that a slip of the pen is not silently ignored.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from watch.errors import SettingsError

PREFIX = "WATCH_"
KINDS = ("fcm", "webpush", "email", "ntfy", "apprise")  # of targets


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the variables say; texts, as they come."""

    folder: Path
    """Where the databases and the secret key are. Default: systemd's StateDirectory, else ~/.local/share/watch."""
    database: str = ""
    """``postgresql://user:password@host/name``. Default: the file ``watch.sqlite3`` in the folder."""
    store: str = ""
    """URL of duly's store. Default: the PostgreSQL database, or the file ``jobs.db`` in the folder."""
    url: str = "http://127.0.0.1:8028"
    """The address under which people reach the pages; it is in the links that are sent to them."""
    zone: str = "UTC"
    """Time zone of the pages, and of subscribers who have none."""
    secret: str = ""
    """Django's secret key. Default: made once, and kept in the folder with mode 600."""
    contact: str = ""
    """An address or page for those who wonder who crawls their site; a part of the User-Agent."""
    keep: float = 30.0
    """Days for which it is kept who was told of what."""
    private: bool = False
    """``1``: hosts with private addresses may be crawled too. Without it no site leads a crawl into your network."""

    fcm: str = ""
    """The key file of a service account that may send for your Firebase project. Needed for targets of the kind
    fcm."""
    fcm_url: str = "https://fcm.googleapis.com"
    """Where FCM is, for tests and proxies."""
    smtp: str = ""
    """``smtp://user:password@host:587`` or ``smtps://...``. Needed for targets of the kind email."""
    mail_from: str = "Watch <watch@localhost>"
    """Whom the mails are from."""
    within: float = 24.0
    """Hours after which nobody is told of a post any more; a subscriber's night is not counted."""
    rates: str = "email=10/s,apprise=5/s,ntfy=1/s"
    """How fast each kind of target is served, over all workers. FCM and Web Push say themselves when they want
    less."""

    def rate(self, kind: str) -> str | None:
        """The rate of a kind of target, as duly writes it; None: as fast as it goes."""
        return _rates(self.rates).get(kind)


def _rates(text: str) -> dict[str, str]:
    """``kind=rate`` with commas between. Raises SettingsError."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, rate = (word.strip() for word in part.partition("="))
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(KINDS)}"
            raise SettingsError(f"{PREFIX}RATES: {kind!r} is no kind of target{hint}")
        if not re.fullmatch(r"\d+(\.\d+)?/[smhd]", rate):
            raise SettingsError(f"{PREFIX}RATES: {part!r}: expected a rate like {kind}=10/s or {kind}=100/m")
        found[kind] = rate
    return found


def read(environ: Mapping[str, str] = os.environ) -> Environment:
    """Raises SettingsError."""
    names = {PREFIX + field.upper(): field for field in Environment.__struct_fields__}
    given: dict[str, str] = {}
    for variable in (name for name in environ if name.startswith(PREFIX)):
        if variable not in names:
            near = difflib.get_close_matches(variable, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
            raise SettingsError(f"{variable} is no setting of watch{hint}")
        if environ[variable]:
            given[names[variable]] = environ[variable]
    given.setdefault("folder", environ.get("STATE_DIRECTORY") or str(Path.home() / ".local/share/watch"))
    try:
        found = msgspec.convert(given | {"folder": ""}, Environment, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(_with_name(str(error), names)) from None
    found = msgspec.structs.replace(found, folder=Path(given["folder"]).expanduser().absolute())
    _check(found)
    return found


def _path(kind: type, value: object) -> Path:
    return Path(str(value))


def _with_name(text: str, names: Mapping[str, str]) -> str:
    """msgspec's sentence, with the variable's name instead of the field's."""
    for variable, field in names.items():
        text = text.replace(f"`$.{field}`", variable)
    return text


def _check(found: Environment) -> None:
    try:
        ZoneInfo(found.zone)
    except (KeyError, ValueError):
        raise SettingsError(f"{PREFIX}ZONE={found.zone!r} is no time zone; one is Europe/Berlin") from None
    _rates(found.rates)
    if found.within <= 0:
        raise SettingsError(f"{PREFIX}WITHIN={found.within}: expected hours, more than 0")
    parts = urlsplit(found.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise SettingsError(
            f"{PREFIX}URL={found.url!r}: expected the scheme and host of the pages, https://watch.example"
        )
    if found.keep < 1:
        raise SettingsError(f"{PREFIX}KEEP={found.keep:g}: expected days, 1 or more")
    if found.database and urlsplit(found.database).scheme not in ("postgresql", "postgres"):
        raise SettingsError(
            f"{PREFIX}DATABASE: expected postgresql://user:password@host/name; without it the database is a file "
            f"in {found.folder}"
        )


def make_folder(folder: Path) -> Path:
    """The folder, made if need be. Raises SettingsError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{PREFIX}FOLDER={str(folder)!r} cannot be made: {error.strerror}") from None
    return folder


def secret_key(found: Environment) -> str:
    """The given key, or the one of the folder; the first to ask makes it. Raises SettingsError."""
    if found.secret:
        return found.secret
    path = make_folder(found.folder) / "secret.key"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from None
    return _read_key(path)


def _read_key(path: Path) -> str:
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if len(key) < 32:
        raise SettingsError(f"{path} holds no secret key; remove it, and a new one is made (links sent before end)")
    return key
