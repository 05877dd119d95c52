"""Recipes: providers that a user writes, in TOML, for any page that the built-in ones do not know.

::

    name = "acme"
    hosts = ["webinar.acme.example"]

    [[steps]]
    name = "enter"
    see = "css=#enter"

    [[signs]]
    screen = "ended"
    text = "the show is over"

What a recipe says comes before the steps and signs of every page (``extend = false`` leaves those out).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from webinars import links
from webinars.attending.provider import Provider, Sign, Step
from webinars.attending.providers import KNOWN, Generic
from webinars.errors import SettingsError


class RecipeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    hosts: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    signs: tuple[Sign, ...] = ()
    player: bool = True  # a <video> that moves forward means inside
    extend: bool = True  # with the steps and signs that many sites share


class Recipe(Provider):
    def __init__(self, file: RecipeFile) -> None:
        self.name = file.name
        self.player = file.player
        self.steps = (*file.steps, *Generic.steps) if file.extend else file.steps
        self.signs = (*file.signs, *Generic.signs) if file.extend else file.signs
        self._hosts = file.hosts

    def fits(self, link: str) -> bool:
        return any(links.under(links.host_of(link), host) for host in self._hosts)


def load(path: Path) -> Recipe:
    """Raises SettingsError, which says what is wrong and where."""
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"recipe {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"recipe {path}: {error}") from None
    try:
        file = msgspec.convert(raw, RecipeFile)
    except msgspec.ValidationError as error:
        raise SettingsError(f"recipe {path}: {error}") from None
    if not file.hosts:
        raise SettingsError(f"recipe {path}: hosts is empty; it would fit nothing")
    return Recipe(file)


def choose(link: str, recipes: Iterable[str]) -> Provider:
    """The provider for a link: a recipe of the user's, else a built-in one. Raises SettingsError."""
    mine: list[Provider] = [load(Path(recipe)) for recipe in recipes]
    return next(provider for provider in (*mine, *KNOWN) if provider.fits(link))
