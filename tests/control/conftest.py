from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import duly.store
from duly.store.contract import Store
from duly.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock, tmp_path: Path) -> Iterator[Store]:
    store = duly.store.open(f"sqlite:///{tmp_path}/duly.db", clock=clock)
    yield store
    store.close()
