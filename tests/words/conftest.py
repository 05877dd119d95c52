from __future__ import annotations

from collections.abc import Iterator

import pytest

from duly import shared, signals
from duly.testing import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        world.worker()
        yield world


@pytest.fixture(autouse=True)
def _nothing_stays_connected() -> Iterator[None]:
    """Receivers and shared tasks are the process's; a test leaves none behind."""
    tasks = list(shared._shared)
    yield
    shared._shared[:] = tasks
    for signal in signals.ALL.values():
        signal.receivers = []
        signal._changed()
