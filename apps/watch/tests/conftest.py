"""The project in this process, with its databases in a folder that is made for the run.

Django's settings are the process's, so these tests have a process of their own (``make test`` runs them apart).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sites.server import Sites

FOLDER = Path(tempfile.mkdtemp(prefix="watch-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
for name in [name for name in os.environ if name.startswith(("WATCH_", "DULY_"))]:
    del os.environ[name]
os.environ |= {"DJANGO_SETTINGS_MODULE": "watch.settings", "WATCH_FOLDER": str(FOLDER), "WATCH_PRIVATE": "1"}

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402


@pytest.fixture(scope="session")
def migrated() -> None:
    call_command("migrate", verbosity=0)


@pytest.fixture
def db(migrated: None) -> Iterator[None]:
    """Empty tables."""
    yield
    call_command("flush", verbosity=0, interactive=False)


@pytest.fixture
def sites() -> Iterator[Sites]:
    sites = Sites()
    yield sites
    sites.close()
