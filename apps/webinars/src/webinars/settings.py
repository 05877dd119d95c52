"""The settings file, ``webinars.toml``: what it may say, and what is wrong with it, told by name and value.

Every part is a struct; what a part knows of itself it checks itself (``__post_init__``). A text ``secret:NAME``
stands for a secret that is kept elsewhere (``vault.py``).
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from webinars.errors import SettingsError
from webinars.instants import span
from webinars.rules import Rules

PLACE = "WEBINARS_SETTINGS"
"""The environment variable that says where the file is."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")

Text = str | None
Part = msgspec.Struct


class Me(Part, frozen=True, forbid_unknown_fields=True):
    """Who attends: what goes into the forms that ask for it, and into no others."""

    name: str
    email: str
    addresses: tuple[str, ...] = ()  # further ones that you are invited by
    company: str = ""
    job_title: str = ""
    country: str = ""
    phone: str = ""

    @property
    def first_name(self) -> str:
        return self.name.split()[0] if self.name.split() else ""

    @property
    def last_name(self) -> str:
        return " ".join(self.name.split()[1:])

    @property
    def all_addresses(self) -> tuple[str, ...]:
        return (self.email, *self.addresses)


class Calendar(Part, frozen=True, forbid_unknown_fields=True):
    """One calendar. Which fields it needs depends on its kind."""

    name: str
    kind: Literal["ical", "google", "brighttalk"]
    path: Text = None  # ical: a file
    url: Text = None  # ical: an address, or the secret that holds it
    calendar: str = "primary"  # google: which of the account's
    credentials: Text = None  # google: the secret that holds them
    api: Text = None  # google: another address of the API
    channel: int | None = None  # brighttalk

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name = {self.name!r}: small letters, digits, - and _, 31 at most")
        if self.kind == "ical" and (self.path is None) == (self.url is None):
            raise ValueError(f"calendar {self.name!r}: kind ical needs either a path or an url")
        if self.kind == "google" and not (self.credentials or "").startswith("secret:"):
            raise ValueError(f'calendar {self.name!r}: kind google needs credentials = "secret:NAME"')
        if self.kind == "brighttalk" and self.channel is None and self.url is None:
            raise ValueError(f"calendar {self.name!r}: kind brighttalk needs the channel's number: channel = 288")


class Times(Part, frozen=True, forbid_unknown_fields=True):
    """Spans: "90s", "2m", "1h30m", "14d"."""

    lead: str = "2m"  # the browser starts so long before the event
    grace: str = "10m"  # and stays so long after its end, if the host does not end it
    every: str = "1h"  # between two readings of the calendars
    ahead: str = "365d"  # how far ahead they are read
    screenshots: str = "5m"  # between two, while it attends
    longest: str = "8h"  # no webinar is attended for longer

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            try:
                length = span(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} = {error}") from None
            if name == "every" and length < timedelta(minutes=1):
                raise ValueError("every: calendars are read each minute at most")

    def of(self, name: str) -> timedelta:
        """One of them as a timedelta."""
        return span(getattr(self, name))


class Browser(Part, frozen=True, forbid_unknown_fields=True):
    path: Text = None  # of Chromium; found if it is not said
    visible: bool = False  # with a window
    sandbox: bool = True  # Chromium's own; inside containers it may not work
    at_once: int = 3  # webinars at the same time
    profiles: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # provider to the name of a profile: cookies of a log-in that are kept

    def __post_init__(self) -> None:
        if not 1 <= self.at_once <= 32:
            raise ValueError(f"at_once = {self.at_once}: 1 to 32 browsers at the same time")
        for name in self.profiles.values():
            if not _NAME.fullmatch(name):
                raise ValueError(f"profile {name!r}: small letters, digits, - and _, 31 at most")


class Recording(Part, frozen=True, forbid_unknown_fields=True):
    """Off unless providers are named for which you know that you may."""

    allowed: tuple[str, ...] = ()  # providers or recipes
    frames: int = 2  # a second, at most

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 25:
            raise ValueError(f"frames = {self.frames}: 1 to 25 a second")


class Notify(Part, frozen=True, forbid_unknown_fields=True):
    urls: tuple[str, ...] = ()  # of apprise, or secrets that hold them
    of: Literal["everything", "problems"] = "everything"


class Page(Part, frozen=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 8027


class Settings(Part, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    me: Me
    timezone: str = "UTC"  # of times on screens, and of events without a zone
    folder: Text = None  # where everything is kept
    keep: str = "90d"  # reports, screenshots and recordings
    broker: Text = None  # a RabbitMQ or Redis through which Celery clients send invitations; may be a secret
    calendars: tuple[Calendar, ...] = ()
    times: Times = Times()
    rules: Rules = Rules()
    browser: Browser = Browser()
    recording: Recording = Recording()
    notify: Notify = Notify()
    page: Page = Page()
    accounts: dict[str, dict[str, str]] = msgspec.field(
        default_factory=dict
    )  # provider to username and password, the latter a secret
    recipes: tuple[str, ...] = ()  # files, relative to the settings

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def place(self) -> Path:
        """The folder: as said, systemd's StateDirectory, or the user's data folder."""
        if self.folder:
            return Path(self.folder).expanduser()
        if state := os.environ.get("STATE_DIRECTORY"):
            return Path(state)
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return Path(data) / "webinars"


def path() -> Path:
    """Where the settings are: by the environment, else in the user's configuration folder."""
    if said := os.environ.get(PLACE):
        return Path(said)
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "webinars" / "webinars.toml"


def load(file: Path) -> Settings:
    """Raises SettingsError, which says what is wrong and where."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        raise SettingsError(f"there are no settings at {file}; make them with: webinars setup") from None
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: {error}") from None
    found = read(raw, str(file))
    resolved = tuple(str(file.parent / recipe) for recipe in found.recipes)
    return msgspec.structs.replace(found, recipes=resolved)


def read(raw: dict[str, Any], where: str) -> Settings:
    """Settings from what a TOML file holds. Raises SettingsError."""
    try:
        found = msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {_said(error, Settings)}") from None
    _check(found, where)
    return found


def _check(found: Settings, where: str) -> None:
    """What concerns several parts."""
    names = [calendar.name for calendar in found.calendars]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{where}: two calendars are called {name!r}")
    found.rules.check(names)
    if found.timezone not in _zones():
        near = difflib.get_close_matches(found.timezone, _zones(), n=1)
        raise SettingsError(f"{where}: no time zone {found.timezone!r}{_mean(near)}")
    try:
        span(found.keep)
    except ValueError as error:
        raise SettingsError(f"{where}: keep = {error}") from None
    for provider, account in found.accounts.items():
        password = account.get("password", "")
        if password and not password.startswith("secret:"):
            raise SettingsError(
                f"{where}: the password of {provider!r} is written here; keep it with "
                f'"webinars secret set NAME" and write password = "secret:NAME"'
            )


def _zones() -> set[str]:
    from zoneinfo import available_timezones

    return available_timezones()


def _said(error: msgspec.ValidationError, kind: type[Settings]) -> str:
    """msgspec's sentence, with a suggestion for a name that does not exist."""
    text = str(error)
    unknown = re.search(r"unknown field `(\w+)`", text)
    if unknown is None:
        return text
    near = difflib.get_close_matches(unknown[1], _known(kind), n=1)
    return text.replace("Object contains unknown field", "there is no setting") + _mean(near)


def _known(kind: type[Settings]) -> list[str]:
    parts = (kind, Me, Calendar, Times, Rules, Browser, Recording, Notify, Page)
    return sorted({name for part in parts for name in part.__struct_fields__})


def _mean(near: list[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""
