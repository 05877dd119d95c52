"""An app on a store file of its own, and workers for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from miniworker import MiniWorker

from duly import Duly


@pytest.fixture
def app(store_url: str) -> Iterator[Duly]:
    app = Duly("shop", store=store_url)
    yield app
    app.close()


@pytest.fixture
def worker(app: Duly) -> Iterator[Callable[..., MiniWorker]]:
    made: list[MiniWorker] = []

    def make(*queues: str) -> MiniWorker:
        made.append(MiniWorker(app, queues or ("default",)))
        return made[-1]

    yield make
    for worker in made:
        worker.stop()
