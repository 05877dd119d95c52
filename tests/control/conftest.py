from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import duly.store
from duly.store.contract import Store
from duly.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def store(clock: ManualClock, store_of: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[Store]:
    store = duly.store.open(store_of(request.param), clock=clock)
    yield store
    store.close()
