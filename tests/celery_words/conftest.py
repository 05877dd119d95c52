from __future__ import annotations

from collections.abc import Iterator

import pytest

from duly import shared, signals
from duly.celery import Celery
from duly.testing import World


@pytest.fixture
def app() -> Celery:
    return Celery("proj", store="sqlite:///:memory:")


@pytest.fixture
def world(app: Celery) -> Iterator[World]:
    """A worker of the app, and the clock."""
    with World(app=app) as world:
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
