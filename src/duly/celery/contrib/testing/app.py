"""``celery.contrib.testing.app``: apps for tests, on a store of their own."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from duly import shared
from duly.celery.app.base import Celery


def TestApp(  # noqa: N802 - Celery's name
    name: str | None = None, config: Mapping[str, Any] | None = None, set_as_current: bool = False, **settings: Any
) -> Celery:
    """An app whose jobs are in a folder that goes with the app; ``config``: its settings."""
    folder = tempfile.mkdtemp(prefix="duly-test-app-")
    app = Celery(
        name or "celery.tests", set_as_current=set_as_current, store=f"sqlite:///{folder}/jobs.db", **settings
    )
    app.conf.update(dict(config or {}))
    weakref.finalize(app, shutil.rmtree, folder, ignore_errors=True)
    return app


@contextmanager
def setup_default_app(app: Celery, use_trap: bool = False) -> Iterator[None]:
    """``app`` is the current one meanwhile. ``use_trap`` changes nothing."""
    before = shared._current
    app.set_current()
    try:
        yield
    finally:
        shared._current = before


TestApp.__test__ = False  # type: ignore[attr-defined]  # pytest collects what is called Test
