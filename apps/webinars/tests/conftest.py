from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.backends.fail
import pytest
from webinar_site.google import Google
from webinar_site.server import Site

from webinars.calendars.http import Fetcher
from webinars.settings import Settings, read


@pytest.fixture(autouse=True)
def no_keyring() -> Iterator[None]:
    """The keyring of who runs the tests is left alone."""
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def pauses() -> list[float]:
    """Seconds that a fetcher made by ``fetch`` would have waited."""
    return []


@pytest.fixture
def fetch(pauses: list[float]) -> Callable[[str], Fetcher]:
    """Fetchers that note their pauses instead of making them."""
    return lambda name: Fetcher(name, pause=pauses.append)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a folder of their own; keywords are parts of the file."""

    def make(**parts: Any) -> Settings:
        raw = {"me": {"name": "Ada Example", "email": "ada@example.org"}, "folder": str(tmp_path / "place")}
        return read({**raw, **parts}, "webinars.toml")

    return make


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture
def google() -> Iterator[Google]:
    google = Google()
    yield google
    google.close()
