"""``celery.contrib.pytest``: Celery's fixtures, by ``pytest_plugins = ("celery.contrib.pytest",)``.

``celery_app`` has a store of its own; ``celery_worker`` runs its jobs in threads of the test's process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from duly.celery.app.base import Celery
from duly.celery.contrib.testing.app import TestApp, setup_default_app
from duly.celery.contrib.testing.worker import TestWorkController, start_worker


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "celery(**settings): settings of the celery_app of this test")


@pytest.fixture(scope="session")
def celery_config() -> Mapping[str, Any]:
    """Override to give the app's settings."""
    return {}


@pytest.fixture(scope="session")
def celery_parameters() -> Mapping[str, Any]:
    """Override to give parameters of the app's constructor."""
    return {}


@pytest.fixture(scope="session")
def celery_includes() -> Sequence[str]:
    """Override to name modules of tasks to import before the worker starts."""
    return ()


@pytest.fixture(scope="session")
def celery_worker_parameters() -> Mapping[str, Any]:
    """Override to give parameters of start_worker."""
    return {}


@pytest.fixture(scope="session")
def celery_worker_pool() -> str:
    return "solo"


@pytest.fixture(scope="session")
def celery_enable_logging() -> bool:
    return False


@pytest.fixture(scope="session")
def use_celery_app_trap() -> bool:
    return False


@pytest.fixture
def celery_app(
    request: pytest.FixtureRequest, celery_config: Mapping[str, Any], celery_parameters: Mapping[str, Any]
) -> Iterator[Celery]:
    """An app for this test, and the current one meanwhile."""
    mark = request.node.get_closest_marker("celery")
    yield from _app({**celery_config, **(mark.kwargs if mark else {})}, celery_parameters)


@pytest.fixture
def celery_worker(
    celery_app: Celery, celery_includes: Sequence[str], celery_worker_parameters: Mapping[str, Any]
) -> Iterator[TestWorkController]:
    """A worker for ``celery_app``."""
    yield from _worker(celery_app, celery_includes, celery_worker_parameters)


@pytest.fixture(scope="session")
def celery_session_app(celery_config: Mapping[str, Any], celery_parameters: Mapping[str, Any]) -> Iterator[Celery]:
    """An app for all tests."""
    yield from _app(celery_config, celery_parameters)


@pytest.fixture(scope="session")
def celery_session_worker(
    celery_session_app: Celery, celery_includes: Sequence[str], celery_worker_parameters: Mapping[str, Any]
) -> Iterator[TestWorkController]:
    """A worker for ``celery_session_app``."""
    yield from _worker(celery_session_app, celery_includes, celery_worker_parameters)


@pytest.fixture
def depends_on_current_app(celery_app: Celery) -> None:
    """For code that uses ``current_app``."""


def _app(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[Celery]:
    app = TestApp(config=config, **parameters)
    with setup_default_app(app):
        yield app
    app.close()


def _worker(app: Celery, includes: Sequence[str], parameters: Mapping[str, Any]) -> Iterator[TestWorkController]:
    import importlib

    for name in includes:
        importlib.import_module(name)
    with start_worker(app, **parameters) as worker:
        yield worker
