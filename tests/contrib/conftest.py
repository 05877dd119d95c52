from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django_kit import Office


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the project's tables in it."""
    folder = tmp_path_factory.mktemp("office")
    Office(folder).run("migrate", "-v0")
    return folder / "office.sqlite3"


@pytest.fixture
def office(migrated: Path, tmp_path: Path) -> Iterator[Office]:
    shutil.copy(migrated, tmp_path)
    office = Office(tmp_path)
    yield office
    office.close()
