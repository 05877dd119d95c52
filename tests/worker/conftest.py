from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_kit import Shop


@pytest.fixture
def shop(tmp_path: Path, store_url: str) -> Iterator[Shop]:
    shop = Shop(tmp_path, store_url)
    yield shop
    shop.close()
