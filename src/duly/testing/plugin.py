"""The pytest plugin, found by itself where duly is installed.

=============  ===============================================================================
``duly_app``   your app: override this fixture to return it; without that, each world has its own
``duly_world`` a :class:`duly.testing.World` with that app, closed after the test
``duly_eager`` the app, whose tasks run inside ``delay()`` for the length of the test
=============  ===============================================================================

``--duly-seed N`` chooses what the world's random source starts from; a broken promise names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.testing.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("duly").addoption(
        "--duly-seed", type=int, default=0, metavar="N", help="seed of the duly_world fixture (0)"
    )


@pytest.fixture
def duly_app() -> Duly | None:
    """Override to return your app."""
    return None


@pytest.fixture
def duly_world(request: pytest.FixtureRequest, duly_app: Duly | None) -> Iterator[World]:
    """A world whose clock you drive."""
    from duly.testing.world import World

    with World(seed=request.config.getoption("--duly-seed"), app=duly_app) as world:
        yield world


@pytest.fixture
def duly_eager(duly_app: Duly | None) -> Iterator[Duly]:
    """The app (``duly_app``, or a new one), with its tasks run at once in the caller."""
    from duly.app import Duly

    app = duly_app if duly_app is not None else Duly("eager", store="sqlite:///:memory:")
    before = app.conf.task_always_eager
    app.conf.task_always_eager = True
    try:
        yield app
    finally:
        app.conf.task_always_eager = before
