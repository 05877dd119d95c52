"""What a chaos run found stands at the end of pytest's output; tests against Celery run only when asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chaos_run import Run

REPORTS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "celery: shows how Celery fails; needs redis-server (make test-celery)")
    config.stash[REPORTS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "celery" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("celery")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for text in config.stash[REPORTS]:
        terminalreporter.write_line(text)


@pytest.fixture
def reports(request: pytest.FixtureRequest) -> list[str]:
    """What is appended here is printed at the end."""
    return request.config.stash[REPORTS]


@pytest.fixture
def run() -> Iterator[Run]:
    """A store and a log, and nobody there yet."""
    run = Run(seed=0)
    yield run
    run.close(keep=False)
