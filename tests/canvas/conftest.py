"""Canvases in a world (workers as they are, a clock that is driven), and run by their caller."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from canvas_kit import Here

from duly.testing import World


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=1) as world:
        world.worker(concurrency=3)
        yield world


@pytest.fixture(params=["in a store", "by its caller"])
def here(request: pytest.FixtureRequest, world: World) -> Here:
    """The tasks of the kit, and how to run a canvas of them; every test that takes it holds both ways."""
    return Here(world, eager=request.param == "by its caller")
